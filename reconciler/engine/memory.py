"""Volumes of a pod that are in memory: tmpfs in the mount namespace of its infra container.

So they are shared by its members, live as long as the pod does and go with its last process: on the host there is
nothing to leak, as with the pod's /dev/shm. Each is made whole (with its files, where it is to have some) before it is
mounted in one step. A member gets a copy of the mount when it is created (``oci/places``). Those with files that we
write are mounted read-only even there: a member that shares the pod's processes can reach its infra container's root.

For holders of the pod's lock, whose steps may come here at the same time.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from conmon import libc
from reconciler.engine import processes
from reconciler.engine.effects import effect
from reconciler.engine.oci.places import IN_INFRA
from reconciler.linux.syscalls import in_mounts
from reconciler.model.errors import TryLater
from reconciler.model.observed import PidRef

MODE = 0o1777
"""The mode of a tmpfs volume (kubelet: the tmpfs' own, sticky; pkg/volume/emptydir)."""

_mounting = threading.Lock()

Fill = Callable[[int], None]
"""Writes into the directory behind a descriptor."""


@dataclass(frozen=True, slots=True)
class Keeper:
    """Who holds a pod's volumes: its infra process, and the first of its own ids (0: it has the machine's). ``limit``:
    bytes that all its members together may use, None for no limit."""

    infra: PidRef
    ids: int = 0
    limit: int | None = None


@effect("memory.mount")
def ensure(keeper: Keeper, name: str, size: int | None) -> None:
    """Have a writable volume, of ``size`` bytes at most (kubelet: or what the pod's limit leaves, or the machine's
    memory). One that is there keeps what is in it; its size becomes ``size``.

    Raises TryLater: also where more than ``size`` is in it.
    """
    bounds = [n for n in (size, keeper.limit) if n is not None]
    data = f"{min(bounds)}" if bounds else "100%"
    with _mounting, _told(name), _namespace(keeper) as there:
        if in_mounts(there, lambda: _is_mounted(name)):
            if size is not None:
                in_mounts(there, lambda: _resize(name, size))
            return
        tree = _make(keeper, mode=f"{MODE:o}", size=data)
        try:
            libc.share(tree)  # members may ask for propagation
            in_mounts(there, lambda: _attach(keeper, tree, name))
        finally:
            os.close(tree)


@effect("memory.fill")
def ensure_files(keeper: Keeper, name: str, fill: Fill) -> None:
    """Have a volume that only we write, and ``fill`` it. Raises TryLater."""
    with _mounting, _told(name), _namespace(keeper) as there:
        tree = in_mounts(there, lambda: _copy(name))
        known = tree is not None
        tree = _make(keeper, mode=f"{MODE:o}") if tree is None else tree
        try:
            _fill(tree, fill)
            if not known:
                libc.set_read_only(tree)
                in_mounts(there, lambda: _attach(keeper, tree, name))
        finally:
            os.close(tree)


@effect("memory.refill")
def refill(keeper: Keeper, name: str, fill: Fill) -> None:
    """``fill`` a volume that only we write, if it is there. Raises TryLater."""
    with _mounting, _told(name), _namespace(keeper) as there:
        tree = in_mounts(there, lambda: _copy(name))
        if tree is None:
            return
        try:
            _fill(tree, fill)
        finally:
            os.close(tree)


@contextmanager
def opened(keeper: Keeper, name: str) -> Iterator[int]:
    """The directory of a writable volume, as a descriptor. Raises TryLater."""
    with _told(name), _namespace(keeper) as there:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        fd = in_mounts(there, lambda: os.open(_place(name), flags))
        try:
            yield fd
        finally:
            os.close(fd)


def _fill(tree: int, fill: Fill) -> None:
    top = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=tree)
    try:
        fill(top)
    finally:
        os.close(top)


def _make(keeper: Keeper, **options: str) -> int:
    """A tmpfs that belongs to the pod's root, as a mount that is nowhere yet."""
    fd = libc.fsopen(b"tmpfs")
    try:
        for key, value in {"uid": str(keeper.ids), "gid": str(keeper.ids), **options}.items():
            libc.fsconfig(fd, key.encode(), value.encode())
        with suppress(OSError):  # Linux 6.4; without it what is in it may be swapped out
            libc.fsflag(fd, b"noswap")
        return libc.fsmount(fd)
    finally:
        os.close(fd)


def _attach(keeper: Keeper, tree: int, name: str) -> None:
    """For a thread in the namespace. /dev there is a tmpfs of the pod's users, in which none but they make files."""
    libc.set_fs_ids(keeper.ids)
    place = Path(IN_INFRA, name)
    place.parent.mkdir(mode=0o700, exist_ok=True)
    place.mkdir(mode=0o700, exist_ok=True)
    libc.move_mount(tree, _place(name))


def _resize(name: str, size: int) -> None:
    """For a thread in the namespace."""
    try:
        libc.mount(b"none", _place(name), b"tmpfs", libc.MS_REMOUNT, b"size=%d" % size)
    except OSError as e:
        if e.errno != errno.EINVAL:
            raise
        raise OSError(errno.EINVAL, f"more than {size} bytes are in it") from None


def _copy(name: str) -> int | None:
    """For a thread in the namespace: the mount, writable, as one that is nowhere; None where it is not there."""
    if not _is_mounted(name):
        return None
    tree = libc.open_tree(_place(name))
    try:
        libc.set_read_only(tree, False)
    except OSError:
        os.close(tree)
        raise
    return tree


def _is_mounted(name: str) -> bool:
    place = Path(IN_INFRA, name)
    with suppress(FileNotFoundError):
        return place.stat().st_dev != place.parent.stat().st_dev
    return False


def _place(name: str) -> bytes:
    return f"{IN_INFRA}/{name}".encode()


@contextmanager
def _namespace(keeper: Keeper) -> Iterator[int]:
    try:
        fd = os.open(f"/proc/{keeper.infra.pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ProcessLookupError from None
    try:
        if not processes.alive(keeper.infra):
            raise ProcessLookupError
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _told(name: str) -> Iterator[None]:
    try:
        yield
    except ProcessLookupError as e:
        raise TryLater(f"cannot make volume {name}: the pod's infra container does not run") from e
    except OSError as e:
        raise TryLater(f"cannot make volume {name}: {e.strerror}") from e
