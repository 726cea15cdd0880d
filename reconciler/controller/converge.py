"""The commands that converge once: apply and down.

They run the controller's own machinery until there is nothing left to do, then end it; pods go on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from reconciler.controller.core import Core
from reconciler.controller.lock import holder, refuse_while_watched
from reconciler.controller.looking import UNDER_WAY, left_alone, told_of, wrong
from reconciler.controller.sync import OnStep, Result
from reconciler.controller.turns import DOWN, UP, Turns
from reconciler.controller.wanted import Wanted
from reconciler.controller.watch import Complaints
from reconciler.engine.images.disk import Disk
from reconciler.engine.layout import Layout
from reconciler.kube import Problem
from reconciler.model.clock import Clock, SystemClock
from reconciler.model.desired import Absent, Present, Suspended, Unknown
from reconciler.model.errors import InvalidInput, Permanent, ReconcilerError
from reconciler.model.interfaces import PodEngine
from reconciler.model.key import Key, SourceId
from reconciler.model.status import Phase, PodStatus
from reconciler.model.strictness import Strictness
from reconciler.sources.directory import SETTLE, DirectorySource, FileSource
from reconciler.sources.resolution import Resolution
from reconciler.sources.suspended import Suspensions

Tell = Callable[[str], None]
"""Takes what is going on, in a line; one that ends is to stay on the screen."""

TRIES = 3
"""Failures in a row after which a command without --wait gives a pod up."""

ENDING, MOMENT = 1.0, 0.25
"""Seconds that steps under way have left when the time is over, and what concerns no pod: either may be held up by
another process."""

STABLE = 0.3
"""Seconds that what was started must go on for ``wait``: what cannot run (a bad option, a missing file) ends sooner."""


@dataclass(frozen=True, slots=True)
class Row:
    """How one pod stands at the end. ``why``: what is not as wanted, one sentence each."""

    key: Key
    converged: bool
    status: PodStatus | None
    why: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """``steps`` counts what was done. ``problems`` are the files'. ``network``: what was mended of the pods' network,
    and what is new of others' firewalls."""

    rows: tuple[Row, ...]
    problems: tuple[Problem, ...]
    steps: int
    timed_out: bool = False
    network: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Every pod is as wanted, and every file could be read."""
        return not self.timed_out and all(r.converged for r in self.rows) and not any(p.is_error for p in self.problems)


def open_sources(
    paths: Sequence[str | Path],
    layout: Layout,
    clock: Clock | None = None,
    *,
    settle: float = SETTLE,
    prune: bool = False,
    network: str | None = None,
    strictness: Strictness | None = None,
) -> list[DirectorySource]:
    """A source for each path: a directory, or a single file. One that is gone counts as what it was, if it is known.

    ``network``: the one for pods that name none; ``strictness``: how the files are read (None: as it was last time).

    Raises InvalidInput where a path is neither there nor known.
    """
    memory = layout.state / "sources"
    made: list[DirectorySource] = []
    for path in paths:
        kinds: list[type[DirectorySource]] = [DirectorySource, FileSource]
        if Path(path).exists():
            kinds = [DirectorySource if Path(path).is_dir() else FileSource]
        found = [
            kind(
                path,
                clock=clock,
                memory_dir=memory,
                prune=prune,
                settle=settle,
                network=network,
                strictness=strictness,
            )
            for kind in kinds
        ]
        known = found if len(found) == 1 else [source for source in found if source.is_known]
        if not known:
            raise InvalidInput(f"cannot read {path}: no such file or directory")
        made += known[:1]
    return made


def apply(
    engine: PodEngine,
    sources: Sequence[DirectorySource],
    *,
    layout: Layout,
    wait: bool = False,
    timeout: float | None = None,
    clock: Clock | None = None,
    on_progress: OnStep | None = None,
    pull: Tell | None = None,
) -> Report:
    """Make this machine match ``sources``, once. ``pull``: with the images that registries have now; it is told what
    goes on.

    Goes on until nothing is left to do (graces, pulls and settling included); with ``wait`` until every container
    is ready or succeeded, or that cannot come any more. ``timeout``: seconds after which it ends either way.

    Raises Overtaken where a `down` of one of the sources was started meanwhile.
    """
    wanted = Wanted(sources, _word(layout, sources, UP), Suspensions(layout.suspended))
    once = _Once(engine, sources, layout, clock or SystemClock(), on_progress, wanted, complain=True)
    return once.run(wait, timeout, pull)


def down(
    engine: PodEngine,
    sources: Sequence[DirectorySource],
    *,
    layout: Layout,
    timeout: float | None = None,
    clock: Clock | None = None,
    on_progress: OnStep | None = None,
) -> Report:
    """Stop and remove every pod that ``sources`` own, whatever their files say; ends when they are gone.

    Raises Busy where a live controller watches one of them, Overtaken where somebody began to apply one meanwhile.
    """
    for source in sources:
        refuse_while_watched(layout.controller_lock, source.id, "take down")
    gone = _Gone(sources, _word(layout, sources, DOWN), Suspensions(layout.suspended))
    return _Once(engine, sources, layout, clock or SystemClock(), on_progress, gone).run(True, timeout)


def down_all(
    engine: PodEngine,
    *,
    layout: Layout,
    timeout: float | None = None,
    on_progress: OnStep | None = None,
    keys: Collection[Key] | None = None,
    tries: int | None = None,
) -> Report:
    """As ``down``, but every pod of the instance, or every one of ``keys`` (whose network goes), whoever owns it.

    The caller makes sure that no controller brings them back. ``tries``: a pod whose removal fails as often in a row
    is not waited for any longer.
    """
    wanted = _Everything(engine, Suspensions(layout.suspended), keys)
    return _Once(engine, (), layout, SystemClock(), on_progress, wanted, tries=tries).run(True, timeout)


def owns(layout: Layout, source: SourceId) -> int | None:
    """The pid of the live controller that watches ``source``."""
    live = holder(layout.controller_lock)
    return live.pid if live and source in live.sources else None


def _word(layout: Layout, sources: Sequence[DirectorySource], wish: str) -> Turns:
    return Turns(layout.turns, [source.id for source in sources], wish)


class _Once:
    """One run of the machinery until there is nothing left to do."""

    def __init__(
        self,
        engine: PodEngine,
        sources: Sequence[DirectorySource],
        layout: Layout,
        clock: Clock,
        on_progress: OnStep | None,
        wanted: Wanted,
        *,
        complain: bool = False,
        tries: int | None = None,
    ) -> None:
        """``complain``: files have a say in it, so what is wrong with them is told, and what runs is probed, unless a
        controller does that. ``tries``: how often in a row a pod may fail until nothing more is expected of it; None:
        as long as it is waited for, else TRIES."""
        self.clock = clock
        self.sources = sources
        self.steps = 0
        self.tries = tries
        self.changed = threading.Condition()
        self.on_progress = on_progress
        asked_by_another = any(owns(layout, source.id) for source in sources)
        self.core = Core(
            engine,
            wanted,
            clock,
            exits=layout.exits,
            probing=complain and not asked_by_another,
            verdicts=layout.verdicts if asked_by_another else None,
            images=Disk(layout.images).index,
            troubles=layout.troubles,
            on_step=self._step,
            on_change=lambda _key: self._notify(),
        )
        self.complaints = Complaints(engine, self.core.log) if complain else None

    def run(self, wait: bool, timeout: float | None, pull: Tell | None = None) -> Report:
        end = None if timeout is None else self.clock.now() + timeout
        timed_out = False
        self.core.adopt()
        keys = sorted(self.core.wanted.keys())
        if self.complaints:
            for source in self.sources:
                self.complaints.tell(source)
        if pull:
            self._renew(keys, pull)
        network = self._host("mend the network", self.core.engine.mend_network, end)
        network += self._host("tidy up", self._tidied, end)
        self.core.start()
        try:
            for key in keys:
                self.core.queue.add(key)
            timed_out = not self._wait_until(lambda: self._all_through(keys, wait), end)
            while wait and self.steps and not timed_out and not self._stays_through(keys):
                timed_out = not self._wait_until(lambda: self._all_through(keys, wait), end)
        finally:
            self.core.stop(*((ENDING,) if timed_out else ()))
        self.core.wanted.check_turn()
        network += self._host("look at the firewalls", self.core.engine.review_firewalls, end)
        return Report(tuple(self._row(key, wait) for key in keys), self._problems(), self.steps, timed_out, network)

    def _host(self, doing: str, question: Callable[[], tuple[str, ...]], end: float | None) -> tuple[str, ...]:
        """What concerns no pod in particular; pods are worked on even where it fails. In a thread of its own, which is
        left to itself when the time is over: another process may hold it up."""
        answer: Future[tuple[str, ...]] = Future()

        def ask() -> None:
            try:
                answer.set_result(question())
            except BaseException as error:
                answer.set_exception(error)

        threading.Thread(target=ask, name="host", daemon=True).start()
        try:
            return answer.result(None if end is None else max(MOMENT, end - self.clock.now()))
        except ReconcilerError as error:
            return (f"cannot {doing}: {error.message.partition(': ')[2] or error.message}",)
        except TimeoutError:
            return (f"cannot {doing}: another process holds it up",)

    def _tidied(self) -> tuple[str, ...]:
        self.core.tidy()
        return ()

    def _renew(self, keys: Sequence[Key], tell: Tell) -> None:
        for key in keys:
            desired = self.core.resolve(key).desired
            if isinstance(desired, Present):
                for failure in self.core.engine.renew_images(key, desired.spec, tell):
                    tell(f"{failure}\n")

    def _all_through(self, keys: Sequence[Key], wait: bool) -> bool:
        return all(self._is_through(key, wait) for key in keys)

    def _stays_through(self, keys: Sequence[Key]) -> bool:
        """Whether what was started just now goes on: a program that cannot run is told from one that does."""
        return not self._wait_until(lambda: not self._all_through(keys, True), self.clock.now() + STABLE)

    def _step(self, key: Key, action: object) -> None:
        with self.changed:
            self.steps += 1
        if self.on_progress:
            self.on_progress(key, action)  # type: ignore[arg-type]

    def _notify(self) -> None:
        with self.changed:
            self.changed.notify_all()

    def _wait_until(self, is_done: Callable[[], bool], end: float | None) -> bool:
        with self.changed:
            while not is_done():
                left = None if end is None else end - self.clock.now()
                if left is not None and left <= 0:
                    return False
                self.changed.wait(left)
        return True

    def _is_through(self, key: Key, wait: bool) -> bool:
        """Whether nothing more is to be expected of this key."""
        failure = self.core.failure(key)
        if failure is not None and not self.core.queue.holds(key):
            tries = self.tries or (None if wait else TRIES)
            return isinstance(failure.error, Permanent) or (tries is not None and failure.times >= tries)
        result = self.core.result(key)
        if result is None or self._is_under_way(key) or any(map(self._is_under_way, result.blocked_by)):
            return False
        if isinstance(result.desired, Absent):
            return result.owner is None or not self.core.wanted.looks_after(result.owner)
        if isinstance(result.desired, Unknown | Suspended):
            return not result.settling
        return not wait or result.status.converged or _is_hopeless(result)

    def _is_under_way(self, key: Key) -> bool:
        """Something goes on with this pod that ends by itself."""
        result = self.core.result(key)
        waiting = result.waiting if result else ()
        return self.core.queue.holds(key) or any(w.reason.why in UNDER_WAY for w in waiting)

    def _row(self, key: Key, wait: bool) -> Row:
        """Whoever does not ``wait`` is content when a pod runs."""
        failure = self.core.failure(key)
        result = self.core.result(key)
        if failure is not None:
            return Row(key, False, result.status if result else None, (failure.error.message,))
        if result is None:
            return Row(key, False, None, ("it was not looked at before the time was over",))
        if isinstance(result.desired, Absent):
            return Row(key, result.owner is None, None, () if result.owner is None else ("it is not gone yet",))
        if isinstance(result.desired, Unknown):
            return Row(key, False, result.status, (result.desired.why,))
        if isinstance(result.desired, Suspended):
            return Row(key, result.status.converged, result.status, (left_alone(key),))
        good = result.status.converged if wait else result.status.in_place
        if good and not result.waiting:
            return Row(key, True, result.status)
        return Row(key, good, result.status, _why_not(result))

    def _problems(self) -> tuple[Problem, ...]:
        if self.complaints is None:
            return ()
        return tuple(problem for source in self.sources for problem in source.problems())


class _Gone(Wanted):
    """All that the sources own is to go; nothing else is touched, and no file is asked. What is taken down is not left
    alone any longer."""

    def adopt(self, owners: Mapping[Key, SourceId]) -> None:
        super().adopt(owners)
        for key in self.owned():
            self.forget(key)

    def keys(self) -> set[Key]:
        return self.owned()

    def resolve(self, key: Key) -> Resolution:
        self.check_turn()
        if key in self.owned():
            return Resolution(Absent("its source was taken down"))
        owner = self.owner(key)
        return Resolution(Absent("it is gone") if owner is None else Unknown("it belongs to another source"))


class _Everything(Wanted):
    """Nothing is wanted any more, whoever wanted it; or nothing of ``keys``, whose network goes."""

    def __init__(self, engine: PodEngine, suspensions: Suspensions, keys: Collection[Key] | None = None) -> None:
        super().__init__((), suspensions=suspensions)
        self._engine = engine
        self._keys = keys

    def keys(self) -> set[Key]:
        there = set(self._engine.keys())
        return there if self._keys is None else there & set(self._keys)

    def looks_after(self, _owner: SourceId) -> bool:
        return True

    def resolve(self, _key: Key) -> Resolution:
        return Resolution(Absent("everything is removed" if self._keys is None else "its network is removed"))


def _is_hopeless(result: Result) -> bool:
    """Every container that is not as wanted has ended for good, or the pod has failed as a whole."""
    containers, waiting = result.status.containers, result.waiting
    if result.status.reason:
        return not any(c.state == "running" for c in result.status.everyone)
    if result.status.phase is Phase.FAILED and not waiting:
        return True
    return all(c.ready or (c.state == "terminated" and not waiting) for c in containers) and bool(containers)


def _why_not(result: Result) -> tuple[str, ...]:
    told = list(dict.fromkeys(told_of(w) for w in result.waiting))
    for name, said in wrong(result.status):
        # What is told of a container, or keeps the whole pod, is told once.
        if said not in told and not any(t.startswith(f"container {name}: ") for t in told):
            told.append(f"container {name}: {said}")
    return tuple(told) or ((result.status.message,) if result.status.message else ())
