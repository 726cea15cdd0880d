"""The commands that look without touching: diff and status; and how what they see is told.

No lock is taken, and nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from reconciler.controller.core import Core
from reconciler.controller.sync import look
from reconciler.controller.troubles import left_word
from reconciler.controller.wanted import Wanted
from reconciler.model.actions import (
    KillContainer,
    PodActions,
    RemoveContainer,
    RemoveSandbox,
    StopContainer,
    Waiting,
    Why,
)
from reconciler.model.clock import Clock, SystemClock
from reconciler.model.desired import Absent, Desired, Present, Suspended, Unknown
from reconciler.model.interfaces import PodEngine
from reconciler.model.key import Key
from reconciler.model.observed import Observed
from reconciler.model.spec import VolumeKind
from reconciler.model.status import INITIALIZING, ContainerStatus, Phase, PodStatus
from reconciler.plan.sentences import describe
from reconciler.sources.directory import DirectorySource
from reconciler.sources.resolution import Resolution
from reconciler.sources.suspended import Suspensions

UNDER_WAY = frozenset({Why.TERMINATING, Why.PULLING, Why.NOT_SETTLED, Why.CREATING, Why.INITIALIZING})
"""Waiting that ends by itself soon; every other kind may last for ever."""

NO_CHANGE = frozenset({Why.TERMINATING, Why.BACKOFF, Why.CREATING, Why.INITIALIZING, Why.DEADLINE, Why.EVICTED})
"""Waiting that has nothing to do with what the manifests say."""


@dataclass(frozen=True, slots=True)
class PodDiff:
    """What would be done to one pod: sentences. ``waiting``: what stands in the way, or is held back. ``suspended``:
    nothing would, it is left alone; the rest is what its manifest asks for all the same."""

    key: Key
    actions: tuple[str, ...]
    waiting: tuple[str, ...] = ()
    suspended: bool = False

    @property
    def is_as_wanted(self) -> bool:
        return not self.actions and not self.waiting


@dataclass(frozen=True, slots=True)
class StatusRow:
    """One file (or, with an empty ``file``, a pod whose file is not known)."""

    file: str
    objects: tuple[Key, ...]
    state: str
    problems: tuple[str, ...] = ()


def diff(
    engine: PodEngine,
    sources: Sequence[DirectorySource],
    *,
    clock: Clock | None = None,
    suspensions: Suspensions | None = None,
) -> tuple[PodDiff, ...]:
    """What ``apply`` would do now; nothing is changed."""
    clock = clock or SystemClock()
    core = _onlooker(engine, sources, clock, suspensions)
    found = []
    for key in sorted(core.wanted.keys()):
        suspended = isinstance(core.resolve(key).desired, Suspended)
        plan, resolution, have, _ = look(key, _AsMeant(core), engine, clock)
        actions = _sentences(key, plan, have)
        waiting = tuple(dict.fromkeys(told_of(w) for w in plan.waiting if w.reason.why not in NO_CHANGE))
        if isinstance(resolution.desired, Unknown) and key not in core.wanted.owned():
            waiting = (resolution.desired.why,)
        if actions or waiting or suspended:
            found.append(PodDiff(key, actions, waiting, suspended))
    return tuple(found)


def status(
    engine: PodEngine,
    sources: Sequence[DirectorySource],
    *,
    clock: Clock | None = None,
    troubles: Path | None = None,
    suspensions: Suspensions | None = None,
) -> list[StatusRow]:
    """A row for each file, and one for each pod whose file is gone. ``troubles``: where syncs leave word of theirs.

    STATE is Converged, Converging, Error (the file, or a pod of it), Suspended (a pod of it is) or Held (kept although
    not defined).
    """
    clock = clock or SystemClock()
    core = _onlooker(engine, sources, clock, suspensions)
    rows: list[StatusRow] = []
    for source in sources:
        rows += _source_rows(core, source, engine, clock, troubles)
    return rows


def left_alone(key: Key) -> str:
    """That a pod is left alone, and what ends that."""
    return f"it is suspended: `reconciler resume {key.name}` takes it up again"


def _sentences(key: Key, plan: PodActions, have: Observed) -> tuple[str, ...]:
    """The steps in words; where the whole pod ends, that in one sentence, and what is lost with it."""
    ends = [step for step in plan.steps if step.reason.why in _ENDS and isinstance(step, _ENDING)]
    told = []
    if ends and have.applied is not None:
        reason = ends[0].reason
        volumes = any(volume.kind is VolumeKind.EMPTY_DIR for volume in have.applied.volumes)
        lost = "; the data in its emptyDir volumes goes with it" if volumes and reason.why is Why.POD_CHANGED else ""
        told.append(f"{_ENDS[reason.why]} pod {key} because {reason.text}{lost}")
    told += [describe(step) for step in plan.steps if step not in ends]
    return tuple(dict.fromkeys(told))


_ENDS = {Why.POD_CHANGED: "recreate", Why.INFRA_DIED: "recreate"}
_ENDING = (StopContainer, KillContainer, RemoveContainer, RemoveSandbox)


class _AsMeant:
    """What would be wanted if nothing were suspended, for those who only look."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.releases, self.learn = core.releases, core.learn

    def resolve(self, key: Key) -> Resolution:
        answer = self._core.resolve(key)
        return replace(answer, desired=answer.desired.meant) if isinstance(answer.desired, Suspended) else answer


