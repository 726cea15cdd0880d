"""ufw and firewalld as Debian has them, run in the network namespace of a test from files that were never installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.host.instance import until

UNPACKED = Path(__file__).resolve().parents[2] / ".cache/unpacked"
"""scripts/test puts them there."""

_PYTHON = "/usr/bin/python3"
"""Debian's own, which has its modules dbus and gi."""

_BUS = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/> <allow own="*"/> <allow send_type="method_call"/>
    <allow send_destination="*"/> <allow receive_sender="*"/>
  </policy>
</busconfig>
"""


def modules(*packages: str) -> dict[str, str]:
    """The environment in which Python finds what these packages bring."""
    path = os.pathsep.join(str(UNPACKED / package / "usr/lib/python3/dist-packages") for package in packages)
    return os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


class Ufw:
    """Enabled, with its own defaults: incoming and routed traffic is denied."""

    def __init__(self, directory: Path) -> None:
        self._root = directory / "ufw"
        shutil.copytree(UNPACKED / "ufw", self._root, symlinks=True)
        if not (self._root / "lib").exists():
            (self._root / "lib").symlink_to("usr/lib")  # where Debian's packages have merged them
        share = self._root / "usr/share/ufw"
        shutil.copytree(share / "iptables", self._root / "etc/ufw", dirs_exist_ok=True)
        shutil.copy(share / "ufw.conf", self._root / "etc/ufw")
        self.run("--force", "enable")

    def run(self, *arguments: str) -> str:
        command = [_PYTHON, str(self._root / "usr/sbin/ufw"), f"--rootdir={self._root}", f"--datadir={self._root}"]
        done = subprocess.run(
            [*command, *arguments], env=modules("ufw"), capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


class Firewalld:
    """A daemon on a bus of its own, to which only the ``firewall-cmd`` of ``path`` leads: runtimes talk to systemd on
    the machine's."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "firewalld"
        shutil.copytree(UNPACKED / "firewalld/etc/firewalld", self._directory / "etc")
        (self._directory / "bus.conf").write_text(_BUS.format(self._directory / "bus"))
        packages = ("firewalld", "python3-firewall", "python3-nftables")
        self.environment = modules(*packages) | {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={self._directory / 'bus'}"}
        program = self._directory / "bin/firewall-cmd"
        program.parent.mkdir()
        names = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "DBUS_SYSTEM_BUS_ADDRESS")
        words = (f"{name}={self.environment[name]}" for name in names)
        real = UNPACKED / "firewalld/usr/bin/firewall-cmd"
        program.write_text(f'#!/bin/sh\nexec env {" ".join(words)} {_PYTHON} {real} "$@"\n')
        program.chmod(0o755)
        self.path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"

    @contextmanager
    def running(self) -> Iterator[None]:
        bus = subprocess.Popen(
            ["dbus-daemon", f"--config-file={self._directory / 'bus.conf'}", "--nofork", "--nopidfile", "--nosyslog"],
            stderr=subprocess.DEVNULL,
        )
        try:
            until((self._directory / "bus").exists, "the bus is there")
            daemon = subprocess.Popen(
                [
                    *(_PYTHON, str(UNPACKED / "firewalld/usr/sbin/firewalld"), "--nofork", "--nopid"),
                    *("--system-config", str(self._directory / "etc")),
                    *("--default-config", str(UNPACKED / "firewalld/usr/lib/firewalld")),
                    *("--log-file", str(self._directory / "log")),
                ],
                env=self.environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                until(lambda: self.command("--state") == "running", "firewalld runs")
                yield
            finally:
                daemon.terminate()
                daemon.wait(30)
        finally:
            bus.terminate()
            bus.wait(30)

    def command(self, *arguments: str) -> str:
        done = subprocess.run(
            [str(self._directory / "bin/firewall-cmd"), *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stdout.strip()
