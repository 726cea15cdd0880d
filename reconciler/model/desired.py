"""What is wanted of a key: there, gone, or not known (and then nothing is ever stopped)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from reconciler.model.key import SourceId
from reconciler.model.spec import PodSpec


class RunState(StrEnum):
    CREATED = "created"
    RUNNING = "running"
    STOPPED = "stopped"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class Missing:
    """A reference that nothing answers yet (a ConfigMap, a Secret…): the pod waits for it."""

    kind: str
    name: str
    field: str


@dataclass(frozen=True, slots=True)
class Present:
    """Wanted as ``spec``. ``settled`` False: the source is not quiet, so additions and edits go on but members
    are not removed yet. ``problem`` is something to show beside it (a second file that claims the key)."""

    spec: PodSpec
    owner: SourceId
    run: RunState = RunState.RUNNING
    missing: tuple[Missing, ...] = ()
    settled: bool = True
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Absent:
    """Not wanted any more, and its removal is due (settled, guarded, owned by the source that asks)."""

    why: str = "its manifest was removed"


@dataclass(frozen=True, slots=True)
class Unknown:
    """Its file is broken, unreadable, vanished a moment ago or held back by the guard: what runs, runs on."""

    why: str


Desired = Present | Absent | Unknown
