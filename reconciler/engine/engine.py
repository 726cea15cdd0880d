"""Engine: the effects on this host, as the controller and the commands see them.

Blocking functions that need no daemon; every method may be called from several threads and processes. What
changes a pod asks for the pod's lock, which is held for as long as one round of work takes and never while time
passes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from reconciler.engine import boundary, descriptors
from reconciler.engine.context import Context, Settings
from reconciler.engine.layout import Layout
from reconciler.engine.store import names as filed
from reconciler.engine.store import settings as stored
from reconciler.model.clock import Clock, SystemClock
from reconciler.model.errors import HostUnfit
from reconciler.model.key import ContainerId, Key, NamedPod

if TYPE_CHECKING:
    from reconciler.engine.check import Leak
    from reconciler.engine.diskuse import Use
    from reconciler.engine.halt import OnStop
    from reconciler.engine.images.images import Images
    from reconciler.engine.inside import Inside
    from reconciler.engine.repair import Repaired
    from reconciler.engine.reset import Holdings
    from reconciler.engine.sessions import Session
    from reconciler.model.actions import Action, PullImage
    from reconciler.model.events import Event, EventType
    from reconciler.model.interfaces import KeyLock
    from reconciler.model.key import PodId
    from reconciler.model.objects import ObjectsFor
    from reconciler.model.observed import Container, HostFacts, Instant, Observed, PidRef
    from reconciler.model.probe import Handler, Outcome, Verdict
    from reconciler.model.spec import PodSpec, PortBinding
    from reconciler.model.stock import Space, Stock, StockedImage
    from reconciler.model.usage import Usage


def _fill(context: Context) -> None:
    """Make the index whole where it is not."""
    if not stored.get(context.store, stored.RECORDS_FILED):
        from reconciler.engine import reindex

        reindex.make_again(context)


class Engine:
    """One instance on this host, found by its root. ``context`` gives the parts (images, runtime, layout)."""

    def __init__(self, context: Context) -> None:
        self.context = context
        context.users_of = self._users_of
        context.tell = self._tell
        self.listeners: list[Callable[[Key], None]] = []
        self._held = threading.local()
        """The key whose lock this thread holds."""
        self._seen: set[Key] = set()
        """Held keys of which a pod was seen, and nothing was done since."""
        self._pulled_for: dict[str, set[Key]] = {}
        self._subscribed = threading.Lock()

    @classmethod
    def open(
        cls,
        settings: Settings,
        clock: Clock | None = None,
        *,
        mend: bool = True,
        say: Callable[[str], None] = lambda _text: None,
        patience: float | None = None,
    ) -> Engine:
        """The instance at ``settings.root``, its directories made where they are missing, and its index where it is
        lost (``mend``), now and whenever that is noticed. ``say`` is told, in a sentence, what its owner must know.
        ``patience``: seconds after which nothing waits any more for another process that has the index locked.

        Raises HostUnfit when they cannot be.
        """
        descriptors.make_room()
        layout = Layout.at(settings.root)
        try:
            layout.make()
        except OSError as e:
            raise HostUnfit(f"cannot use {e.filename}: {e.strerror}", hint=boundary.hint(e)) from e
        context = Context(settings, layout, clock or SystemClock(), say=say)
        if patience is not None:
            context.store.until = time.monotonic() + patience
        if mend:
            context.store.fill = partial(_fill, context)
            _fill(context)
        return cls(context)

    def tidy(self, *, names: bool = True) -> None:
        """Collect what killed predecessors left where no plan looks: trash, rows and leases and lock files of pods
        that are not there, logs of what is gone, what pods share where there are none. Cheap where there is nothing.
        ``names``: see to the name server, too, where nobody else does now and then. Tells of a reboot first.

        Raises ReconcilerError.
        """
        from reconciler.engine import (
            files,
            firewalls,
            locks,
            nameserver,
            networks,
            oldlogs,
            podgroups,
            reboot,
            sandboxes,
        )

        ctx = self.context
        with boundary.told("tidy up"):
            reboot.tell(ctx)
            files.empty(ctx.layout.trash)
            files.empty(ctx.layout.run_trash)
            ctx.images.tidy()
            for key in sandboxes.forgotten(ctx):
                with self.lock(key):
                    sandboxes.forget(ctx, key)
            if names:
                nameserver.tend(ctx)
            locks.sweep(ctx.layout.locks, {ctx.layout.key_lock(key).name for key in self.keys()})
            oldlogs.sweep(ctx, self.lock)
            podgroups.end_if_last(ctx)
            networks.remove_if_last(ctx, firewalls.close)

    @contextmanager
    def lock(self, key: Key, before_waiting: Callable[[], None] = lambda: None) -> Iterator[KeyLock]:
        from reconciler.engine import locks
        from reconciler.engine.store import pods as index

        ctx = self.context
        there = False

        def gone() -> bool:
            nonlocal there
            there = key in self._seen or bool(index.pods_of(ctx.store, key))
            return not there

        with locks.hold(ctx.layout.key_lock(key), key, gone, before_waiting) as held:
            self._held.key = key
            self._seen.discard(key)
            try:
                yield held
            finally:
                self._held.key = None
        if not there and index.is_empty(ctx.store):
            self._end_what_pods_share()

    def _end_what_pods_share(self) -> None:
        """No pod is left, perhaps. After the last pod's removal, and not a part of it."""
        from reconciler.engine import firewalls, nameserver, networks, podgroups

        podgroups.end_if_last(self.context)
        nameserver.end_if_last(self.context)
        networks.remove_if_last(self.context, firewalls.close)

    def keys(self) -> tuple[Key, ...]:
        return filed.keys(self.context.store)

    def key_of(self, container: ContainerId) -> Key | None:
        from reconciler.engine.store import pods as index

        return index.key_of_container(self.context.store, container)

    def names(self) -> tuple[NamedPod, ...]:
        """Every recorded pod, in order, with each attempt at its members: whom one can name."""
        return filed.names(self.context.store, self._init_of)

    def _init_of(self, pod: PodId) -> tuple[str, ...]:
        from reconciler.engine import recorded

        record = recorded.record_of_pod(self.context, pod)
        return tuple(c.name for c in record.spec.init) if record else ()

    def runs(self, container: ContainerId) -> bool:
        """Whether a container runs; where not, ``look`` says what has become of it."""
        from reconciler.engine import pulse

        return pulse.runs(self.layout, container)

    def look(self, key: Key) -> Observed:
        """What stands and runs of a key, for who only looks; of images and problems nothing is said."""
        from reconciler.engine import observe

        with boundary.told(f"look at pod {key}"):
            return observe.look(self.context, key)

    def observe(self, key: Key, want: PodSpec | None) -> Observed:
        from reconciler.engine import outlook

        held = getattr(self._held, "key", None) == key
        with boundary.told(f"look at pod {key}"):
            have = outlook.observe(self.context, key, want, held=held)
        if held and have.sandbox is not None:
            self._seen.add(key)
        return have

    def host_facts(self, key: Key, want: PodSpec | None) -> HostFacts:
        from reconciler.engine import portfacts

        with boundary.told(f"look at the ports of pod {key}"):
            return portfacts.host_facts(self.context, key, want)

    def reserve_ports(self, bindings: tuple[PortBinding, ...]) -> tuple[PortBinding, ...]:
        """The same with a host port for each: those that named none have one that was free, and is this process's until
        a pod is made with it. Raises InvalidInput."""
        if all(binding.host_port for binding in bindings):
            return bindings
        from reconciler.engine import netrecords
        from reconciler.engine.network import ports

        return ports.reserve(bindings, ipv6=not netrecords.why_no_ipv6(self.context))

    def perform(self, lock: KeyLock, action: Action) -> ContainerId | None:
        from reconciler.engine.perform import perform

        self._seen.discard(lock.key)
        return perform(self.context, lock, action, self._pull)

    def tend_names(self) -> PidRef | None:
        """See that the name server runs where pods need it; its process."""
        from reconciler.engine import nameserver

        with boundary.told("see to the name server"):
            if nameserver.lost_a_bridge(self.context):
                self.mend_network()
            return nameserver.tend(self.context)

    def emit(self, about: str, type: EventType, reason: str, message: str) -> None:  # noqa: A002 (the field's name)
        from reconciler.engine.store import events

        events.emit(self.context.store, self.context.clock, about, type, reason, message)

    def events(self, *, about: str | None = None, after: int = 0) -> tuple[Event, ...]:
        """The events that are kept, oldest first; of one object, or those after a sequence number."""
        from reconciler.engine.store import events

        return events.read(self.context.store, about=about, after=after)

    def use_objects(self, objects_for: ObjectsFor) -> None:
        """Have the objects that specs refer to looked up by it, whenever they are needed."""
        self.context.objects_for = objects_for

    def digest(self, data: bytes) -> str:
        """A name for these bytes, another one for any other, that tells nothing of them. Raises TryLater."""
        from reconciler.engine import kept

        return kept.digest(self.context, data)

    def renew_images(self, key: Key, spec: PodSpec, tell: Callable[[str], None]) -> tuple[str, ...]:
        """Ask the registries about every image of a pod, and have its containers replaced whose image is another one
        now; waits for the pulls. Returns what could not be had, in sentences."""
        from reconciler.engine import renewal

        failures = renewal.pull(self.context, key, spec, tell)
        with self.lock(key), boundary.told(f"take up the images of pod {key}"):
            renewal.mark(self.context, key, spec)
        return failures

    def expect_containers(self) -> None:
        """Containers are about to be created, or may be: what that would wait for begins (see ``cgroups.moves``)."""
        from reconciler.engine import cgroups

        cgroups.expect_moves()

    def stay(self) -> None:
        from reconciler.engine.living import Living

        self.context.living = self.context.living or Living()

    def close(self) -> None:
        """Let go of the index; for the thread that opened it."""
        self.context.store.close()

    @property
    def layout(self) -> Layout:
        return self.context.layout

    @property
    def images(self) -> Images:
        """The images of this instance."""
        return self.context.images

    def stock(self, wanted: Callable[[], Collection[str]]) -> Stock:
        """The images as garbage collection sees them. ``wanted``: the references that somebody needs beside what is on
        record."""
        from reconciler.engine import stock

        with boundary.told("look at the images"):
            return stock.take(self.context, wanted)

    def drop_image(self, image: StockedImage, wanted: Callable[[], Collection[str]]) -> bool:
        """Remove an image unless somebody has come to need it since it was looked at; whether it is gone."""
        from reconciler.engine import stock

        with boundary.told(f"remove image {image.name}"):
            return stock.drop(self.context, image, wanted)

    def sweep_images(self) -> Space | None:
        """Delete what belongs to no image; what is free then. None where that cannot be now: somebody has images
        brought."""
        from reconciler.engine import stock

        with boundary.told("clear up the images"):
            return stock.space(self.context) if self.images.collect() else None

    def retire(self) -> None:
        """Where no pod is left: end what serves them all (see ``retirement``). The next pod has it made again."""
        from reconciler.engine import retirement

        with boundary.told("end the zygote"):
            retirement.retire(self.context)

    def halt(self, most: float | None = None, on_stop: OnStop | None = None) -> int:
        """End every container, with its grace (at most ``most`` seconds); how many there were (see ``halt``)."""
        from reconciler.engine.halt import halt

        with boundary.told("stop everything"):
            return halt(self.context, most, on_stop)

    def holdings(self) -> Holdings:
        """What this instance has on this host (see ``reset``)."""
        from reconciler.engine import reset

        return reset.holdings(self.context)

    def disk_use(self) -> tuple[Use, ...]:
        """What this instance takes of the disk, and what of that nobody uses (see ``diskuse``)."""
        from reconciler.engine import diskuse

        with boundary.told("see what takes the disk"):
            return diskuse.of_instance(self.context)

    def erase(self) -> None:
        """Take everything of this instance away, by its name. Nothing else may be done with this engine after it."""
        from reconciler.engine import reset

        with boundary.told("remove everything of this instance"):
            reset.erase(self.context)

    def warm(self) -> None:
        """Get ready what the first pod would otherwise wait for (see ``warm``)."""
        from reconciler.engine.warm import warm

        warm(self.context)

    def mend_network(self, by: str = "") -> tuple[str, ...]:
        """Put right what others did to the pods' network on this host (see ``upkeep``); what it was, in sentences.

        Raises TryLater or HostUnfit.
        """
        from reconciler.engine import nameserver, upkeep

        with boundary.told("mend the network"):
            return (*upkeep.mend(self.context, self.lock, by), *nameserver.mend(self.context))

    def review_firewalls(self) -> tuple[str, ...]:
        """See what others' firewalls do with pods' traffic, and open the way (see ``firewalls``); what is new of it.

        Raises TryLater or HostUnfit.
        """
        from reconciler.engine import firewalls

        with boundary.told("look at the firewalls of this host"):
            return firewalls.review(self.context)

    def exec(
        self,
        container: ContainerId,
        argv: Sequence[str],
        *,
        env: Sequence[str] = (),
        cwd: str | None = None,
        stdin: bool = False,
        tty: bool = False,
        timeout: float | None = None,
    ) -> int:
        """Run a command in a running container with our own output, and our ``stdin`` if it is to read that; its exit
        code, 128 + signal if one ended it. ``tty``: it has a terminal, which is shown on ours. ``timeout``: the seconds
        after which it is killed, with all that it has started and not let go.

        Raises NotFound, RuntimeFailed, execute.NotStarted, execute.TimedOut.
        """
        from reconciler.engine import execute

        return execute.run(self.context, container, argv, env=env, cwd=cwd, stdin=stdin, tty=tty, timeout=timeout)

    def attached(self, container: ContainerId) -> AbstractContextManager[Session]:
        """A connection with the input, the output and the terminal of a container.

        Raises NotFound, InvalidInput, TryLater.
        """
        from reconciler.engine import sessions

        return sessions.attached(self.context, container)

    def exit_code(self, container: ContainerId, life: int | None = None) -> int | None:
        """How a container ended that was attached to, or the ``life`` of it that the session was of; None where it runs
        on, or nobody knows any more."""
        from reconciler.engine import sessions

        return sessions.exit_code(self.context, container, life)

    def probe(self, container: ContainerId, handler: Handler, timeout: float) -> Outcome:
        """Run a handler once against a container, for at most ``timeout`` seconds (see ``handlers``).

        Raises NotFound where the container is gone or has ended, InvalidInput where it is paused.
        """
        from reconciler.engine import handlers

        with boundary.told(f"probe container {container[:12]}"):
            return handlers.ask(self.context, container, handler, timeout)

    def note_verdict(self, container: ContainerId, since: Instant, verdict: Verdict) -> None:
        """Write down what probes have found of the life of a container that began at ``since``. Raises TryLater."""
        from reconciler.engine import verdicts

        with boundary.told(f"write down what probes found of container {container[:12]}"):
            verdicts.write(self.context, container, since, verdict)

    def signal(self, container: ContainerId, number: int) -> None:
        """Send a signal to the first process of a container.

        Raises NotFound, InvalidInput where it does not run.
        """
        from reconciler.engine import signals

        signals.send(self.context, container, number)

    def usage(self, pod: Observed) -> dict[ContainerId, Usage]:
        """What each container of a pod uses that runs, the infra container included (see ``usage``)."""
        from reconciler.engine import usage

        with boundary.told(f"see what pod {pod.key} uses"):
            return usage.of_pod(self.context, pod)

    def inside(self, pod: PodId, container: Container) -> Inside:
        """The processes of a running container, in its own terms (see ``inside``); none where it has ended."""
        from reconciler.engine import inside

        with boundary.told(f"look at the processes of container {container.name}"):
            return inside.of_container(self.context, pod, container)

    def check(self) -> tuple[Leak, ...]:
        """What carries this instance's name but belongs to nothing that is recorded (see ``check``)."""
        from reconciler.engine.check import check

        return check(self.context)

    def repair(self, *, kill: bool = False) -> tuple[Repaired, ...]:
        """Put right what ``check`` finds, where nothing is lost by that (see ``repair``); what of each has become.
        ``kill``: end what runs without a record."""
        from reconciler.engine.repair import repair

        with boundary.told("repair this instance"):
            return repair(self.context, self.lock, self.tidy, kill=kill)

    def info(self) -> dict[str, Any]:
        """This program and machine, and the choices made on it, by section."""
        from reconciler.engine.info import info

        return info(self.context)

    def _pull(self, key: Key, action: PullImage) -> None:
        """Begin to pull; its end is told to the listeners for every key that asked."""
        from reconciler.model.events import EventType

        with self._subscribed:
            if not self._pulled_for:
                self.images.subscribe(self._pull_ended)
            self._pulled_for.setdefault(action.image, set()).add(key)
        logins, missing = self.context.logins(key, action.secrets)
        if missing:
            text = f"Unable to retrieve some image pull secrets ({', '.join(missing)})"
            text += "; attempting to pull the image may not succeed."
            self.emit(str(key), EventType.WARNING, "FailedToRetrieveImagePullSecret", text)
        self.images.ensure(action.image, action.policy, logins)

    def _pull_ended(self, image: str) -> None:
        with self._subscribed:
            keys = sorted(self._pulled_for.get(image, ()))
            self._pulled_for[image] = set()
        for key in keys:
            self._tell(key)

    def _tell(self, key: Key) -> None:
        for listener in tuple(self.listeners):
            listener(key)

    def _users_of(self, image: str) -> tuple[str, ...]:
        from reconciler.engine import observe

        return observe.users_of(self.context, image)
