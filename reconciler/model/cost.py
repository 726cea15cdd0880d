"""What a change of a field costs a running pod: the metadata from which the disruption table is derived.

Every field of every spec class carries a cost (``costs(Cost.X)``) or is a nested spec (``nested()``);
a field with neither fails a test. ``plan.disruption`` compares specs by it.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, field, fields
from enum import IntEnum
from typing import Any


class Cost(IntEnum):
    """Ordered: the cost of a change is the highest cost of the fields that differ."""

    NOTHING = 0
    """Documentation only; not even written down again."""
    RECORD = 1
    """Recorded with the pod; no process is touched."""
    LIVE = 2
    """Applied to the running container (limits) or pod (its files in /etc), no restart."""
    CONTAINER = 3
    """That container is replaced; its siblings keep their processes."""
    POD = 4
    """The pod is recreated with a new infra container."""


def costs(cost: Cost, default: Any = MISSING) -> Any:
    """Declare a spec field whose change costs ``cost``."""
    return field(default=default, metadata={"cost": cost})


def differs(old: Any, new: Any, least: Cost) -> bool:
    """Whether two specs of one class differ in a field whose change costs ``least`` or more."""
    for one in fields(old):
        before, after = getattr(old, one.name), getattr(new, one.name)
        if before != after and (differs(before, after, least) if one.metadata.get("nested") else _is_dear(one, least)):
            return True
    return False


def _is_dear(one: Field[Any], least: Cost) -> bool:
    return bool(one.metadata["cost"] >= least)


def nested(default: Any = MISSING) -> Any:
    """Declare a spec field that holds specs of its own, compared by their own fields."""
    return field(default=default, metadata={"nested": True})
