"""Whose umask counts: the caller's for files that he asked for, none of his for what is the instance's.

What we make has modes of its own, and what a container sees of it (its root, /etc/hosts, volumes) has to be open to its
users. With root's umask at 077, as on many servers, they would be shut out; with 0 anybody could change logs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

OURS = 0o022

_callers: list[int] = []


def take_ours() -> None:
    """From now on; once for each process."""
    before = os.umask(OURS)
    if not _callers:
        _callers.append(before)


@contextmanager
def as_called() -> Iterator[None]:
    """The caller's umask, for a file of his. While nothing else is written."""
    ours = os.umask(_callers[0]) if _callers else None
    try:
        yield
    finally:
        if ours is not None:
            os.umask(ours)
