"""One virtual machine: a qemu process with a throw-away disk, its console, and ssh into it.

qemu dies with us, whatever ends us (setpriv --pdeathsig). The console is read by a thread, which hears the guest say
that it has booted. KVM is tried first: where nothing has been said within KVM_PATIENCE (some nested machines hang),
the processor is emulated instead.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import shlex
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.vm.root import Root

KVM_PATIENCE = 10.0
"""Seconds until the first line of the kernel; it takes less than one where KVM works."""

BOOT_PATIENCE = 600.0
READY = "VM-READY"
ARCHITECTURES = {
    "x86_64": ("qemu-system-x86_64", "q35", "Nehalem,-vmx"),
    "aarch64": ("qemu-system-aarch64", "virt", "max"),
}
"""Program, kind of machine, and the processor to be emulated: one with few features takes a fifth less than ``max``."""


class GuestError(Exception):
    """A command in the guest failed, or the guest did."""


class Machine:
    """``with Machine(root, work, say) as vm: vm.run("uname -a")``. ``disk``: go on with that one, and keep it."""

    def __init__(
        self,
        root: Root,
        work: Path,
        say: Callable[[str], None],
        *,
        disk: Path | None = None,
        memory: int = 4096,
        cpus: int = 2,
        accel: str | None = None,
    ) -> None:
        self.root, self.work, self.say = root, work, say
        self.memory, self.cpus = memory, cpus
        self.accel = accel
        self.disk = disk or work / "disk.qcow2"
        self.log = work / "console.log"
        self._sockets = tempfile.TemporaryDirectory(prefix="reconciler-vm-")  # a socket's name must be short
        self._qemu: subprocess.Popen[bytes] | None = None
        self._lines = threading.Condition()
        self._heard = 0
        self._ready = 0
        self._port = 0

    # --- life --------------------------------------------------------------------------------------------------

    def __enter__(self) -> Machine:
        if not self.disk.exists():
            words = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(self.root.disk), str(self.disk)]
            subprocess.run(words, check=True)
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        self._sockets.cleanup()

    def _start(self) -> None:
        begun = time.monotonic()
        for accel in [self.accel] if self.accel else (["kvm", "tcg"] if os.access("/dev/kvm", os.W_OK) else ["tcg"]):
            self._launch(accel)
            if self._wait(lambda: self._heard > 0, KVM_PATIENCE if accel == "kvm" else BOOT_PATIENCE):
                self.accel = accel
                break
            self.say(f"{accel} shows no sign of life")
            self._end()
        else:
            raise GuestError(f"the machine does not start: see {self.log}")
        self._booted(1, begun)

    def _booted(self, times: int, begun: float) -> None:
        if not self._wait(lambda: self._ready >= times, BOOT_PATIENCE):
            raise GuestError(f"the machine has not booted within {BOOT_PATIENCE:.0f} s: see {self.log}")
        self._port = self._forwarded()
        self.say(f"booted in {time.monotonic() - begun:.0f} s ({self.accel})")

    def reboot(self) -> None:
        """As its owner would: ``systemctl reboot``; returns when it has booted again."""
        begun, times = time.monotonic(), self._ready
        with contextlib.suppress(GuestError):  # the connection may be cut before the answer
            self.run("systemctl reboot")
        self._hang_up()
        self._booted(times + 1, begun)

    def power_off(self) -> None:
        """As its owner would; returns when it is off and the disk is whole."""
        with contextlib.suppress(GuestError):
            self.run("systemctl poweroff")
        self._hang_up()
        assert self._qemu is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._qemu.wait(BOOT_PATIENCE)

    def _launch(self, accel: str) -> None:
        program, kind, emulated = ARCHITECTURES[platform.machine()]
        console = "ttyS0" if kind == "q35" else "ttyAMA0"
        words = ["setpriv", "--pdeathsig", "KILL", "--", program, "-nodefaults", "-display", "none", "-no-user-config"]
        words += ["-machine", kind, "-accel", accel, "-smp", str(self.cpus), "-m", str(self.memory)]
        words += ["-cpu", "host" if accel == "kvm" else emulated]
        words += ["-kernel", str(self.root.kernel), "-initrd", str(self.root.initrd)]
        # An emulated processor has nothing to leak, and page tables of its own for the kernel cost it dearly.
        guarded = "" if accel == "kvm" else " mitigations=off"
        words += ["-append", f"root=/dev/vda rw console={console} systemd.show_status=0{guarded}"]
        words += ["-drive", f"file={self.disk},if=virtio,cache=unsafe,discard=unmap"]
        words += ["-nic", "user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:0-:22"]
        words += ["-device", "virtio-rng-pci", "-serial", "stdio", "-qmp", f"unix:{self._qmp},server=on,wait=off"]
        self._heard = self._ready = 0
        with (self.work / "qemu.log").open("ab") as errors:
            self._qemu = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, start_new_session=True
            )
        threading.Thread(target=self._listen, args=(self._qemu,), daemon=True).start()

    def _listen(self, qemu: subprocess.Popen[bytes]) -> None:
        assert qemu.stdout is not None
        with self.log.open("ab") as log:
            for line in qemu.stdout:
                log.write(line)
                log.flush()
                with self._lines:
                    self._heard += 1
                    self._ready += READY.encode() in line
                    self._lines.notify_all()
        with self._lines:
            self._lines.notify_all()

    def _wait(self, what: Callable[[], bool], patience: float) -> bool:
        """Until ``what`` holds; False when the time is over or qemu has ended."""
        until = time.monotonic() + patience
        with self._lines:
            while not what():
                left = until - time.monotonic()
                if left <= 0 or self._qemu is None or self._qemu.poll() is not None:
                    return False
                self._lines.wait(min(left, 1.0))
        return True

    def _hang_up(self) -> None:
        """End the ssh connections that later commands would share."""
        for user in ("root", "user"):
            if Path(self._sockets.name, f"ssh-{user}").exists():
                subprocess.run([*self.ssh(user)[:-1], "-O", "exit", "127.0.0.1"], capture_output=True, check=False)

    def _end(self) -> None:
        if self._qemu is None:
            return
        self._hang_up()
        self._qemu.terminate()  # qemu flushes its disk and ends at once
        try:
            self._qemu.wait(10)
        except subprocess.TimeoutExpired:
            self._qemu.kill()
            self._qemu.wait()
        self._qemu = None

    # --- talk --------------------------------------------------------------------------------------------------

    @property
    def _qmp(self) -> Path:
        return Path(self._sockets.name) / "qmp"

    def _forwarded(self) -> int:
        """The loopback port that the kernel chose for qemu to forward to the guest's ssh."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self._qmp))
            file = connection.makefile("rw")
            ask = {"execute": "human-monitor-command", "arguments": {"command-line": "info usernet"}}
            for command in ({"execute": "qmp_capabilities"}, ask):
                file.write(json.dumps(command) + "\n")
                file.flush()
            for line in file:
                if match := re.search(r"HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)", line):
                    return int(match[1])
        raise GuestError("qemu does not say which port it forwards")

    def ssh(self, user: str = "root", *, terminal: bool = False) -> list[str]:
        """The words that log in, a command may follow."""
        words = ["ssh", "-F", "none", "-i", str(self.root.key), "-p", str(self._port), "-l", user]
        settings = {
            "StrictHostKeyChecking": "no",
            "UserKnownHostsFile": "/dev/null",
            "LogLevel": "ERROR",
            "ControlMaster": "auto",
            "ControlPath": f"{self._sockets.name}/ssh-%r",
            "ControlPersist": "yes",
            "ServerAliveInterval": "30",
            "ServerAliveCountMax": "20",
        }
        if terminal:
            words.append("-t")
        return [*words, *(f"-o{name}={value}" for name, value in settings.items()), "127.0.0.1"]

    def run(
        self, command: str, *, user: str = "root", check: bool = True, timeout: float = 900, stdin: bytes = b""
    ) -> str:
        """What a shell command in the guest prints (both streams). Raises GuestError."""
        done = self._ssh(command, user, timeout, stdin)
        text = done.stdout.decode(errors="replace")
        if check and done.returncode:
            raise GuestError(f"in the guest: {command}\nexit code {done.returncode}\n{text[-4000:]}")
        return text

    def code(self, command: str, *, timeout: float = 900) -> int:
        return self._ssh(command, "root", timeout, b"").returncode

    def _ssh(self, command: str, user: str, timeout: float, stdin: bytes) -> subprocess.CompletedProcess[bytes]:
        words = [*self.ssh(user), f"bash -c {shlex.quote(command)}"]
        try:
            return subprocess.run(
                words, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired as error:
            told = (error.stdout or b"").decode(errors="replace")[-4000:]
            raise GuestError(f"in the guest: {command}\nnot done within {timeout:.0f} s\n{told}") from None

    def show(self, command: str, *, log: Path, heard: Callable[[str], None], user: str = "root") -> int:
        """Run a command whose output the user sees as it comes, ``log`` keeps and ``heard`` gets; its exit code."""
        words = [*self.ssh(user), f"bash -c {shlex.quote(command)} 2>&1"]
        with (
            log.open("a", buffering=1) as out,
            subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace"
            ) as running,
        ):
            assert running.stdout is not None
            try:
                for line in running.stdout:
                    print(f"   | {line}", end="", flush=True)
                    out.write(line)
                    heard(line)
            except BaseException:
                running.kill()  # who is interrupted does not wait for the command
                raise
        return running.returncode

    def login(self, user: str = "user") -> int:
        return subprocess.run(self.ssh(user, terminal=True), check=False).returncode

    def put(self, data: bytes, path: str, *, user: str = "root") -> None:
        self.run(f"cat > {shlex.quote(path)}", user=user, stdin=data)


def quoted(words: Sequence[str]) -> str:
    return " ".join(map(shlex.quote, words))
