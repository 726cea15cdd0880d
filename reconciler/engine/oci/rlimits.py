"""Resource limits of containers' processes: Podman's defaults or the owner's, as far as we may set them.

Without CAP_SYS_RESOURCE a hard limit can only be lowered, and both runtimes fail a container that asks for more. So
each limit is cut to what can be had, and what was cut is told (``info``).
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from reconciler.model.words import ULIMITS

UNLIMITED = "unlimited"
INFINITY = (1 << 64) - 1
"""RLIM_INFINITY as OCI's config.json writes it."""

_LOCKS = 10
"""RLIMIT_LOCKS, which Python does not name."""


@dataclass(frozen=True, slots=True)
class Rlimit:
    """``name`` as setrlimit(2) has it, in small letters and without RLIMIT_."""

    name: str
    soft: int
    hard: int

    def oci(self) -> dict[str, Any]:
        return {"type": f"RLIMIT_{self.name.upper()}", "hard": self.hard, "soft": self.soft}

    def __str__(self) -> str:
        return f"{self.name}={show(self.soft)}:{show(self.hard)}"


DEFAULT = (Rlimit("nofile", 1048576, 1048576), Rlimit("nproc", 1048576, 1048576))
"""Podman's (containers/common, pkg/config). All others are inherited."""


def parse(text: str) -> Rlimit:
    """``nofile=1024:2048``, soft and hard, or one value for both, as Podman's default_ulimits. Raises ValueError."""
    name, equals, values = text.partition("=")
    name = name.strip().lower()
    if not equals or name not in ULIMITS:
        raise ValueError(f"{text!r} is not a limit such as nofile=1024:2048")
    soft, colon, hard = values.partition(":")
    limit = Rlimit(name, _value(soft, text), _value(hard if colon else soft, text))
    if limit.soft > limit.hard:
        raise ValueError(f"{text!r}: the soft limit is more than the hard one")
    return limit


def settle(
    wanted: Iterable[Rlimit], ceiling: int | None, hard_of: Callable[[str], int]
) -> tuple[tuple[Rlimit, ...], tuple[str, ...]]:
    """The limits that can be set, and a sentence for each that is lower than wanted.

    ``ceiling`` is what no process may exceed as nofile (fs.nr_open) where we may raise limits, None where we may not;
    ``hard_of`` is our own hard limit by name.
    """
    limits, told = [], []
    for want in wanted:
        most, why = INFINITY, ""
        if ceiling is None:
            most, why = hard_of(want.name), "our own hard limit, and CAP_SYS_RESOURCE is missing"
        elif want.name == "nofile":
            most, why = ceiling, "fs.nr_open"
        got = Rlimit(want.name, min(want.soft, most), min(want.hard, most))
        limits.append(got)
        if got != want:
            told.append(f"{want.name} is {show(got.hard)}, not {show(want.hard)}: {why}")
    return tuple(limits), tuple(told)


def merged(owners: Iterable[Rlimit]) -> tuple[Rlimit, ...]:
    """The defaults, with what the machine's owner decided in their place."""
    return tuple({limit.name: limit for limit in (*DEFAULT, *owners)}.values())


def own_hard(name: str) -> int:
    """The hard limit of this process."""
    number = _LOCKS if name == "locks" else getattr(resource, f"RLIMIT_{name.upper()}")
    hard = resource.getrlimit(number)[1]
    return INFINITY if hard == resource.RLIM_INFINITY else hard


def show(value: int) -> str:
    return UNLIMITED if value == INFINITY else str(value)


def _value(text: str, whole: str) -> int:
    text = text.strip()
    if text in ("-1", UNLIMITED):
        return INFINITY
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{whole!r} is not a limit such as nofile=1024:2048")
    return min(int(text), INFINITY)
