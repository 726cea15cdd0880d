"""System calls that Python 3.11 lacks: prctl, and those for mounts and namespaces."""

from __future__ import annotations

import ctypes
import errno
import os
import struct

_libc = ctypes.CDLL(None, use_errno=True)
_prctl = _libc.prctl
_prctl.argtypes = [ctypes.c_ulong] * 5
_tzset = _libc.tzset

CLONE_NEWNS = 0x00020000
MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_REC = 0x4000
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20
MS_REMOUNT = 32
MNT_DETACH = 2

_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000
_MOUNT_ATTR_IDMAP = 0x00100000
MOUNT_ATTR_RDONLY = 1
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_BENEATH = 0x08
_SYS_OPEN_TREE = 428  # the same on every architecture since 5.2
_SYS_MOVE_MOUNT = 429
_SYS_MOUNT_SETATTR = 442
_SYS_FSOPEN, _SYS_FSCONFIG, _SYS_FSMOUNT = 430, 431, 432
_SYS_OPENAT2 = 437

_TRIES = 1000
"""The kernel gives up on ``..`` in a path, or on a link's, while anything anywhere is renamed (EAGAIN)."""

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def become_subreaper(on: bool = True) -> None:
    """Orphans below us become our children, not init's."""
    _check(_prctl(_PR_SET_CHILD_SUBREAPER, on, 0, 0, 0))


def tzset() -> None:
    """Take the time zone from the environment, or the machine's.

    ``time.tzset`` would also make anew what the time module says of it: nobody asks for that, and it is written all
    over a monitor's memory.
    """
    _tzset()


def die_with_parent(signal: int) -> None:
    """Have the kernel send ``signal`` to this process when its parent ends."""
    _check(_prctl(_PR_SET_PDEATHSIG, signal, 0, 0, 0))


def mount(source: bytes, target: bytes, fstype: bytes, flags: int, data: bytes) -> None:
    """mount(2). Raises OSError."""
    _check(_libc.mount(source, target, fstype, ctypes.c_ulong(flags), data or None))


def umount(target: bytes, flags: int) -> None:
    """umount2(2). Raises OSError."""
    _check(_libc.umount2(target, flags))


def setns(fd: int, flags: int) -> None:
    """setns(2). Raises OSError."""
    _check(_libc.setns(fd, flags))


def open_tree(path: bytes, *, deep: bool = False) -> int:
    """A detached copy of the mount at ``path``, as a descriptor (open_tree(2), Linux 5.2); ``deep``: with those below
    it. Raises OSError."""
    flags = 1 | os.O_CLOEXEC | (_AT_RECURSIVE if deep else 0)
    return _check(_libc.syscall(ctypes.c_long(_SYS_OPEN_TREE), _AT_FDCWD, path, flags))


def open_tree_of(fd: int, *, deep: bool = False) -> int:
    """The same of what a descriptor (O_PATH will do) stands for, wherever that lies by now. Raises OSError."""
    flags = 1 | os.O_CLOEXEC | _AT_EMPTY_PATH | (_AT_RECURSIVE if deep else 0)
    return _check(_libc.syscall(ctypes.c_long(_SYS_OPEN_TREE), fd, b"", flags))


def open_beneath(directory: int, path: bytes) -> int:
    """What ``path`` leads to, as a descriptor (O_PATH): through links as long as they stay below ``directory``, be they
    changed meanwhile (openat2(2), Linux 5.6). Raises OSError: EXDEV where it would leave."""
    how = struct.pack("=QQQ", os.O_PATH | os.O_CLOEXEC, 0, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)
    for _ in range(_TRIES):
        result = _libc.syscall(ctypes.c_long(_SYS_OPENAT2), directory, path, how, ctypes.c_size_t(len(how)))
        if result >= 0 or ctypes.get_errno() != errno.EAGAIN:
            break
    return _check(result)


def set_read_only(tree: int, on: bool = True, *, deep: bool = False) -> None:
    """Make a mount, and with ``deep`` those below it, read-only or writable (mount_setattr(2), Linux 5.12).
    Raises OSError."""
    attributes = struct.pack("=QQQQ", MOUNT_ATTR_RDONLY if on else 0, 0 if on else MOUNT_ATTR_RDONLY, 0, 0)
    flags = _AT_EMPTY_PATH | (_AT_RECURSIVE if deep else 0)
    size = ctypes.c_size_t(len(attributes))
    _check(_libc.syscall(ctypes.c_long(_SYS_MOUNT_SETATTR), tree, b"", flags, attributes, size))


def share(tree: int) -> None:
    """Have what is mounted below this mount from now on seen in its copies as well (mount_setattr(2)). Raises
    OSError."""
    attributes = struct.pack("=QQQQ", 0, 0, MS_SHARED, 0)
    size = ctypes.c_size_t(len(attributes))
    _check(_libc.syscall(ctypes.c_long(_SYS_MOUNT_SETATTR), tree, b"", _AT_EMPTY_PATH, attributes, size))


def map_ids(tree: int, namespace: int) -> None:
    """Have the files of a detached mount belong to whom they would in a user namespace (mount_setattr(2), Linux 5.12).

    Raises OSError: EINVAL where the file system cannot.
    """
    attributes = struct.pack("=QQQQ", _MOUNT_ATTR_IDMAP, 0, 0, namespace)
    flags = _AT_EMPTY_PATH | _AT_RECURSIVE
    size = ctypes.c_size_t(len(attributes))
    _check(_libc.syscall(ctypes.c_long(_SYS_MOUNT_SETATTR), tree, b"", flags, attributes, size))


def move_mount(tree: int, target: bytes) -> None:
    """Attach what ``open_tree`` gave at ``target`` (move_mount(2)). Raises OSError."""
    empty_path = 4
    _check(_libc.syscall(ctypes.c_long(_SYS_MOVE_MOUNT), tree, b"", _AT_FDCWD, target, empty_path))


def fsopen(fstype: bytes) -> int:
    """A file system to be set up, as a descriptor (fsopen(2), Linux 5.2). Raises OSError."""
    cloexec = 1
    return _check(_libc.syscall(ctypes.c_long(_SYS_FSOPEN), fstype, cloexec))


def fsconfig(fd: int, key: bytes, value: bytes) -> None:
    """Set one option of what ``fsopen`` gave (fsconfig(2)). Raises OSError."""
    set_string = 1
    _check(_libc.syscall(ctypes.c_long(_SYS_FSCONFIG), fd, set_string, key, value, 0))


def fsflag(fd: int, key: bytes) -> None:
    """Set an option that has no value. Raises OSError."""
    set_flag = 0
    _check(_libc.syscall(ctypes.c_long(_SYS_FSCONFIG), fd, set_flag, key, None, 0))


def fsmount(fd: int) -> int:
    """The file system, made: a mount to be attached by ``move_mount`` (fsmount(2)). Raises OSError."""
    create, cloexec = 6, 1
    _check(_libc.syscall(ctypes.c_long(_SYS_FSCONFIG), fd, create, None, None, 0))
    return _check(_libc.syscall(ctypes.c_long(_SYS_FSMOUNT), fd, cloexec, 0))


def set_fs_ids(number: int) -> None:
    """From now on the calling thread reaches files as this user and group (setfsuid(2), setfsgid(2))."""
    _libc.setfsgid(number)
    _libc.setfsuid(number)


def unshare(flags: int) -> None:
    """unshare(2). Raises OSError."""
    _check(_libc.unshare(flags))


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
