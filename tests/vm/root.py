"""The bare system: a Debian root made once for each release and each state of this machine's settings, then kept.

In the cache: ``debian-12-<digest>/{disk.raw, vmlinuz, initrd.img}``, complete or not there (made beside and renamed).
No loop mounts: mmdebstrap writes a tar, mke2fs fills a file system from a directory. Needs no root where
unprivileged user namespaces with subordinate ids are to be had.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.vm.host import APT_PROXIES, CODENAMES, Host

SIZE = "16G"
"""The file system's; the file is sparse."""

INCLUDED = (
    *("systemd", "systemd-sysv", "libpam-systemd", "dbus", "udev", "kmod", "procps", "iproute2", "less"),
    *("openssh-server", "sudo", "git", "ca-certificates", "initramfs-tools"),
)
"""What a Debian that somebody installed has beside the essential packages: nothing that reconciler asks for
itself. The kernel is the one that Debian's installer takes (the cloud kernel has no SCTP)."""

KERNELS = {"x86_64": "linux-image-amd64", "aarch64": "linux-image-arm64"}
HOOK = Path(__file__).with_name("root.sh")


@dataclass(frozen=True)
class Root:
    directory: Path

    @property
    def disk(self) -> Path:
        return self.directory / "disk.raw"

    @property
    def kernel(self) -> Path:
        return self.directory / "vmlinuz"

    @property
    def initrd(self) -> Path:
        return self.directory / "initrd.img"

    @property
    def key(self) -> Path:
        """The private ssh key, which all roots of a cache share."""
        return self.directory.parent / "key"


def obtain(cache: Path, debian: str, host: Host, say: Callable[[str], None]) -> Root:
    """The cached root, or a new one: 2 to 4 minutes."""
    cache.mkdir(parents=True, exist_ok=True)
    key = cache / "key"
    if not key.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test-vm", "-f", key], check=True)
    recipe = "\n".join((SIZE, *INCLUDED, HOOK.read_text(), key.with_suffix(".pub").read_text(), host.text()))
    digest = hashlib.sha256(recipe.encode()).hexdigest()[:12]
    root = Root(cache / f"debian-{debian}-{digest}")
    if root.directory.exists():
        return root
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return root if root.directory.exists() else _new(root, cache, debian, host, say)


def _new(root: Root, cache: Path, debian: str, host: Host, say: Callable[[str], None]) -> Root:
    say(f"making a bare Debian {debian} (once; kept in {root.directory})")
    for stale in cache.glob("making-*"):  # an attempt that was cut short
        shutil.rmtree(stale, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"making-{debian}-", dir=cache) as made:
        made_root = Root(Path(made) / "root")
        made_root.directory.mkdir()
        _make(made_root, Path(made), debian, host, root.key.with_suffix(".pub").read_text().strip())
        for old in cache.glob(f"debian-{debian}-*"):
            shutil.rmtree(old)
        made_root.directory.rename(root.directory)
    return root


def _make(root: Root, scratch: Path, debian: str, host: Host, key: str) -> None:
    settings = scratch / "settings"
    for name, text in settings_files(host.seen_from_guest(), debian).items():
        path = settings / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    tar = scratch / "root.tar"
    words = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join((*INCLUDED, _kernel()))}"]
    words += [f'--aptopt={name} "{value}"' for name, value in host.apt.items()]
    words += [f"--customize-hook={HOOK}", CODENAMES[debian], str(tar), *sources(host, debian)]
    logged(words, scratch / "log", env=os.environ | {"KEY": key, "SETTINGS": str(settings)})
    inside = [] if os.geteuid() == 0 else ["unshare", "--map-auto", "--map-root-user"]
    script = """
        mkdir tree
        tar --extract --file root.tar --directory tree --numeric-owner --xattrs --exclude './dev/*'
        cp -L tree/vmlinuz root/vmlinuz; cp -L tree/initrd.img root/initrd.img
        mke2fs -q -t ext4 -E lazy_itable_init=1 -d tree root/disk.raw "$1"
        chmod 0644 root/*; rm -rf tree root.tar"""
    logged([*inside, "sh", "-euc", script, "sh", SIZE], scratch / "log", cwd=scratch)


def sources(host: Host, debian: str) -> list[str]:
    """apt's lines for this machine's mirror; none where mmdebstrap shall take Debian's own."""
    if not host.mirror:
        return []
    name = CODENAMES[debian]
    lines = [f"deb {host.mirror} {name} main", f"deb {host.mirror} {name}-updates main"]
    if host.security:
        lines.append(f"deb {host.security} {name}-security main")
    return lines


def settings_files(guest: Host, debian: str) -> dict[str, str]:
    """What is laid into the root: this machine's settings as the guest needs them."""
    files = {f"usr/local/share/ca-certificates/{name}": text for name, text in guest.certificates.items()}
    if lines := sources(guest, debian):
        files["etc/apt/sources.list"] = "".join(f"{line}\n" for line in lines)
    proxy = guest.environment.get("http_proxy")
    apt = guest.apt | ({APT_PROXIES[0]: proxy} if proxy else {})
    files["etc/apt/apt.conf.d/90host"] = "".join(f'{name} "{value}";\n' for name, value in apt.items())
    pip = guest.pip | {"cert": "/etc/ssl/certs/ca-certificates.crt"}
    files["etc/pip.conf"] = "[global]\n" + "".join(f"{name} = {value}\n" for name, value in pip.items())
    files["etc/environment"] = "".join(f"{name}={value}\n" for name, value in guest.environment.items())
    return files


def _kernel() -> str:
    return KERNELS[platform.machine()]


def logged(words: list[str], log: Path, *, cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
    """Run a program; what it says only where it fails."""
    with log.open("a") as out:
        done = subprocess.run(words, stdout=out, stderr=out, stdin=subprocess.DEVNULL, cwd=cwd, env=env, check=False)
    if done.returncode:
        raise SystemExit(f"test-vm: cannot make the root: {words[0]} failed:\n{log.read_text()[-3000:]}")
