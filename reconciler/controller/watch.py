"""``watch``: the controller for ever. One per root; whatever runs goes on when it ends.

Pods made by hand are one more source, which this program looks after and never prunes.

Threads: the workers and the exit watcher of ``core``, one for the folders, one for what others do to the network, one
for garbage; the caller's waits for the end.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.controller.by_hand import Bench, after_sync
from reconciler.controller.core import WORKERS, Core
from reconciler.controller.firewall import FirewallWatcher
from reconciler.controller.folders import FolderWatcher
from reconciler.controller.garbage import Housekeeper
from reconciler.controller.health import Health
from reconciler.controller.lock import claim
from reconciler.controller.log import Log, Silent
from reconciler.controller.service import StatusLine, keep_told
from reconciler.controller.sync import OnStep
from reconciler.controller.turns import UP, Turns
from reconciler.controller.wanted import Wanted
from reconciler.engine.images.disk import Disk
from reconciler.engine.layout import Layout
from reconciler.kube import Problem, load
from reconciler.linux import memory
from reconciler.linux.notify import Notifier
from reconciler.model.clock import Clock, SystemClock
from reconciler.model.errors import ReconcilerError
from reconciler.model.events import EventType
from reconciler.model.interfaces import PodEngine
from reconciler.model.key import Key
from reconciler.model.strictness import Strictness
from reconciler.sources.directory import SETTLE, DirectorySource
from reconciler.sources.suspended import Suspensions

ARENAS = 2
RESYNC = 60.0
"""Seconds; the kubelet's is a minute, too."""


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """``resync`` 0: never. ``prune``: removals of many pods at once are meant. ``exits`` False: exits are not
    watched; ``firewall`` False: what others do to the network is not heard. ``network``: the one for pods
    that name none; ``strictness``: how manifests are read. ``notifier``: the service manager that is told. The rest
    are for those who look on: ``on_start`` with the live core, ``on_step`` and ``on_change`` as in ``Core``."""

    layout: Layout
    resync: float = RESYNC
    settle: float = SETTLE
    prune: bool = False
    workers: int = WORKERS
    exits: bool = True
    firewall: bool = True
    network: str = ""
    strictness: Strictness = Strictness.STRICT
    log: Log = field(default_factory=Silent)
    notifier: Notifier = field(default_factory=Notifier)
    on_start: Callable[[Core], None] | None = None
    on_step: OnStep | None = None
    on_change: Callable[[Key], None] | None = None


def watch(
    engine: PodEngine,
    directories: Sequence[str | Path],
    options: WatchOptions,
    clock: Clock | None = None,
    stop: threading.Event | None = None,
) -> int:
    """Make this machine match ``directories`` until ``stop`` is set; the exit code.

    Raises Busy where another controller is live on this root.
    """
    memory.share_arenas(ARENAS)
    clock = clock or SystemClock()
    stop = stop or threading.Event()
    remembered = options.layout.state / "sources"
    sources = [
        DirectorySource(
            path,
            clock=clock,
            settle=options.settle,
            memory_dir=remembered,
            prune=options.prune,
            network=options.network,
            strictness=options.strictness,
        )
        for path in directories
    ]
    ids = [source.id for source in sources]
    with claim(options.layout.controller_lock, [source.path for source in sources], ids):
        options.layout.halted.unlink(missing_ok=True)
        Turns(options.layout.turns, ids, UP)  # a `down` under way gives up; one that begins now is refused
        return _run(engine, sources, options, clock, stop)


