"""firewalld's place for others' bridges: a zone. Ours goes into ``trusted``, as libvirt's and podman's go into theirs.

For the time being only (runtime configuration): nothing of ours outlives us in its files. A reload or restart of
firewalld forgets it, and is heard as a change of its table. ``firewall-cmd`` speaks D-Bus with the daemon (0.5 s a
call), so whether it is needed is read from the kernel's ruleset. Callers hold ``layout.network_lock``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.engine.effects import effect
from reconciler.engine.network.foreign import programs
from reconciler.engine.network.foreign.ruleset import Ruleset

TABLE = "firewalld"
ZONE = "trusted"
_PROGRAM = "firewall-cmd"
_DOING = "ask firewalld"


def is_there(ruleset: Ruleset) -> bool:
    return any(table == TABLE for _, table, _ in ruleset.chains)


def bound(ruleset: Ruleset, bridge: str) -> bool:
    """Whether firewalld has the bridge in its trusted zone, by its rules in the kernel."""
    targets = {f"filter_{kind}_{ZONE}" for kind in ("IN", "FWD", "FWDI")}
    return any(
        table == TABLE and _leads(expressions, bridge, targets)
        for (_, table, _), chain in ruleset.chains.items()
        for expressions in (rule.expressions for rule in chain.rules)
    )


def knows(ruleset: Ruleset, bridge: str) -> bool:
    """Whether the bridge is in a zone at all: one that its administrator chose stays as it is."""
    chains = (chain for (_, table, _), chain in ruleset.chains.items() if table == TABLE)
    return any(f"'{bridge}'" in str(rule.expressions) for chain in chains for rule in chain.rules)


def _leads(expressions: tuple[Mapping[str, Any], ...], bridge: str, targets: set[str]) -> bool:
    words = str(expressions)
    return f"'{bridge}'" in words and any(f"'{target}'" in words for target in targets)


@effect("firewalld.add")
def add(bridge: str) -> bool:
    """Put the bridge, which is in no zone, into ours. Raises TryLater with firewalld's words."""
    programs.run(_DOING, _PROGRAM, f"--zone={ZONE}", f"--change-interface={bridge}")
    return True


@effect("firewalld.remove")
def remove(bridge: str) -> bool:
    programs.run(_DOING, _PROGRAM, f"--zone={ZONE}", f"--remove-interface={bridge}")
    return True
