"""How many files this process may have open: a controller holds one for each process and port that it looks after."""

from __future__ import annotations

import resource

_MOST = 1 << 18
"""Files that are enough for every port of each protocol."""


def make_room() -> None:
    """Let this process open as many files as it may, within reason; a usual limit is 1,024. Containers get limits of
    their own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST if hard == resource.RLIM_INFINITY else min(hard, _MOST)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
