"""The rows of listings, put together from what is recorded and what runs: all that listings read is read here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli import rows
from reconciler.cli.resolve import observed
from reconciler.cli.rows import ByHand, ContainerRow, PodRow
from reconciler.model.key import Key

if TYPE_CHECKING:
    from reconciler.engine.engine import Engine

_NOT_BY_HAND = ByHand()


def containers(engine: Engine, namespace: str | None = None) -> list[ContainerRow]:
    """Every container, the infra containers and older attempts included."""
    hand, command_of = by_hand(engine.layout.hand), commands(engine.layout.images)
    found: list[ContainerRow] = []
    for pod in observed(engine, namespace):
        found += rows.of_pod(pod, command_of, hand.get(pod.key, _NOT_BY_HAND), old=True)
    return found


def pods(engine: Engine, namespace: str | None = None) -> list[PodRow]:
    """Every pod but those that are there for one container only."""
    hand, command_of = by_hand(engine.layout.hand), commands(engine.layout.images)
    return [
        rows.pod_row(pod, command_of)
        for pod in observed(engine, namespace)
        if not hand.get(pod.key, _NOT_BY_HAND).solo and pod.sandbox and not pod.sandbox.ended
    ]


def commands(images: Path) -> Callable[[str], tuple[str, ...]]:
    """What images run by themselves; each is looked up once."""
    from reconciler.engine.images.glance import runs

    @cache
    def command(image_id: str) -> tuple[str, ...]:
        found = runs(images, image_id)
        return found.cmd or found.entrypoint

    return command


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    remove: bool = False


@dataclass(frozen=True, slots=True)
class _File:
    """Of a hand-made pod's file (``sources.hand.HandPod``), what is shown; the rest is passed over."""

    members: tuple[_Member, ...] = ()
    solo: bool = False


def by_hand(directory: Path) -> dict[Key, ByHand]:
    """What is said of pods made by hand; a file that cannot be read says nothing."""
    import msgspec

    decode = msgspec.json.Decoder(_File).decode
    found: dict[Key, ByHand] = {}
    for file in directory.glob("*/*.json"):
        try:
            said = decode(file.read_bytes())
        except (OSError, msgspec.MsgspecError):
            continue
        passing = frozenset(member.name for member in said.members if member.remove)
        found[Key(file.parent.name, file.name.removesuffix(".json"))] = ByHand(said.solo, passing)
    return found


def cgroups(engine: Engine) -> Callable[[PodRow], str]:
    """Below which cgroup each pod's own is; looked up when it is asked for."""

    def parent(row: PodRow) -> str:
        from reconciler.engine import podgroups
        from reconciler.engine.records import RECORD, PodRecord, read
        from reconciler.model.key import PodId

        record = read(engine.layout.pod(PodId(row.id)), RECORD, PodRecord)
        return podgroups.of_record(engine.context, record).rpartition("/")[0] if record else ""

    return parent
