"""The smallest input, or nearly, that goes wrong in the same way."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

TRIES = 400
SECONDS = 60.0


def smaller(data: bytes, fails: Callable[[bytes], bool]) -> bytes:
    """Leave out lines, then bytes, as long as ``fails``: halves first, single ones last. Bounded in tries and time."""
    end = time.monotonic() + SECONDS
    tries = 0

    def still(candidate: bytes) -> bool:
        nonlocal tries
        tries += 1
        return tries <= TRIES and time.monotonic() < end and fails(candidate)

    data = b"".join(_reduced(data.splitlines(keepends=True), lambda rows: still(b"".join(rows))))
    return bytes(_reduced(list(data), lambda some: still(bytes(some))))


def _reduced(items: list[T], still: Callable[[list[T]], bool]) -> list[T]:
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
    return items
