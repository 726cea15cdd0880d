"""A kernel that remembers what it was asked, and refuses what the test tells it to refuse."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from reconciler.linux.syscalls import MountFlag, Namespace


@dataclass
class RecordingKernel:
    """``calls`` in order, as tuples; ``refuse`` maps a call's name to the errno it fails with."""

    calls: list[tuple[object, ...]] = field(default_factory=list)
    refuse: dict[str, int] = field(default_factory=dict)

    def setns(self, fd: int, kind: Namespace) -> None:
        self._record("setns", fd, kind)

    def unshare(self, kinds: Namespace) -> None:
        self._record("unshare", kinds)

    def mount(self, source: str, target: str, fstype: str, flags: MountFlag, data: str = "") -> None:
        self._record("mount", source, target, fstype, flags, data)

    def umount(self, target: str, flags: int = 0) -> None:
        self._record("umount", target, flags)

    def pidfd_getfd(self, pidfd: int, fd: int) -> int:
        self._record("pidfd_getfd", pidfd, fd)
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def find_in_root(self, root: int, path: str) -> int:
        self._record("find_in_root", root, path)
        return os.open(os.devnull, os.O_PATH | os.O_CLOEXEC)

    def _record(self, name: str, *arguments: object) -> None:
        self.calls.append((name, *arguments))
        if name in self.refuse:
            number = self.refuse[name]
            raise OSError(number, os.strerror(number))
