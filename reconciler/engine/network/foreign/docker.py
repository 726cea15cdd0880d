"""docker's place for others' rules: the chain DOCKER-USER, which every forwarded packet passes before docker's own.

Docker sets the policy of FORWARD to drop where it switched forwarding on itself, so pods' traffic ends there. Its
documentation ("Docker on a router") has those who forward for others accept that in DOCKER-USER, which docker makes and
never flushes. Our rules stand behind those of the machine's administrator, who may have closed something on purpose,
and before the RETURN at the end. Towards docker's own networks docker decides, as it does about everybody else.

Each rule carries the comment "reconciler-TAG". They are written by iptables, the program that docker uses, so that
``iptables -S`` goes on showing all of it. Callers hold ``layout.network_lock``.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Collection, Iterable

from reconciler.engine.effects import effect
from reconciler.engine.network.foreign import programs
from reconciler.engine.network.foreign.ruleset import LEGACY, Ruleset

CHAIN = "DOCKER-USER"
_PROGRAMS = {
    ("ip", False): ("iptables-nft", "iptables"),
    ("ip6", False): ("ip6tables-nft", "ip6tables"),
    ("ip", True): ("iptables-legacy",),
    ("ip6", True): ("ip6tables-legacy",),
}
_DOING = f"make way in {CHAIN}"
_END = ["-A", CHAIN, "-j", "RETURN"]


def places(ruleset: Ruleset) -> tuple[tuple[str, bool], ...]:
    """Where docker's chain is: family, and whether it is iptables-legacy's."""
    tables = {"filter": False, LEGACY: True}
    return tuple(
        (family, legacy)
        for (family, table, chain) in ruleset.chains
        if chain == CHAIN and (legacy := tables.get(table)) is not None
    )


def bound(ruleset: Ruleset, bridge: str) -> bool:
    """Whether there are rules for the bridge. (Whose they are, only ``declare`` sees: libnftables shows no comment.)"""
    return any(
        chain == CHAIN and any(f"'{bridge}'" in str(rule.expressions) for rule in one.rules)
        for (_, _, chain), one in ruleset.chains.items()
    )


def declare(tag: str, family: str, legacy: bool, bridges: Collection[str]) -> bool:
    """Make DOCKER-USER hold our rules for just these bridges (none: no rule of ours); whether anything was written.

    Raises TryLater with iptables' words.
    """
    program = _program(family, legacy)
    if program is None:
        return False
    lines = [shlex.split(line) for line in programs.run(_DOING, program, "-w", "5", "-S", CHAIN).splitlines()]
    have = [line for line in lines if comment(tag) in line]
    want = [["-A", CHAIN, *rule] for bridge in sorted(bridges) for rule in rules(tag, bridge)]
    if have == want:
        return False
    _write(program, have, want, lines)
    return True


def rules(tag: str, bridge: str) -> list[list[str]]:
    """What makes way for a bridge, in order, as ``iptables -S`` shows it."""
    said = ["-m", "comment", "--comment", comment(tag)]
    state = ["-m", "conntrack", "--ctstate"]
    return [
        ["-i", bridge, "-o", "docker+", *said, "-j", "RETURN"],
        ["-i", bridge, "-o", "br-+", *said, "-j", "RETURN"],
        ["-i", bridge, *said, "-j", "ACCEPT"],
        ["-o", bridge, *state, "RELATED,ESTABLISHED", *said, "-j", "ACCEPT"],
        ["-o", bridge, *state, "DNAT", *said, "-j", "ACCEPT"],
    ]


def comment(tag: str) -> str:
    return f"reconciler-{tag}"


@effect("docker.rules")
def _write(program: str, have: Iterable[list[str]], want: list[list[str]], lines: list[list[str]]) -> None:
    """Old ones out, new ones in, in one transaction: killed anywhere, all or nothing is done. No word of our rules
    needs quotes, which iptables-restore reads differently from a shell."""
    rest = [line for line in lines if line not in have and line[0] == "-A"]
    at = rest.index(_END) if _END in rest else len(rest)
    commands = ["*filter"]
    commands += [" ".join(["-D", *line[1:]]) for line in have]
    commands += [" ".join(["-I", CHAIN, str(at + 1 + n), *line[2:]]) for n, line in enumerate(want)]
    text = "\n".join([*commands, "COMMIT", ""])
    programs.run(_DOING, f"{program}-restore", "-w", "5", "--noflush", text=text)


def _program(family: str, legacy: bool) -> str | None:
    return next((name for name in _PROGRAMS[family, legacy] if shutil.which(name)), None)
