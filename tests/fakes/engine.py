"""A PodEngine in memory: the rules of the real one, without a kernel.

It is as strict as the host is: a step that no correct plan would ask for (starting a member whose pod has
no network, removing a container that runs, two running attempts at one member) raises ``Violation``, which
no worker catches. A step that merely came too late (the process ended a moment ago) raises TryLater, as the
real engine does. Steps can be cut short before, in the middle of, or after their effect.

Thread-safe; ``listeners`` are called outside the lock with the key whose containers changed by themselves.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace

from reconciler.model import actions as a
from reconciler.model.actions import Action
from reconciler.model.errors import NotFound, PortTaken, RuntimeFailed
from reconciler.model.events import EventType
from reconciler.model.hook import HookState
from reconciler.model.key import ContainerId, Key, PodId
from reconciler.model.objects import ObjectsFor
from reconciler.model.observed import (
    Container,
    ContainerState,
    Exit,
    HostFacts,
    ImageState,
    ImageStatus,
    Instant,
    Observed,
    PidRef,
    PortHolder,
    Problem,
    Sandbox,
    Stopping,
)
from reconciler.model.probe import Handler, Outcome, Verdict
from reconciler.model.qos import qos_of, resources_of
from reconciler.model.spec import ContainerSpec, PodSpec
from tests.fakes import hooks, parts
from tests.fakes.clock import FakeClock
from tests.fakes.parts import FakeLock, Fault, Killed, Moment, Pod, Violation, after_reboot, made_again
from tests.fakes.stock import FakeStock

RETRY_PULL = 10.0
KILL_AGAIN = 2.0


class FakeEngine(FakeStock):
    """See the module. Everything that a test may turn is a plain attribute.

    ``pull_time``: seconds that a pull takes (0: PullImage leaves the image present). ``unknown_images``: references
    whose pull fails. ``deaf``: names of members that ignore TERM; ``undead``: KILL too; ``brief``: of those that end
    as soon as they have started. ``greedy``: members that use more than any new limit. ``stop_takes``: seconds from
    TERM to the exit. ``judge``: the problems of a wanted spec. ``foreign_ports``: what processes of the host hold.
    ``probing``: what comes of a handler.
    """

    def __init__(self, clock: FakeClock | None = None) -> None:
        super().__init__()
        self.clock = clock or FakeClock()
        self.objects_for: ObjectsFor = lambda _user, _owner: lambda _kind, _name: None
        self.images: dict[str, ImageState] = {}
        self.pull_time = 0.0
        self.unknown_images: set[str] = set()
        self.deaf: set[str] = set()
        self.undead: set[str] = set()
        self.brief: set[str] = set()
        self.codes: dict[str, int] = {}
        self.greedy: set[str] = set()
        self.term_code = 143
        self.stop_takes: dict[str, float] = {}
        self.judge: Callable[[PodSpec], tuple[Problem, ...]] = lambda _spec: ()
        self.foreign_ports: list[PortHolder] = []
        self.probing: Callable[[Handler], Outcome] = lambda _handler: Outcome(True)
        self.performed: list[Action] = []
        self.emitted: list[tuple[str, EventType, str, str]] = []
        self.listeners: list[Callable[[Key], None]] = []
        self._pods: dict[Key, Pod] = {}
        self._wants: dict[Key, PodSpec | None] = {}
        self._pulls: dict[str, Instant] = {}
        self._exits_at: dict[ContainerId, Instant] = {}
        self._addresses: dict[Key, str] = {}
        self._faults: list[Fault] = []
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()
        self._key_locks: dict[Key, threading.Lock] = {}

    # --- PodEngine ---------------------------------------------------------------------------------------------

    @contextmanager
    def lock(self, key: Key, before_waiting: Callable[[], None] = lambda: None) -> Iterator[FakeLock]:
        with self._lock:
            held = self._key_locks.setdefault(key, threading.Lock())
        with parts.waited_for(held, before_waiting):
            yield FakeLock(key)

    def stay(self) -> None:
        """It looks nothing up."""

    expect_containers = stay

    def keys(self) -> tuple[Key, ...]:
        with self._lock:
            return tuple(self._pods)

    def key_of(self, container: ContainerId) -> Key | None:
        with self._lock:
            return next((k for k, p in self._pods.items() if any(c.id == container for c in self._all(p))), None)

    def look(self, key: Key) -> Observed:
        return self.observe(key, None)

    def observe(self, key: Key, want: PodSpec | None) -> Observed:
        with self._lock:
            self._catch_up()
            pod = self._pods.get(key)
            specs = [s for s in (want, pod.sandbox.applied if pod else None) if s is not None]
            refs = {c.image for s in specs for c in s.everyone} | {s.sandbox.infra_image for s in specs} - {""}
            return Observed(
                key=key,
                sandbox=pod.sandbox if pod else None,
                containers=tuple(pod.containers) if pod else (),
                images={ref: self._image(ref) for ref in sorted(refs)},
                problems=self.judge(want) if want is not None else (),
            )

    def host_facts(self, key: Key, want: PodSpec | None) -> HostFacts:
        with self._lock:
            self._wants[key] = want
            if want is None:
                return HostFacts()
            holders = [h for h in (*self.foreign_ports, *self._own_holders(key)) if h.key != key]
            asked = want.sandbox.ports
            return HostFacts(tuple(h for h in holders if any(h.binding.overlaps(b) for b in asked)))

    def perform(self, lock: FakeLock, action: Action) -> ContainerId | None:
        with self._lock:
            self._catch_up()
            fault = self._due_fault()
            if fault and fault.moment == "before":
                raise fault.error
            made = self._dispatch(lock.key, action, cut=fault if fault and fault.moment == "middle" else None)
            self.performed.append(action)
            if fault:
                raise fault.error
        return made

    def signal(self, container: ContainerId, number: int) -> None:
        """KILL ends it."""
        with self._lock:
            for pod in self._pods.values():
                for one in pod.containers:
                    if one.id == container and one.state is ContainerState.RUNNING and number == 9:
                        self._end(pod, one, 137)

    def probe(self, container: ContainerId, handler: Handler, timeout: float) -> Outcome:
        with self._lock:
            if self.key_of(container) is None:
                raise NotFound(f"cannot find container {container}")
        return self.probing(handler)

    def note_verdict(self, container: ContainerId, since: Instant, verdict: Verdict) -> None:
        words = {f.name: getattr(verdict, f.name) for f in fields(verdict)}
        with self._lock:
            for pod in self._pods.values():
                pod.containers = [
                    replace(c, **words) if (c.id, c.started) == (container, since) else c for c in pod.containers
                ]

    def tidy(self, *, names: bool = True) -> None:
        """Nothing is ever left in memory."""

    def mend_network(self, by: str = "") -> tuple[str, ...]:
        return ()

    def review_firewalls(self) -> tuple[str, ...]:
        return ()

    def emit(self, about: str, type: EventType, reason: str, message: str) -> None:  # noqa: A002 (the field's name)
        with self._lock:
            self.emitted.append((about, type, reason, message))

    # --- what tests do to the world ----------------------------------------------------------------------------

    def container(self, key: Key, name: str) -> Container:
        """The newest attempt at a member."""
        with self._lock:
            self._catch_up()
            return max((c for c in self._pods[key].containers if c.name == name), key=lambda c: c.attempt)

    def running(self, key: Key) -> dict[str, ContainerId]:
        """Member name to the id of its running attempt."""
        with self._lock:
            self._catch_up()
            pod = self._pods.get(key)
            return {c.name: c.id for c in pod.containers if c.state is ContainerState.RUNNING} if pod else {}

    def exit(self, key: Key, name: str, code: int = 0) -> None:
        """The process of a member ends by itself."""
        with self._lock:
            running = [c for c in self._pods[key].containers if c.name == name and c.state is ContainerState.RUNNING]
            for container in running:
                self._end(self._pods[key], container, code)
        self._tell(key)

    def kill_infra(self, key: Key) -> None:
        with self._lock:
            pod = self._pods[key]
            assert pod.sandbox.infra is not None
            pod.sandbox = replace(pod.sandbox, infra=self._ended(pod.sandbox.infra, 137))
        self._tell(key)

    def next_event(self) -> Instant | None:
        """When something happens by itself next: a pull ends, a process that was told to stop does."""
        with self._lock:
            return min((*self._pulls.values(), *self._exits_at.values()), default=None)

    def tick(self, seconds: float) -> None:
        """Let time pass; pulls and slow stops that are due happen."""
        self.clock.advance(seconds)
        with self._lock:
            changed = self._catch_up()
        for key in changed:
            self._tell(key)

    def renew_images(self, key: Key, spec: PodSpec, tell: Callable[[str], None]) -> tuple[str, ...]:
        """Every image is the newest."""
        return ()

    def use_objects(self, objects_for: ObjectsFor) -> None:
        self.objects_for = objects_for

    def digest(self, data: bytes) -> str:
        return hashlib.sha256(data).hexdigest()[:8]

    def reboot(self) -> None:
        """Every process is gone, every exit code unknown, every network taken down; records and images stay."""
        with self._lock:
            self._catch_up()
            for pod in self._pods.values():
                kept = pod.sandbox.applied.keep
                pod.containers = [after_reboot(c, kept, self.clock.wall()) for c in pod.containers]
                infra = pod.sandbox.infra and after_reboot(pod.sandbox.infra, kept, self.clock.wall())
                pod.sandbox = replace(pod.sandbox, networked=False, infra=infra)
            self._exits_at.clear()
            self._pulls.clear()
            before = self.clock.now() - self.clock.wall()
            self.clock.reboot()
            for pod in self._pods.values():
                jump = self.clock.now() - self.clock.wall() - before
                pod.sandbox = replace(pod.sandbox, begun=pod.sandbox.begun + jump)

    def fail(self, nth: int = 1, moment: Moment = "before", error: BaseException | None = None) -> None:
        """The ``nth`` step from now is cut short at ``moment``; what it raises (default: Killed)."""
        self._faults.append(Fault(nth, moment, error or Killed(f"killed {moment} step {nth}")))

    def tend_names(self) -> PidRef | None:
        """The fake has no name server."""
        return None

    def resolvers_changed(self) -> None:
        """The host's resolv.conf says something else than when the pods' files were written."""
        for pod in self._pods.values():
            pod.sandbox = replace(pod.sandbox, files_stale=True)

    # --- the rules ---------------------------------------------------------------------------------------------

    def _dispatch(self, key: Key, action: Action, cut: Fault | None) -> ContainerId | None:
        match action:
            case a.PullImage():
                self._pull(action)
            case a.CreateSandbox():
                self._create_sandbox(key, action, cut)
            case a.RenewSandbox():
                self._renew_sandbox(key, action, cut)
            case a.RemoveSandbox():
                self._remove_sandbox(key, action, cut)
            case a.CreateContainer():
                return self._create_container(key, action, cut)
            case a.RenewContainer():
                self._renew_container(key, action, cut)
            case a.PauseContainer():
                self._pause(key, action.container, paused=True)
            case a.ResumeContainer():
                self._pause(key, action.container, paused=False)
            case a.SetUpNetwork():
                self._set_up_network(self._pod(key, action.pod), key)
            case a.UpdateRecord():
                pod = self._pod(key, action.pod)
                pod.sandbox = replace(pod.sandbox, applied=action.spec, owner=action.owner)
                pod.containers = [hooks.recorded(c, action.spec) for c in pod.containers]
            case a.UpdateFiles():
                pod = self._pod(key, action.pod)
                pod.sandbox = replace(pod.sandbox, applied=action.spec, owner=action.owner, files_stale=False)
            case a.UpdateNames():
                pod = self._pod(key, action.pod)
                pod.sandbox = replace(pod.sandbox, services=action.services)
            case a.StartContainer():
                self._start(key, action)
            case a.StopContainer():
                self._stop(key, action)
            case a.KillContainer():
                self._kill(key, action, cut)
            case a.TermContainer():
                self._term(key, action)
            case a.RunHook():
                pod, container = self._find(key, action.container)
                pod.put(hooks.begun_again(container, action.hook))
            case a.UpdateResources():
                pod, container = self._find(key, action.container)
                pod.expect_room(action.resources)
                if container.name in self.greedy:
                    pod.put(replace(container, refused=action.resources))
                    raise RuntimeFailed(f"cannot lower the limit of {container.name}: more is in use")
                pod.put(replace(container, refused=None, spec=replace(container.spec, resources=action.resources)))
            case a.UpdatePodResources():
                pod = self._pod(key, action.pod)
                if name := parts.who_may_do_more(pod.containers, action.resources):
                    raise Violation(f"the pod of {key} may do less than its container {name}")
                pod.sandbox = replace(pod.sandbox, resources=action.resources, qos=action.qos)
            case a.RemoveContainer():
                self._remove_container(key, action)
        return None

    def _pull(self, action: a.PullImage) -> None:
        if action.image in self._pulls:
            return
        self._pulls[action.image] = self.clock.now() + self.pull_time
        self._catch_up()

    def _create_sandbox(self, key: Key, action: a.CreateSandbox, cut: Fault | None) -> None:
        if action.spec.key != key:
            raise Violation(f"a pod {action.spec.key} under the lock of {key}")
        old = self._pods.get(key)
        if old is not None and not old.sandbox.ended:
            raise Violation(f"pod {key} is still there")
        for holder in (*self.foreign_ports, *self._own_holders(key)):
            if holder.key != key and any(holder.binding.overlaps(b) for b in action.spec.sandbox.ports):
                raise PortTaken(f"cannot create pod {key}: port {holder.binding} is held by {holder}")
        again = old is not None and old.sandbox.applied.sandbox == action.spec.sandbox
        sandbox = Sandbox(
            id=PodId(self._new_id()),
            uid=f"uid-{next(self._numbers)}",
            applied=action.spec,
            owner=action.owner,
            infra=None,
            created_wall=self.clock.wall(),
            begun=old.sandbox.begun if old and again else self.clock.now(),
            begun_wall=old.sandbox.begun_wall if old and again else self.clock.wall(),
            resources=resources_of(action.spec),
            qos=qos_of(action.spec.everyone),
        )
        self._pods[key] = Pod(sandbox)
        if cut:
            raise cut.error
        infra = replace(self._new_container(ContainerSpec(name="", image=""), attempt=0), state=ContainerState.CREATED)
        host_network = action.spec.sandbox.host_network
        self._pods[key].sandbox = replace(
            sandbox, infra=self._run(infra) if action.start else infra, networked=host_network, ip=""
        )

    def _renew_sandbox(self, key: Key, action: a.RenewSandbox, cut: Fault | None) -> None:
        pod = self._pod(key, action.pod)
        infra = pod.sandbox.infra
        if infra is None or infra.state is not ContainerState.EXITED:
            raise Violation(f"renewing pod {key} whose infra container has not ended")
        living = [c.name for c in pod.containers if c.state.can_signal()]
        if living:
            raise Violation(f"renewing pod {key} while {living} live")
        pod.sandbox = replace(pod.sandbox, applied=action.spec, networked=action.spec.sandbox.host_network)
        if cut:
            raise cut.error
        made = made_again(infra)
        pod.put(self._run(made) if action.start else made)

    def _renew_container(self, key: Key, action: a.RenewContainer, cut: Fault | None) -> None:
        pod, container = self._find(key, action.container)
        if container.state is not ContainerState.EXITED:
            raise Violation(f"renewing {action.name} which has not ended")
        if not pod.sandbox.stands:
            raise RuntimeFailed(f"cannot create {action.name}: the infra container of pod {key} does not run")
        if cut:
            raise cut.error
        numbers = {"restarts": action.restarts, "crashes": action.crashes, "last": action.last, "turn": action.turn}
        pod.put(replace(made_again(container), **numbers))

    def _pause(self, key: Key, wanted: ContainerId, *, paused: bool) -> None:
        pod, container = self._find(key, wanted)
        if container.state is not ContainerState.RUNNING or container.paused is paused:
            raise Violation(f"{container.name} is {container.state}, paused: {container.paused}")
        pod.put(replace(container, paused=paused))

    def _remove_sandbox(self, key: Key, action: a.RemoveSandbox, cut: Fault | None) -> None:
        pod = self._pod(key, action.pod)
        running = [c.name for c in pod.containers if c.state is ContainerState.RUNNING]
        if running:
            raise Violation(f"removing pod {key} while {running} run")
        pod.sandbox = replace(pod.sandbox, removing=True)
        if cut:
            raise cut.error
        if action.keep_address:
            pod.containers = []
            pod.sandbox = replace(pod.sandbox, infra=None, networked=False, ended=True)
        else:
            del self._pods[key]
            self._addresses.pop(key, None)

    def _set_up_network(self, pod: Pod, key: Key) -> None:
        if not pod.sandbox.infra_up:
            raise RuntimeFailed(f"cannot set up the network of pod {key}: its infra container does not run")
        number = len(self._addresses) + 2
        ip = self._addresses.setdefault(key, f"10.88.{number // 256}.{number % 256}")
        pod.sandbox = replace(pod.sandbox, networked=True, ip=ip)

    def _create_container(self, key: Key, action: a.CreateContainer, cut: Fault | None) -> ContainerId:
        pod = self._pod(key, action.pod)
        spec = action.spec.container(action.name)
        if spec is None:
            raise Violation(f"{action.name} is not in the spec it is created from")
        if any(c.name == action.name and c.attempt >= action.attempt for c in pod.containers):
            raise Violation(f"attempt {action.attempt} at {action.name} is taken")
        if not pod.sandbox.stands:
            raise RuntimeFailed(f"cannot create {action.name}: the infra container of pod {key} does not run")
        if self._image(spec.image).status is not ImageStatus.PRESENT:
            raise Violation(f"creating {action.name} without its image {spec.image}")
        made = replace(
            self._new_container(spec, action.attempt),
            restarts=action.restarts,
            crashes=action.crashes,
            last=action.last,
            turn=action.turn,
            image_id=self._image(spec.image).id,
            log_path=f"/logs/{key.namespace}_{key.name}/{action.name}/{action.attempt}.log",
        )
        pod.expect_room(spec.resources)
        pod.containers.append(made)
        if cut:
            raise cut.error
        pod.put(replace(made, state=ContainerState.CREATED))
        return made.id

    def _start(self, key: Key, action: a.StartContainer) -> None:
        pod, container = self._find(key, action.container)
        is_infra = pod.sandbox.infra is not None and pod.sandbox.infra.id == container.id
        if not pod.sandbox.ready and not is_infra:
            raise Violation(f"starting {action.name} in a pod that is not ready")
        others = [c for c in pod.containers if c.name == container.name and c.id != container.id]
        if any(c.state is ContainerState.RUNNING for c in others):
            raise Violation(f"starting a second {action.name} beside the running one")
        if not container.state.can_start():
            raise RuntimeFailed(f"cannot start {action.name}: it is {container.state}")
        pod.put(self._run(container))
        if container.name in self.brief or container.name in self.codes:
            self._exits_at[container.id] = self.clock.now()

    def _stop(self, key: Key, action: a.StopContainer) -> None:
        pod, container = self._find(key, action.container)
        if container.state is not ContainerState.RUNNING:
            return
        if container.stopping is not None:
            raise Violation(f"stopping {action.name} twice")
        stopping = Stopping(self.clock.now() + action.grace, hook=HookState.RUNNING if action.pre_stop else None)
        pod.put(replace(container, stopping=stopping))
        if action.pre_stop is None:
            self._hears(container)

    def _term(self, key: Key, action: a.TermContainer) -> None:
        pod, container = self._find(key, action.container)
        pod.put(hooks.told(container, self.clock.now()))
        self._hears(container)

    def _hears(self, container: Container) -> None:
        if container.name not in self.deaf:
            self._exits_at[container.id] = self.clock.now() + self.stop_takes.get(container.name, 0.0)
            self._catch_up()

    def _kill(self, key: Key, action: a.KillContainer, cut: Fault | None) -> None:
        pod, container = self._find(key, action.container)
        if not container.state.can_signal():
            return
        container = replace(container, stopping=Stopping(self.clock.now() + KILL_AGAIN, killed=True))
        pod.put(container)
        if cut:
            raise cut.error
        if container.name not in self.undead:
            self._end(pod, container, 137)

    def _remove_container(self, key: Key, action: a.RemoveContainer) -> None:
        pod, container = self._find(key, action.container)
        if container.state is ContainerState.RUNNING:
            raise Violation(f"removing {action.name} while it runs")
        pod.containers = [c for c in pod.containers if c.id != container.id]

    # --- helpers -----------------------------------------------------------------------------------------------

    def _pod(self, key: Key, pod_id: PodId) -> Pod:
        pod = self._pods.get(key)
        if pod is None or pod.sandbox.id != pod_id:
            raise Violation(f"pod {pod_id[:12]} is not the one of {key}")
        return pod

    def _find(self, key: Key, wanted: ContainerId) -> tuple[Pod, Container]:
        pod = self._pods.get(key)
        for container in self._all(pod) if pod else ():
            if container.id == wanted:
                assert pod is not None
                return pod, container
        raise Violation(f"container {wanted[:12]} is not one of {key}")

    @staticmethod
    def _all(pod: Pod) -> list[Container]:
        return [*pod.containers, *([pod.sandbox.infra] if pod.sandbox.infra else [])]

    def _image(self, ref: str) -> ImageState:
        if ref in self._pulls:
            return ImageState(ImageStatus.PULLING)
        return self.images.get(ref, ImageState(ImageStatus.MISSING))

    def _own_holders(self, asking: Key) -> list[PortHolder]:
        held = []
        for key, pod in self._pods.items():
            if key == asking or pod.sandbox.ended:
                continue
            want = self._wants.get(key)
            for binding in pod.sandbox.applied.sandbox.ports:
                leaves = want is not None and binding not in want.sandbox.ports
                held.append(PortHolder(binding, key=key, yields=pod.sandbox.removing or leaves))
        return held

    def _new_id(self) -> str:
        return f"{next(self._numbers):064x}"

    def _new_container(self, spec: ContainerSpec, attempt: int) -> Container:
        return Container(
            id=ContainerId(self._new_id()),
            name=spec.name,
            attempt=attempt,
            spec=spec,
            state=ContainerState.CREATING,
            created_wall=self.clock.wall(),
            started_up=spec.startup is None,
            is_ready=spec.startup is None and spec.readiness is None,
            pre_stop=spec.pre_stop,
        )

    def _run(self, container: Container) -> Container:
        pid = PidRef(10_000 + next(self._numbers), int(self.clock.now() * 100))
        now, wall = self.clock.now(), self.clock.wall()
        return hooks.started(replace(container, state=ContainerState.RUNNING, pid=pid, started=now, started_wall=wall))

    def _ended(self, container: Container, code: int) -> Container:
        now = self.clock.now()
        end = Exit(code, now, self.clock.wall(), container.started_wall, now - container.started)
        return replace(container, state=ContainerState.EXITED, pid=None, exit=end)

    def _end(self, pod: Pod, container: Container, code: int) -> None:
        self._exits_at.pop(container.id, None)
        pod.put(self._ended(container, code))

    def _catch_up(self) -> set[Key]:
        """Whatever is due by now has happened."""
        now = self.clock.now()
        changed: set[Key] = set()
        for key, pod in self._pods.items():
            for container in self._all(pod):
                if self._exits_at.get(container.id, now + 1) <= now:
                    code = self.codes.get(container.name, self.term_code)
                    self._end(pod, container, self.term_code if container.stopping else code)
                    changed.add(key)
        for ref in [r for r, at in self._pulls.items() if at <= now]:
            del self._pulls[ref]
            if ref in self.unknown_images:
                self.images[ref] = ImageState(ImageStatus.FAILED, error="manifest unknown", retry_at=now + RETRY_PULL)
            else:
                self.images[ref] = ImageState(ImageStatus.PRESENT, id=f"sha256:{ref}")
            changed |= {k for k, w in self._wants.items() if w and any(c.image == ref for c in w.everyone)}
        return changed

    def _due_fault(self) -> Fault | None:
        for fault in self._faults:
            fault.countdown -= 1
        due = next((f for f in self._faults if f.countdown <= 0), None)
        if due:
            self._faults.remove(due)
        return due

    def _tell(self, key: Key) -> None:
        for listener in self.listeners:
            listener(key)
