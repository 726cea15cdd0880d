"""Syscalls that Python 3.11 does not offer: namespaces, mounts, descriptors of other processes.

``Syscalls`` is what callers ask for, ``KERNEL`` the real one; tests have a recording fake
(tests/fakes/linux.py). Every method raises OSError with the errno of the kernel.

Concurrency: setns and unshare change the calling *thread* only. Call them in a thread that ends right
afterwards (``in_network``), never in a pooled one; for a mount namespace the thread needs its own
``CLONE_FS`` first.
"""

from __future__ import annotations

import ctypes
import os
import struct
import threading
from collections.abc import Callable
from enum import IntFlag
from functools import cache
from typing import Protocol, TypeVar

T = TypeVar("T")

_SYS_OPENAT2 = 437
_SYS_PIDFD_GETFD = 438
"""The same numbers on every architecture (Linux 5.6)."""

_NO_MAGIC_LINKS, _IN_ROOT = 0x02, 0x10
"""RESOLVE_* bits of <linux/openat2.h>."""


class Namespace(IntFlag):
    """CLONE_* bits of <sched.h>."""

    FS = 0x200
    MOUNT = 0x20000
    CGROUP = 0x2000000
    UTS = 0x4000000
    IPC = 0x8000000
    USER = 0x10000000
    PID = 0x20000000
    NETWORK = 0x40000000


class MountFlag(IntFlag):
    """MS_* bits of <sys/mount.h>, those in use."""

    NONE = 0
    RDONLY = 0x1
    NOSUID = 0x2
    NODEV = 0x4
    NOEXEC = 0x8
    REMOUNT = 0x20
    BIND = 0x1000
    REC = 0x4000
    PRIVATE = 0x40000
    SLAVE = 0x80000
    SHARED = 0x100000


DETACH = 2
"""umount2: MNT_DETACH."""


class Syscalls(Protocol):
    """The calls, with the meaning of their man pages."""

    def setns(self, fd: int, kind: Namespace) -> None:
        """setns(2): the calling thread enters the namespace behind ``fd``."""

    def unshare(self, kinds: Namespace) -> None:
        """unshare(2): the calling thread gets namespaces of its own."""

    def mount(self, source: str, target: str, fstype: str, flags: MountFlag, data: str = "") -> None:
        """mount(2). ``data`` may have 4,095 bytes."""

    def umount(self, target: str, flags: int = 0) -> None:
        """umount2(2)."""

    def pidfd_getfd(self, pidfd: int, fd: int) -> int:
        """pidfd_getfd(2): a duplicate (close-on-exec) of descriptor ``fd`` of another process."""

    def find_in_root(self, root: int, path: str) -> int:
        """openat2(2): where ``path`` leads to for who has the directory ``root`` as root, whatever links are on the
        way. The descriptor (O_PATH, close-on-exec) stands for a file that was not opened."""


class Kernel:
    """The real calls, through the C library."""

    def setns(self, fd: int, kind: Namespace) -> None:
        _check(_libc().setns(fd, int(kind)))

    def unshare(self, kinds: Namespace) -> None:
        _check(_libc().unshare(int(kinds)))

    def mount(self, source: str, target: str, fstype: str, flags: MountFlag, data: str = "") -> None:
        _check(
            _libc().mount(
                os.fsencode(source),
                os.fsencode(target),
                fstype.encode() or None,
                ctypes.c_ulong(int(flags)),
                os.fsencode(data) or None,
            ),
            target,
        )

    def umount(self, target: str, flags: int = 0) -> None:
        _check(_libc().umount2(os.fsencode(target), flags), target)

    def pidfd_getfd(self, pidfd: int, fd: int) -> int:
        return _check(int(_libc().syscall(ctypes.c_long(_SYS_PIDFD_GETFD), pidfd, fd, 0)))

    def find_in_root(self, root: int, path: str) -> int:
        how = struct.pack("QQQ", os.O_PATH | os.O_CLOEXEC, 0, _IN_ROOT | _NO_MAGIC_LINKS)
        return _check(int(_libc().syscall(ctypes.c_long(_SYS_OPENAT2), root, os.fsencode(path), how, len(how))), path)


KERNEL: Syscalls = Kernel()


def in_network(fd: int, call: Callable[[], T], kernel: Syscalls = KERNEL) -> T:
    """Run ``call`` in the network namespace behind ``fd``, in a thread of its own that ends afterwards.

    Sockets that it opens stay in that namespace for good. Whatever it raises is raised here.
    """
    return _in_thread("in-network", lambda: kernel.setns(fd, Namespace.NETWORK), call)


def in_mounts(fd: int, call: Callable[[], T], kernel: Syscalls = KERNEL) -> T:
    """The same in the mount namespace behind ``fd``: paths are those of who lives there."""

    def enter() -> None:
        kernel.unshare(Namespace.FS)
        kernel.setns(fd, Namespace.MOUNT)

    return _in_thread("in-mounts", enter, call)


def _in_thread(name: str, enter: Callable[[], None], call: Callable[[], T]) -> T:
    result: list[T] = []
    failure: list[BaseException] = []

    def body() -> None:
        try:
            enter()
            result.append(call())
        except BaseException as e:
            failure.append(e)

    thread = threading.Thread(target=body, name=name)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return result[0]


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, path: str | None = None) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return result
