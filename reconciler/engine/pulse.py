"""Whether a container runs, without reading all that is on record of it: for a command that is to begin at once."""

from __future__ import annotations

import json
from typing import Any

from reconciler.engine import files, processes
from reconciler.engine.layout import Layout
from reconciler.model.key import ContainerId
from reconciler.model.process import PidRef

_STATE = "state.json"
"""``records.ContainerFacts``."""


def runs(layout: Layout, container: ContainerId) -> bool:
    """Whether it was started, in this boot, and its process lives. Where not, ``observe`` knows what has become of it.

    Raises TryLater where that cannot be read.
    """
    facts = _facts(layout, container)
    if facts.get("boot") != processes.boot_id() or facts.get("exit") or not facts.get("started_wall"):
        return False
    try:
        return processes.alive(PidRef(int(facts["pid"]), int(facts["pid_start"])))
    except (ValueError, KeyError, TypeError):
        return False


def was_paused(layout: Layout, container: ContainerId) -> bool:
    """Whether somebody paused it; whether it is, the kernel knows (``pausing``). Raises TryLater."""
    return bool(_facts(layout, container).get("paused"))


def _facts(layout: Layout, container: ContainerId) -> dict[str, Any]:
    """Empty for a container whose creation, or whose file, was cut short."""
    try:
        facts = json.loads(files.read_or_none(layout.container(container) / _STATE) or b"{}")
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}
