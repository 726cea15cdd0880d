"""What is wanted of a key: there, gone, left alone, or not known (and then nothing is ever stopped)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from reconciler.model.key import SourceId
from reconciler.model.service import ServiceName
from reconciler.model.spec import PodSpec


class RunState(StrEnum):
    """What a pod or a member of it is to be at. PAUSED is for members only."""

    CREATED = "created"
    """Made, down to a process that waits to be started."""
    RUNNING = "running"
    STOPPED = "stopped"
    """Not running, and everything of it kept: it can be started again."""
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class Missing:
    """A reference that nothing answers yet (a ConfigMap, a Secret…): the pod waits for it, or where it is given only
    that ``container`` of it. ``volume``: in whose files it should stand. ``text``: what there is to say, if it is more
    than that it is not there."""

    kind: str
    name: str
    field: str
    container: str = ""
    volume: str = ""
    text: str = ""

    def __str__(self) -> str:
        what = self.text or f'{self.kind.lower()} "{self.name}" not found'
        return f"{what} (needed by {self.field})"


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted of one member beyond its spec: only pods made by hand say so.

    ``turn`` numbers its lives: a container that had an earlier one begins another, however it ended and whatever its
    restart policy says, and one that runs is stopped for it. ``grace``: seconds to stop (None: its spec's).
    """

    run: RunState = RunState.RUNNING
    turn: int = 0
    grace: float | None = None


@dataclass(frozen=True, slots=True)
class Present:
    """Wanted as ``spec``. ``settled`` False: the source is not quiet, so additions and edits go on but members
    are not removed yet. ``problem`` is something to show beside it (a second file that claims the key). ``wishes`` of
    members by name. ``services``: those that select it; None: nothing is known of them."""

    spec: PodSpec
    owner: SourceId
    run: RunState = RunState.RUNNING
    missing: tuple[Missing, ...] = ()
    settled: bool = True
    problem: str = ""
    wishes: tuple[tuple[str, Wish], ...] = ()
    services: tuple[ServiceName, ...] | None = None

    def wish(self, name: str) -> Wish:
        """What is wanted of a member: a pod that does not run has none that does."""
        own = next((wish for member, wish in self.wishes if member == name), Wish())
        return own if self.run is RunState.RUNNING else replace(own, run=self.run)


@dataclass(frozen=True, slots=True)
class Absent:
    """Not wanted any more, and its removal is due (settled, guarded, owned by the source that asks). ``grace``: seconds
    that its containers have to stop (None: as their specs say)."""

    why: str = "its manifest was removed"
    grace: float | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """Its file is broken, unreadable, vanished a moment ago or held back by the guard: what runs, runs on."""

    why: str


@dataclass(frozen=True, slots=True)
class Suspended:
    """A person wants it left alone: nothing of it is started, changed or removed. ``meant``: what would be wanted of
    it; ``since``: when that was said, as seconds since the epoch."""

    meant: Present | Absent | Unknown
    since: float = 0.0


Desired = Present | Absent | Unknown | Suspended
