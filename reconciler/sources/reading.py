"""Reading one manifest file without being held up, fooled or filled by it.

A FIFO is never waited for, a huge file never read, a file that changes while it is read is marked to be read again.
"""

from __future__ import annotations

import os
import stat
import time
from dataclasses import replace

from reconciler import kube
from reconciler.model.strictness import Strictness
from reconciler.sources.resolve import problem
from reconciler.sources.snapshot import FileState
from reconciler.sources.tree import Stamp

LARGEST = 10 * 1024 * 1024
"""Bytes; the kubelet's file source has the same limit."""

_RACY_NS = 50_000_000
"""A file changed this shortly before it was read could change again within the same tick of its clock."""


def read(
    path: str, relative: str, strictness: Strictness = Strictness.STRICT, before: FileState | None = None
) -> FileState:
    """Read and compile one file. Never raises: what is wrong with it is in its problems. ``before``: as it was read
    last, by the same strictness; a file that is new is read twice within a moment, and compiled once."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        return unreadable(path, relative, (error.strerror or str(error)).lower())
    try:
        return _read(descriptor, path, relative, strictness, before)
    except OSError as error:
        return unreadable(path, relative, (error.strerror or str(error)).lower())
    finally:
        os.close(descriptor)


def unreadable(
    path: str, relative: str, cause: str, stamp: Stamp | None = None, reason: str = "Unreadable"
) -> FileState:
    """The state of a file that says nothing, and may say anything."""
    trouble = problem(path, reason, f"cannot read {path}: {cause}")
    return FileState(path, relative, stamp, kube.Loaded(pods=(), problems=(trouble,), complete=False, keys_in_error=()))


def _read(descriptor: int, path: str, relative: str, strictness: Strictness, before: FileState | None) -> FileState:
    there = os.fstat(descriptor)
    if not stat.S_ISREG(there.st_mode):
        return unreadable(path, relative, "it is not a regular file")
    if there.st_size > LARGEST:
        return _too_large(path, relative, there)
    data = _read_all(descriptor)
    if len(data) > LARGEST:
        return _too_large(path, relative, there)
    state = FileState(path, relative, Stamp.of(there), _compiled(path, data, strictness, before))
    if Stamp.of(os.fstat(descriptor)) != state.stamp or time.time_ns() - there.st_mtime_ns < _RACY_NS:
        return replace(state, again=True, content=data)
    return state


def _compiled(path: str, data: bytes, strictness: Strictness, before: FileState | None) -> kube.Loaded:
    if before is not None and before.again and before.path == path and before.content == data:
        return before.loaded
    return kube.load(path, data, strictness)


def _read_all(descriptor: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while size <= LARGEST:
        piece = os.read(descriptor, 1 << 20)
        if not piece:
            break
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)


def _too_large(path: str, relative: str, status: os.stat_result) -> FileState:
    cause = f"it has {status.st_size} bytes, more than the {LARGEST} that a manifest may have"
    return unreadable(path, relative, cause, Stamp.of(status), "TooLarge")
