"""What `top` can show of a process: the descriptors of ps(1) as AIX has them, and podman's own (containers/psgo)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.cli.units import duration
from reconciler.model.errors import InvalidInput

if TYPE_CHECKING:
    from reconciler.engine.inside import Inside, Process

_SECCOMP = {0: "disabled", 1: "strict", 2: "filter"}


@dataclass(frozen=True, slots=True)
class Shown:
    """A process, and the container that it is in."""

    process: Process
    inside: Inside
    container: str = ""

    def user(self, uid: int) -> str:
        return self.inside.users.get(uid, str(uid))

    def group(self, gid: int) -> str:
        return self.inside.groups.get(gid, str(gid))


Cell = Callable[[Shown], object]

DESCRIPTORS: dict[str, tuple[str, Cell]] = {
    "args": ("COMMAND", lambda shown: shown.process.command),
    "capamb": ("AMBIENT CAPS", lambda shown: _capabilities(shown, "CapAmb")),
    "capbnd": ("BOUNDING CAPS", lambda shown: _capabilities(shown, "CapBnd")),
    "capeff": ("EFFECTIVE CAPS", lambda shown: _capabilities(shown, "CapEff")),
    "capinh": ("INHERITED CAPS", lambda shown: _capabilities(shown, "CapInh")),
    "capprm": ("PERMITTED CAPS", lambda shown: _capabilities(shown, "CapPrm")),
    "comm": ("COMMAND", lambda shown: shown.process.name),
    "container": ("CONTAINER", lambda shown: shown.container),
    "etime": ("ELAPSED", lambda shown: duration(shown.process.elapsed)),
    "group": ("GROUP", lambda shown: shown.group(shown.process.groups.effective)),
    "groups": ("GROUPS", lambda shown: ",".join(map(shown.group, shown.process.groups.more))),
    "hgroup": ("HGROUP", lambda shown: _host_group(shown.process.host_groups.effective)),
    "hgroups": ("HGROUPS", lambda shown: ",".join(map(_host_group, shown.process.host_groups.more))),
    "hpid": ("HPID", lambda shown: shown.process.host_pid),
    "huid": ("HUID", lambda shown: shown.process.host_users.effective),
    "huser": ("HUSER", lambda shown: _host_user(shown.process.host_users.effective)),
    "label": ("LABEL", lambda shown: shown.process.label or "?"),
    "nice": ("NI", lambda shown: shown.process.nice),
    "pcpu": ("%CPU", lambda shown: f"{100 * shown.process.cpu / shown.process.elapsed:.3f}"),
    "pgid": ("PGID", lambda shown: shown.process.group),
    "pid": ("PID", lambda shown: shown.process.pid),
    "ppid": ("PPID", lambda shown: shown.process.parent),
    "rgroup": ("RGROUP", lambda shown: shown.group(shown.process.groups.real)),
    "rss": ("RSS", lambda shown: shown.process.resident >> 10),
    "ruser": ("RUSER", lambda shown: shown.user(shown.process.users.real)),
    "seccomp": ("SECCOMP", lambda shown: _SECCOMP.get(shown.process.seccomp, "?")),
    "state": ("STATE", lambda shown: shown.process.state),
    "stime": ("STIME", lambda shown: _moment(time.time() - shown.process.elapsed)),
    "time": ("TIME", lambda shown: duration(shown.process.cpu)),
    "tty": ("TTY", lambda shown: shown.process.tty),
    "uid": ("UID", lambda shown: shown.process.users.effective),
    "user": ("USER", lambda shown: shown.user(shown.process.users.effective)),
    "vsz": ("VSZ", lambda shown: shown.process.size >> 10),
}
"""Heading and content of a column by the descriptor's name. Sizes are KiB."""

CODES = {
    "%C": "pcpu",
    "%G": "group",
    "%P": "ppid",
    "%U": "user",
    "%a": "args",
    "%c": "comm",
    "%g": "rgroup",
    "%n": "nice",
    "%p": "pid",
    "%r": "pgid",
    "%t": "etime",
    "%u": "ruser",
    "%x": "time",
    "%y": "tty",
    "%z": "vsz",
}

DEFAULT = ("user", "pid", "ppid", "pcpu", "etime", "tty", "time", "args")


def chosen(words: Sequence[str]) -> tuple[str, ...]:
    """The names of the descriptors that were asked for, one by one or parted by commas; none: the usual ones.

    Raises InvalidInput.
    """
    names = [part.strip() for word in words for part in word.split(",") if part.strip()]
    for name in names:
        if name not in DESCRIPTORS and name not in CODES:
            raise InvalidInput(
                f'cannot show "{name}": there are {", ".join(DESCRIPTORS)}',
                hint="for options of ps, run that: reconciler exec CONTAINER -- ps" if name.startswith("-") else "",
            )
    return tuple(CODES.get(name, name) for name in names) or DEFAULT


def cells(names: Iterable[str], shown: Shown) -> list[object]:
    return [DESCRIPTORS[name][1](shown) for name in names]


def headings(names: Iterable[str]) -> list[str]:
    return [DESCRIPTORS[name][0] for name in names]


def _capabilities(shown: Shown, kind: str) -> str:
    """``full`` or ``none``, or those there are, in the order of the alphabet."""
    from reconciler.engine.oci.capabilities import NAMES

    bits = shown.process.capabilities[kind]
    there = sorted(name.removeprefix("CAP_") for place, name in enumerate(NAMES) if bits >> place & 1)
    return "full" if len(there) == len(NAMES) else ",".join(there) or "none"


def _host_user(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _host_group(gid: int) -> str:
    import grp

    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _moment(wall: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(wall))
