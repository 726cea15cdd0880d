"""How many files this process may have open: a controller holds one for each process and port that it looks after."""

from __future__ import annotations

import fcntl
import os
import resource

_LOW = 2048
"""Numbers below it are for what comes and goes: libnftables waits by select(2), which takes none above 1023."""

_MOST = 1 << 18
"""Files that are enough for every port of each protocol."""


def make_room() -> None:
    """Let this process open as many files as it may, within reason; a usual limit is 1,024. Containers get limits of
    their own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST if hard == resource.RLIM_INFINITY else min(hard, _MOST)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def out_of_the_way(fd: int) -> int:
    """A descriptor that stays open for long, by a high number instead (close-on-exec); as it was where none is to be
    had. With three processes of each of 300 pods held by low numbers, no table of nftables could be read any more."""
    try:
        high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _LOW)
    except OSError:
        return fd
    os.close(fd)
    return high
