"""How much memory the C library keeps for itself."""

from __future__ import annotations

import ctypes
from contextlib import suppress

_ARENA_MAX = -8
"""M_ARENA_MAX of <malloc.h>."""


def share_arenas(most: int) -> None:
    """Have all threads allocate from so many arenas (mallopt(3)); before there are any. Otherwise each has one of its
    own, up to eight for each processor, and each keeps what was freed there: with a controller's twenty threads that is
    a twentieth of its memory. They run one at a time, so none waits for another. Nothing happens where the C library
    knows no arenas.
    """
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_ARENA_MAX, most)
