"""What listings, filters and ``inspect`` know of a container and of a pod: one small object for each.

Pure, made from what was observed. Whatever costs more than reading the records is handed in as a function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from reconciler import __version__
from reconciler.cli.maps import Map
from reconciler.cli.resolve import current, infra_name, shown_infra
from reconciler.model.errors import ImageProblem
from reconciler.model.key import HAND
from reconciler.model.observed import Container, ContainerState, Observed
from reconciler.model.spec import DEFAULT_NETWORK, NO_NETWORK, Mount, PortBinding

PAUSE_IMAGE = f"localhost/reconciler-pause:{__version__}"
"""What the infra container runs, as an image's name: it is not one that could be pulled."""

CommandOf = Callable[[str], tuple[str, ...]]
"""What the image of an id runs when nobody says otherwise."""


@dataclass(frozen=True, slots=True)
class ByHand:
    """What is known of a pod made by hand beyond its record. ``solo``: it was made for one container, which is shown
    as one without a pod. ``passing``: its members that are removed when they have ended (``--rm``). ``command``: the
    words by which it was made; ``commands``: those of each member."""

    solo: bool = False
    passing: frozenset[str] = frozenset()
    command: tuple[str, ...] = ()
    commands: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ContainerRow:
    """``name`` is as it is shown, ``member`` as its pod calls it; ``pod`` and ``pod_name`` are empty for a container
    without a pod. Instants are seconds since 1970, 0 for what has not happened."""

    id: str
    name: str
    member: str
    state: str
    image: str = ""
    image_id: str = ""
    command: tuple[str, ...] = ()
    created: float = 0.0
    started: float = 0.0
    finished: float = 0.0
    exit_code: int = 0
    oom: bool = False
    stopping: bool = False
    pid: int = 0
    infra: bool = False
    namespace: str = ""
    pod: str = ""
    pod_name: str = ""
    labels: Map = field(default_factory=Map)
    ports: tuple[PortBinding, ...] = ()
    mounts: tuple[Mount, ...] = ()
    networks: tuple[str, ...] = ()
    restarts: int = 0
    passing: bool = False

    @property
    def runs(self) -> bool:
        return self.state == ContainerState.RUNNING


@dataclass(frozen=True, slots=True)
class PodRow:
    """``members`` are all its containers, the infra container last."""

    id: str
    name: str
    namespace: str
    created: float
    status: str
    members: tuple[ContainerRow, ...] = ()
    labels: Map = field(default_factory=Map)
    networks: tuple[str, ...] = ()

    @property
    def infra_id(self) -> str:
        return next((member.id for member in self.members if member.infra), "")


def of_pod(
    pod: Observed,
    command_of: CommandOf,
    hand: ByHand = ByHand(),
    *,
    members: Iterable[Container] | None = None,
    all_infra: bool = False,
) -> list[ContainerRow]:
    """The containers of a pod, the infra container last. ``members``: those of its members (None: the newest attempt
    at each); ``all_infra``: also the infra container that is there for one container only."""
    chosen = current(pod) if members is None else members
    found = [_member(pod, container, command_of, hand) for container in chosen]
    infra = shown_infra(pod) if all_infra or not hand.solo else None
    return [*found, _infra(pod, infra)] if infra is not None else found


def _member(pod: Observed, container: Container, command_of: CommandOf, hand: ByHand) -> ContainerRow:
    """A member made by hand has a name, and labels, of its own; one of a manifest is its pod's."""
    sandbox, spec = pod.sandbox, container.spec
    by_hand = sandbox is not None and sandbox.owner == HAND
    labels = () if by_hand or sandbox is None else sandbox.applied.labels
    row = _row(pod, container, container.name if by_hand else f"{pod.key.name}/{container.name}")
    return replace(
        row,
        member=container.name,
        command=(*(spec.command or ()), *(spec.args or ())) or command_of(container.image_id),
        labels=Map((*labels, *spec.labels)),
        mounts=spec.mounts,
        passing=container.name in hand.passing,
        pod="" if hand.solo else row.pod,
        pod_name="" if hand.solo else row.pod_name,
    )


def _infra(pod: Observed, container: Container) -> ContainerRow:
    assert pod.sandbox is not None
    spec = pod.sandbox.applied
    row = _row(pod, container, infra_name(pod))
    image, command = spec.sandbox.infra_image or PAUSE_IMAGE, spec.sandbox.infra_command
    return replace(row, image=image, command=command, infra=True, labels=Map(spec.labels))


def image_name(said: str) -> str:
    """An image's name in full; one without a registry as it was said, since what it means is this machine's affair."""
    from reconciler.engine.images import reference

    try:
        read = reference.parse(said)
    except ImageProblem:
        return said
    return str(read.full()) if read.registry else said


def _row(pod: Observed, container: Container, name: str) -> ContainerRow:
    """What is told of every container in the same way."""
    ended, runs = container.exit, container.state is ContainerState.RUNNING
    return ContainerRow(
        id=container.id,
        name=name,
        member=name,
        state=state(container),
        image=image_name(container.spec.image),
        image_id=container.image_id,
        created=container.created_wall,
        started=container.started_wall,
        finished=ended.finished_wall if ended else 0.0,
        exit_code=ended.code if ended else 0,
        oom=ended is not None and ended.oom,
        stopping=runs and container.stopping is not None,
        pid=container.pid.pid if runs and container.pid else 0,
        namespace=pod.key.namespace,
        pod=pod.sandbox.id if pod.sandbox else "",
        pod_name=pod.key.name,
        ports=_ports(pod),
        networks=_networks(pod),
        restarts=container.restarts,
    )


def state(container: Container) -> str:
    """Podman's word: what is being created is ``created`` there."""
    if container.paused and container.state is ContainerState.RUNNING:
        return "paused"
    return "created" if container.state is ContainerState.CREATING else container.state.value


def _ports(pod: Observed) -> tuple[PortBinding, ...]:
    """Published ports are the pod's, and each of its containers shares them."""
    return pod.applied.sandbox.ports if pod.applied else ()


def _networks(pod: Observed) -> tuple[str, ...]:
    sandbox = pod.applied.sandbox if pod.applied else None
    if sandbox is None or sandbox.host_network or sandbox.network == NO_NETWORK:
        return ()
    return (sandbox.network or DEFAULT_NETWORK,)


def pod_row(pod: Observed, command_of: CommandOf) -> PodRow:
    """A pod and its containers, the newest attempt at each. It has been made: there is a sandbox."""
    sandbox = pod.sandbox
    assert sandbox is not None
    members = tuple(of_pod(pod, command_of))
    through = {c.name for c in sandbox.applied.plain_init}
    states = [m.state for m in members if m.member not in through or m.runs or m.exit_code]
    return PodRow(
        id=sandbox.id,
        name=pod.key.name,
        namespace=pod.key.namespace,
        created=sandbox.created_wall,
        status=pod_status(states),
        members=members,
        labels=Map(sandbox.applied.labels),
        networks=_networks(pod),
    )


def pod_status(states: Sequence[str]) -> str:
    """Podman's one word for the states of all containers of a pod (libpod, createPodStatusResults)."""
    if not states:
        return "Created"
    if "running" in states:
        return "Running" if _all(states, "running") else "Degraded"
    if _all(states, "paused"):
        return "Paused"
    if "exited" in states:
        return "Exited" if _all(states, "exited") else "Stopped"
    return "Created" if _all(states, "created", "paused") else "Error"


def _all(states: Iterable[str], *words: str) -> bool:
    return all(state in words for state in states)
