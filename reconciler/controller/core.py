"""The machinery that ``watch`` and ``converge`` share: a queue, workers, and what is to be done after a sync.

Threads: ``workers`` of them sync keys, one more waits for exits. What they share is the queue, the results (under
a lock) and the sources, which lock themselves.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from reconciler.controller.exits import ExitWatcher
from reconciler.controller.health import Health
from reconciler.controller.lead import Lead
from reconciler.controller.log import Log, Silent, told
from reconciler.controller.names import NameKeeper
from reconciler.controller.narrate import Narrator
from reconciler.controller.probes import Prober
from reconciler.controller.queue import WorkQueue
from reconciler.controller.sync import OnStep, Result, sync_pod
from reconciler.controller.troubles import save, troubles_in
from reconciler.controller.wanted import Wanted
from reconciler.model.actions import Action, RemoveSandbox, Why
from reconciler.model.clock import Clock
from reconciler.model.desired import Absent, Suspended
from reconciler.model.errors import Permanent, ReconcilerError, TryLater
from reconciler.model.interfaces import PodEngine
from reconciler.model.key import Key, SourceId
from reconciler.model.observed import Instant
from reconciler.model.spec import PortBinding
from reconciler.sources.resolution import Resolution

WORKERS = 8
RETRY_FIRST = 0.5
RETRY_MOST = 60.0
"""Seconds: a key that fails is tried again after 0.5, 1, 2, … 60."""

STUCK = frozenset({Why.PROBLEM, Why.PULLING, Why.PULL_FAILED, Why.IMAGE_NEVER})
"""A pod that waits for one of these does not give up what it has."""

FOR_IMAGES = frozenset({Why.PULLING, Why.PULL_FAILED, Why.IMAGE_NEVER})


@dataclass(frozen=True, slots=True)
class Failure:
    """A sync that ended with an error: the last one, and how many in a row."""

    error: ReconcilerError
    times: int


class Core:
    """See the module. ``on_step`` is called from a worker after each step that succeeded, ``on_change`` after each
    sync, however it ended: what may wait there gives up ``lead`` before. ``exits``: the directory where exit files
    appear (None: nobody watches it); ``images``: the directory of which a file is replaced when an image was loaded or
    pulled, by whichever process; ``troubles``: where lookers find what a sync ran into; ``names``: the directory where
    a start of the name server shows (None: nobody keeps it running). ``probing``: whether containers are probed;
    ``verdicts``: the directory where it shows what another process finds that does so."""

    def __init__(
        self,
        engine: PodEngine,
        wanted: Wanted,
        clock: Clock,
        *,
        exits: Path | None = None,
        images: Path | None = None,
        troubles: Path | None = None,
        names: Path | None = None,
        probing: bool = False,
        verdicts: Path | None = None,
        workers: int = WORKERS,
        log: Log | None = None,
        on_step: OnStep | None = None,
        on_change: Callable[[Key], None] | None = None,
    ) -> None:
        self.engine = engine
        self.wanted = wanted
        wanted.digest = engine.digest
        engine.use_objects(wanted.objects_for)
        self.clock = clock
        self.log = log or Silent()
        self.queue: WorkQueue[Key] = WorkQueue(clock)
        self.narrator = Narrator(engine, self.log)
        self.health = Health()
        self._troubles = troubles
        self._workers = workers
        self._on_step = on_step
        self._on_change = on_change
        self._lock = threading.Lock()
        self.lead = Lead()
        self._turn = threading.Lock()
        """Looks are Python and tiny files: of two at the same time each would have the interpreter for one file."""
        self._afterwards: list[Callable[[], None]] = []
        self._results: dict[Key, Result] = {}
        self._failures: dict[Key, Failure] = {}
        self._threads: list[threading.Thread] = []
        self._pool: ThreadPoolExecutor | None = None
        self._exits = ExitWatcher(exits, engine.key_of, self.queue.add, clock) if exits else None
        if self._exits and images:
            self._exits.also(images, self._images_changed)
        if self._exits and wanted.suspensions:
            self._exits.also(wanted.suspensions.directory, self._suspensions_changed, deletions=True)
        if self._exits and verdicts:
            self._exits.also_containers(verdicts)
        self._prober = Prober(engine, clock, self.queue.add, self.log) if probing else None
        self._names = NameKeeper(engine, self._exits, names, self.log) if self._exits and names else None

    # --- life --------------------------------------------------------------------------------------------------

    def adopt(self) -> set[Key]:
        """Learn whose every recorded pod is; the keys of all of them."""
        owners = {}
        for key in self.engine.keys():  # noqa: SIM118 (an engine is no dict)
            try:
                sandbox = self.engine.look(key).sandbox
            except ReconcilerError as error:
                self.log.error("cannot adopt pod", pod=str(key), cause=error.message)
                continue
            if sandbox is not None:
                owners[key] = sandbox.owner
        self.wanted.adopt(owners)
        return set(owners)

    def tidy(self) -> None:
        """Collect what killed predecessors left; before ``start``."""
        try:
            self.engine.tidy()
        except ReconcilerError as error:
            self.log.warning("cannot tidy up", cause=error.message)

    def start(self) -> None:
        """Begin to work: exits first, so that none is missed between a look and the wait for the next event."""
        self.engine.stay()
        self.engine.listeners.append(self.queue.add)
        if self._exits:
            self._exits.start()
            self.health.must_live(self._exits.thread)
        if self._names:
            self._names.start()
            self.health.must_live(self._names.thread)
        if self._prober:
            self._prober.start()
            self.health.must_live(self._prober.thread)
        self._pool = ThreadPoolExecutor(max_workers=2 * self._workers, thread_name_prefix="step")
        for number in range(self._workers):
            thread = threading.Thread(target=self._work, name=f"worker-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()
            self.health.must_live(thread)

    def stop(self, timeout: float = 10.0) -> bool:
        """Take no new key, let the steps under way end; False if some worker is still at it after ``timeout`` s."""
        self.queue.close()
        if self.queue.add in self.engine.listeners:
            self.engine.listeners.remove(self.queue.add)
        deadline = self.clock.now() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - self.clock.now()))
        ended = not any(thread.is_alive() for thread in self._threads)
        if self._pool:
            self._pool.shutdown(wait=ended, cancel_futures=True)
        if self._prober:
            self._prober.stop()
        if self._names:
            self._names.stop()
        if self._exits:
            self._exits.stop()
        return ended

    def look_at_names(self) -> None:
        """See to the name server; returns at once."""
        if self._names:
            self._names.look()

    def afterwards(self, do: Callable[[], None]) -> None:
        """Have ``do`` called, once, when no key waits to be looked at any more; it must return at once. So what a
        resync looks at besides pods is not looked at in their midst: each would have the interpreter for a moment, and
        both would take longer."""
        with self._lock:
            self._afterwards.append(do)
        self._do_afterwards()

    def _do_afterwards(self) -> None:
        if not self._afterwards or self.queue.is_waited_in():
            return
        with self._lock:
            due, self._afterwards = self._afterwards, []
        for do in due:
            do()

    def _work(self) -> None:
        try:
            while (key := self._next()) is not None:
                with self.health.at(f"pod {key}"):
                    try:
                        self.handle(key)
                    finally:
                        self.queue.done(key)
                    if self._on_change:
                        self._on_change(key)
                    self._do_afterwards()
        finally:
            self.lead.give_up()

    def _next(self) -> Key | None:
        self.lead.take()
        return self.queue.get()

    # --- one key -----------------------------------------------------------------------------------------------

    def handle(self, key: Key) -> None:
        """Sync one key and see to what follows. Never raises: whatever goes wrong is told and tried again."""
        before = self.result(key)
        try:
            result = sync_pod(
                key,
                self,
                self.engine,
                self.clock,
                narrator=self.narrator,
                pool=self._pool,
                on_step=self._stepped,
                rest=before.rest if before else None,
                turn=self._turn,
                before_waiting=self.lead.give_up,
            )
            self._ended(result)
        except ReconcilerError as error:
            self.narrator.trouble(key, error.message)
            self._failed(key, error)
        except Exception as error:
            self.log.error("sync failed unexpectedly", pod=str(key), exc_info=True)
            trouble = TryLater(f"cannot sync pod {key}: internal error: {type(error).__name__}: {error}")
            self.narrator.trouble(key, trouble.message)
            self._failed(key, trouble)

    def resolve(self, key: Key) -> Resolution:
        return self.wanted.resolve(key)

    def learn(self, key: Key, owner: SourceId | None) -> bool:
        return self.wanted.learn(key, owner)

    def releases(self, key: Key, binding: PortBinding) -> bool:
        """As ``Wanted.releases``, but a pod whose new version cannot run keeps its ports."""
        result = self.result(key)
        if result is not None and not result.blocked_by and any(w.reason.why in STUCK for w in result.waiting):
            return False
        return self.wanted.releases(key, binding)

    def result(self, key: Key) -> Result | None:
        with self._lock:
            return self._results.get(key)

    def results(self) -> dict[Key, Result]:
        with self._lock:
            return dict(self._results)

    def failure(self, key: Key) -> Failure | None:
        """The error that the last sync of ``key`` ended with."""
        with self._lock:
            return self._failures.get(key)

    # --- after a sync ------------------------------------------------------------------------------------------

    def _ended(self, result: Result) -> None:
        key = result.key
        self.wanted.recorded(key, result.owner)
        if self._exits:
            self._exits.watch(key, result.running)
        if self._prober:
            self._prober.follow(key, result.patients)
        if self._troubles:
            save(self._troubles, key, troubles_in(result.status, result.waiting))
        with self._lock:
            self._results[key] = result
            if result.error is None:
                self._failures.pop(key, None)
            if result.owner is None and isinstance(result.desired, Absent):
                self.narrator.forget(key)
                self.wanted.forget(key)
        if any(isinstance(step, RemoveSandbox) for step in result.steps):
            self._ports_came_free(key)
        if result.error is not None:
            self._failed(key, result.error, result.requeue_at)
        elif result.more:
            self.queue.add(key)
        elif result.requeue_at is not None:
            self.queue.add(key, result.requeue_at)

    def _failed(self, key: Key, error: ReconcilerError, at: Instant | None = None) -> None:
        with self._lock:
            before = self._failures.get(key)
            failure = Failure(error, before.times + 1 if before else 1)
            self._failures[key] = failure
        self.log.warning("cannot sync pod", pod=str(key), cause=error.message, attempt=failure.times)
        if isinstance(error, Permanent):
            if at is not None:
                self.queue.add(key, at)
            return
        delay = max(retry_delay(failure.times), getattr(error, "after", None) or 0.0)
        again = self.clock.now() + delay
        self.queue.add(key, again if at is None else min(at, again))

    def _ports_came_free(self, key: Key) -> None:
        for other, result in self.results().items():
            if key in result.blocked_by:
                self.queue.add(other)

    def _suspensions_changed(self) -> None:
        now = self.wanted.suspensions.keys() if self.wanted.suspensions else set()
        for key, result in self.results().items():
            if isinstance(result.desired, Suspended) != (key in now):
                self.queue.add(key)

    def _images_changed(self) -> None:
        for key, result in self.results().items():
            if any(w.reason.why in FOR_IMAGES for w in result.waiting):
                self.queue.add(key)

    def _stepped(self, key: Key, action: Action) -> None:
        self.health.progress()
        event, values = told(action)
        self.log.info(event, pod=str(key), **values)
        if self._on_step:
            self._on_step(key, action)


def retry_delay(times: int) -> float:
    """Seconds to wait after the ``times``-th failure in a row."""
    return float(min(RETRY_MOST, RETRY_FIRST * 2 ** min(times - 1, 10)))
