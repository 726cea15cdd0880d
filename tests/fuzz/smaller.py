"""The smallest input, or nearly, that goes wrong in the same way."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")

TRIES = 400
SECONDS = 60.0


class _Enough(Exception):
    """Tries or time are used up."""


def smaller(data: bytes, fails: Callable[[bytes], bool]) -> bytes:
    """Leave out lines, then bytes, as long as ``fails``: halves first, single ones last. Bounded in tries and time."""
    end = time.monotonic() + SECONDS
    tries = 0

    def still(candidate: bytes) -> bool:
        nonlocal data, tries
        tries += 1
        if tries > TRIES or time.monotonic() > end:
            raise _Enough
        if failed := fails(candidate):
            data = candidate
        return failed

    with suppress(_Enough):
        _reduce(data.splitlines(keepends=True), lambda rows: still(b"".join(rows)))
        _reduce(list(data), lambda some: still(bytes(some)))
    return data


def _reduce(items: list[T], still: Callable[[list[T]], bool]) -> None:
    size = len(items) // 2
    while size:
        at = 0
        while at < len(items):
            without = items[:at] + items[at + size :]
            if without and still(without):
                items = without
            else:
                at += size
        size //= 2