def _onlooker(
    engine: PodEngine, sources: Sequence[DirectorySource], clock: Clock, suspensions: Suspensions | None
) -> Core:
    for source in sources:
        source.only_look()
    core = Core(engine, Wanted(sources, suspensions=suspensions), clock)
    core.adopt()
    return core


def wrong(status: PodStatus) -> Iterator[tuple[str, str]]:
    """Each container that neither is ready nor ended well, and what there is to say of it. Those that have had no turn
    yet have nothing to say where another has."""
    behind = [c for c in status.everyone if not c.ready and not (c.state == "waiting" and c.reason == INITIALIZING)]
    for container in behind or status.everyone:
        code = container.exit.code if container.state == "terminated" and container.exit else None
        if not container.ready and code != 0:
            ended = f"exited with code {code}" if code else ""
            yield container.name, container.message.strip() or ended or container.reason or container.state


def _failed_for_good(plan: PodActions, status: PodStatus) -> list[str]:
    """Sentences, where nothing is left to do for a pod and a container of it has failed (restartPolicy Never)."""
    if plan.steps or plan.waiting or not (status.phase is Phase.FAILED or all(map(_is_settled, status.containers))):
        return []
    return [f"container {name}: {said}" for name, said in wrong(status)]


def _is_settled(container: ContainerStatus) -> bool:
    return container.ready or container.state == "terminated"


def told_of(waiting: Waiting) -> str:
    """What is waited for, in a sentence."""
    return f"container {waiting.container}: {waiting.reason.text}" if waiting.container else waiting.reason.text


def _source_rows(
    core: Core, source: DirectorySource, engine: PodEngine, clock: Clock, troubles: Path | None
) -> list[StatusRow]:
    problems = source.problems()
    rows = []
    shown: set[Key] = set()
    for file in source.snapshot.files.values():
        keys = tuple(pod.spec.key for pod in file.loaded.pods)
        mine = [key for key in keys if source.path_of(key) in ("", file.path)]
        shown.update(mine)
        told = [str(p) for p in problems if p.path == file.path and p.is_error]
        others = tuple(Key(one.value.namespace, one.value.name, one.value.kind) for one in file.loaded.objects)
        rows.append(_row_of(file.path, (*keys, *others), mine, told, core, engine, clock, troubles))
    rows += [
        StatusRow(p.path, (), "Error", (p.message,))
        for p in problems
        if p.path not in {r.file for r in rows} and p.is_error
    ]
    for key in sorted(core.wanted.owned() & source.owned - shown):
        plan, resolution, _, _ = look(key, core, engine, clock)
        state, why = _without_file(key, plan, resolution.desired)
        rows.append(StatusRow(source.path_of(key), (key,), state, why))
    return rows


def _without_file(key: Key, plan: PodActions, desired: Desired) -> tuple[str, tuple[str, ...]]:
    match desired:
        case Suspended():
            return "Suspended", (left_alone(key),)
        case Unknown():
            return "Converging" if plan.steps else "Held", (desired.why,)
        case Absent():
            return "Converging", (desired.why,)
        case Present():
            return "Converging", ()


def _row_of(
    path: str,
    keys: tuple[Key, ...],
    mine: list[Key],
    told: list[str],
    core: Core,
    engine: PodEngine,
    clock: Clock,
    troubles: Path | None,
) -> StatusRow:
    state = "Error" if told else "Converged"
    for key in mine:
        plan, resolution, _, stands = look(key, core, engine, clock)
        if isinstance(resolution.desired, Suspended):
            found, why = "Suspended", [left_alone(key)]
        elif stands.converged and not plan.steps:
            continue
        else:
            why = [told_of(w) for w in plan.waiting if w.reason.why not in UNDER_WAY]
            why = why or (left_word(stands, troubles, key, plan.waiting) if troubles else [])
            why = why or _failed_for_good(plan, stands)
            stuck = bool(why) or not isinstance(resolution.desired, Present)
            found = "Error" if stuck else "Converging"
        state = max(state, found, key=_STATES.index)
        told += [f"{key}: {text}" for text in why or ([stands.message] if stands.message else [])]
    return StatusRow(path, keys, state, tuple(dict.fromkeys(told)))


_STATES = ("Converged", "Suspended", "Converging", "Error")
"""The worse, the later."""