def _run(
    engine: PodEngine, sources: list[DirectorySource], options: WatchOptions, clock: Clock, stop: threading.Event
) -> int:
    """1. Learn what is recorded. 2. Hear exits. 3. Look at the network and the folders, and hear of them. 4. Look at
    every key once. 5. Say that we are ready, and wait for the end. 6. Let the steps under way end."""
    notifier = options.notifier
    bench = Bench(engine, options.layout, clock)

    def changed(key: Key) -> None:
        if _follows_by_hand(bench, key, options.log, core.lead.give_up):
            core.queue.add(key)
        line.tell(key)
        if options.on_change:
            options.on_change(key)

    core = Core(
        engine,
        Wanted([*sources, bench.source], suspensions=Suspensions(options.layout.suspended)),
        clock,
        exits=options.layout.exits if options.exits else None,
        images=Disk(options.layout.images).index,
        troubles=options.layout.troubles,
        names=options.layout.dns if options.exits else None,
        probing=True,
        workers=options.workers,
        log=options.log,
        on_step=options.on_step,
        on_change=changed,
    )
    line = StatusLine(notifier, core.result)
    complaints = Complaints(engine, options.log)
    threading.Thread(target=_warm, name="warm", daemon=True).start()

    def everything() -> None:
        for key in (*engine.keys(), *core.wanted.keys()):
            core.queue.add(key)
        core.afterwards(core.look_at_names)

    def resync() -> None:
        everything()
        if firewall:
            core.afterwards(firewall.look)

    def scanned(source: DirectorySource) -> None:
        complaints.tell(source)
        for key in core.wanted.users_of(source.take_other_objects()):
            core.queue.add(key)

    folders = FolderWatcher(
        tuple(sources),
        core.queue.add,
        clock,
        resync=options.resync,
        on_resync=resync,
        on_scan=scanned,
        before_scan=engine.expect_containers,
        log=options.log,
        health=core.health,
    )
    firewall = _firewall_watcher(engine, options, clock, core.health)
    garbage = Housekeeper(engine, core.wanted, clock, options.log, core.health)
    adopted = core.adopt()
    options.log.info("controller starts", watching=[s.path for s in sources], adopted=len(adopted))
    core.tidy()
    core.start()
    try:
        if firewall:
            firewall.start()
        folders.start()
        everything()
        garbage.start()
        if options.on_start:
            options.on_start(core)
        # Whoever hears that we are ready may ask for a reload at once: unheard, SIGHUP would end us.
        with _heard(signal.SIGHUP, folders.look_again) if notifier else nullcontext():
            notifier.tell(READY=1, MAINPID=os.getpid())
            keep_told(notifier, core.health, options.log, stop)
    finally:
        notifier.tell(STOPPING=1, STATUS="letting the steps under way end; pods go on")
        garbage.stop()
        folders.stop()
        if firewall:
            firewall.stop()
        ended = core.stop()
    options.log.info("controller ends", pods_go_on=len(engine.keys()))
    return 0 if ended else 1


def _follows_by_hand(bench: Bench, key: Key, log: Log, before_waiting: Callable[[], None]) -> bool:
    """See to what follows the end of a container made by hand, which takes its pod's lock; whether the pod is to be
    looked at again."""
    if not bench.source.asked_for(key):
        return False
    before_waiting()
    try:
        return after_sync(bench, key)
    except ReconcilerError as error:
        log.warning("cannot look after what was made by hand", pod=str(key), cause=error.message)
        return False


def _firewall_watcher(engine: PodEngine, options: WatchOptions, clock: Clock, health: Health) -> FirewallWatcher | None:
    """None where the kernel does not tell us: then the network is mended by those who work on pods."""
    if not options.firewall:
        return None
    try:
        return FirewallWatcher(options.layout.tag, engine, clock, options.log, health)
    except OSError as error:
        options.log.warning("cannot watch the firewall", cause=error.strerror)
        return None


def _warm() -> None:
    """Import what the first manifest needs (YAML, JSON Schema: 0.2 s) before it is there."""
    load("warm.yaml", b"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: a}]}")


class Complaints:
    """Tells of each problem of a file once: when it comes up, and again when it changed. One thread at a time."""

    def __init__(self, engine: PodEngine, log: Log) -> None:
        self._engine = engine
        self._log = log
        self._told: dict[DirectorySource, frozenset[Problem]] = {}

    def tell(self, source: DirectorySource) -> None:
        now = frozenset(source.problems())
        for problem in sorted(now - self._told.get(source, frozenset()), key=lambda p: (p.path, p.line, p.message)):
            self._log.warning("problem in manifest", reason=str(problem.reason), problem=str(problem))
            with suppress(ReconcilerError):  # a full disk; the log has it
                self._engine.emit(problem.path, EventType.WARNING, str(problem.reason), str(problem))
        self._told[source] = now


@contextmanager
def _heard(number: int, do: Callable[[], None]) -> Iterator[None]:
    """``do`` is what a signal asks for (``systemctl reload``: SIGHUP)."""
    before = signal.signal(number, lambda _number, _frame: do())
    try:
        yield
    finally:
        signal.signal(number, before)
