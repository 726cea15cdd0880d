"""What is shown of containers and pods, put together from what is recorded and what runs: all that listings and
`inspect` read is read here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconciler.cli import rows
from reconciler.cli.resolve import Found, listed, observed
from reconciler.cli.rows import ByHand, ContainerRow, PodRow
from reconciler.model.key import Key, PodId
from reconciler.model.observed import Observed

if TYPE_CHECKING:
    from reconciler.engine.engine import Engine

_NOT_BY_HAND = ByHand()


def containers(engine: Engine, namespace: str | None = None) -> list[ContainerRow]:
    """Every container that a listing may show, the infra containers included."""
    hand, command_of = by_hand(engine.layout.hand), commands(engine.layout.images)
    found: list[ContainerRow] = []
    for pod in observed(engine, namespace):
        found += rows.of_pod(pod, command_of, hand.get(pod.key, _NOT_BY_HAND), members=listed(pod))
    return found


def pods(engine: Engine, namespace: str | None = None) -> list[PodRow]:
    """Every pod that is one to look at."""
    command_of = commands(engine.layout.images)
    return [rows.pod_row(pod, command_of) for pod in to_see(engine, observed(engine, namespace))]


def to_see(engine: Engine, pods: Iterable[Observed]) -> list[Observed]:
    """Those of ``pods`` that are pods to whoever looks: not those that are there for one container only, nor those of
    which nothing but a record is left."""
    hand = by_hand(engine.layout.hand)
    return [p for p in pods if not hand.get(p.key, _NOT_BY_HAND).solo and p.sandbox and not p.sandbox.ended]


def commands(images: Path) -> Callable[[str], tuple[str, ...]]:
    """What images run by themselves; each is looked up once."""
    from reconciler.engine.images.glance import runs

    @cache
    def command(image_id: str) -> tuple[str, ...]:
        found = runs(images, image_id)
        return found.cmd or found.entrypoint

    return command


def inspected(engine: Engine, found: Found) -> dict[str, Any]:
    """All that is known of a container."""
    from reconciler.cli.inspection import Seen, container_json
    from reconciler.engine import dossier

    sandbox, container = found.pod.sandbox, found.container
    assert sandbox is not None  # observed() gives no others
    hand = by_hand(engine.layout.hand).get(found.pod.key, _NOT_BY_HAND)
    listed = rows.of_pod(found.pod, commands(engine.layout.images), hand, members=found.pod.containers, all_infra=True)
    seen = Seen(
        row=next(row for row in listed if row.id == container.id),
        container=container,
        pod=found.pod,
        lies=dossier.of_container(engine.context, container.id, sandbox.id, container.image_id),
        address=dossier.address_of(engine.context, sandbox),
        command=hand.commands.get(container.name, ()),
    )
    return container_json(seen)


def inspected_pod(engine: Engine, pod: Observed) -> dict[str, Any]:
    """All that is known of a pod."""
    from reconciler.cli.podjson import SeenPod, pod_json
    from reconciler.engine import dossier

    sandbox = pod.sandbox
    assert sandbox is not None  # observed() gives no others
    hand = by_hand(engine.layout.hand).get(pod.key, _NOT_BY_HAND)
    row = rows.pod_row(pod, commands(engine.layout.images))
    return pod_json(SeenPod(row, sandbox.applied, dossier.cgroup_of(engine.context, sandbox.id), hand.command))


def cgroups(engine: Engine) -> Callable[[PodRow], str]:
    """Below which cgroup each pod's own is; looked up when it is asked for."""

    def parent(row: PodRow) -> str:
        from reconciler.engine.dossier import cgroup_of

        return cgroup_of(engine.context, PodId(row.id)).rpartition("/")[0]

    return parent


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    remove: bool = False
    command: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _File:
    """Of a hand-made pod's file (``sources.hand.HandPod``), what is shown; the rest is passed over."""

    members: tuple[_Member, ...] = ()
    solo: bool = False
    command: tuple[str, ...] = ()


def by_hand(directory: Path) -> dict[Key, ByHand]:
    """What is said of pods made by hand; a file that cannot be read says nothing."""
    import msgspec

    from reconciler.model.typed import decoder

    decode = decoder(_File).decode
    found: dict[Key, ByHand] = {}
    for file in directory.glob("*/*.json"):
        try:
            said = decode(file.read_bytes())
        except (OSError, msgspec.MsgspecError):
            continue
        passing = frozenset(member.name for member in said.members if member.remove)
        made = {member.name: member.command for member in said.members}
        key = Key(file.parent.name, file.name.removesuffix(".json"))
        found[key] = ByHand(said.solo, passing, said.command, made)
    return found
