"""An upgrade restarts nothing: what programs of every version wrote down of one manifest is what is read from it today.

The records in ``specs`` were written by the programs of their time and never change. Who changes the spec so that one
of these tests fails does one of three things: gives a new field a default that means "as before"; has
``records.applied`` read older records by their own rules, under a new SPEC_VERSION; or, after a new version, adds what
that writes.
"""

from __future__ import annotations

import dataclasses
import json
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from reconciler.engine import records
from reconciler.engine.records import ContainerFacts, ContainerRecord, PodRecord, PodState
from reconciler.kube import load
from reconciler.model.key import PodId, SourceId
from reconciler.model.spec import SPEC_VERSION, PodSpec
from reconciler.sources.hand import HandPod

SPECS = Path(__file__).with_name("specs")
WRITTEN = sorted(SPECS.glob("version-*.json"))

REQUIRED = {
    "Begun": frozenset({"wall"}),
    "ContainerPort": frozenset({"container_port"}),
    "ContainerRecord": frozenset({"attempt", "id", "key", "name", "pod", "spec"}),
    "ContainerSpec": frozenset({"image", "name"}),
    "Device": frozenset({"host_path", "path"}),
    "Eviction": frozenset({"limit", "text", "volume"}),
    "Exit": frozenset({"code", "finished", "finished_wall"}),
    "File": frozenset({"path"}),
    "FileKey": frozenset({"key", "path", "volume"}),
    "HandMember": frozenset({"name"}),
    "HandObject": frozenset({"value"}),
    "HandPod": frozenset({"spec"}),
    "HandSecret": frozenset({"logins", "name"}),
    "HostAlias": frozenset({"ip"}),
    "Key": frozenset({"name", "namespace"}),
    "Login": frozenset({"auth", "place"}),
    "Mount": frozenset({"path", "volume"}),
    "Object": frozenset({"kind", "name", "namespace"}),
    "PodRecord": frozenset({"created_wall", "id", "ip", "key", "owner", "spec", "uid"}),
    "PodSpec": frozenset({"key"}),
    "PortBinding": frozenset({"container_port", "host_port"}),
    "Probe": frozenset({"handler"}),
    "Reference": frozenset({"kind", "name"}),
    "RestartRule": frozenset({"codes"}),
    "Service": frozenset({"key"}),
    "Volume": frozenset({"kind", "name"}),
    "VolumeSource": frozenset({"kind"}),
}
"""The fields that records of all versions have, of each type that is in one. None is ever added to a type that was out:
older records lack it, and would count as damaged."""


def today() -> PodSpec:
    loaded = load("pod.yaml", (SPECS / "pod.yaml").read_bytes())
    assert loaded.problems == ()
    return loaded.pods[0].spec


def version_of(path: Path) -> int:
    match = re.match(r"version-(\d+)", path.name)
    assert match
    return int(match[1])


def test_there_is_a_record_of_each_version() -> None:
    assert {version_of(path) for path in WRITTEN} == set(range(1, SPEC_VERSION + 1))


@pytest.mark.parametrize("path", WRITTEN, ids=lambda p: p.stem)
def test_what_an_older_program_wrote_is_what_is_wanted_today(path: Path) -> None:
    want = today()
    spec = msgspec.json.decode(path.read_bytes(), type=PodSpec)
    record = PodRecord(PodId("aa"), "u", want.key, spec, SourceId("dir:/x"), "", 0.0, version=version_of(path))
    assert records.applied(record, want) == want


@pytest.mark.parametrize("path", WRITTEN, ids=lambda p: p.stem)
def test_no_field_that_was_ever_written_is_forgotten(path: Path) -> None:
    """A field under another name would be its default in every pod that runs."""
    spec = msgspec.json.decode(path.read_bytes(), type=PodSpec)
    assert list(lost(json.loads(path.read_bytes()), json.loads(msgspec.json.encode(spec)))) == []


def lost(before: Any, now: Any, where: str = "spec") -> Iterator[str]:
    if isinstance(before, dict):
        for name, value in before.items():
            if name not in now:
                yield f"{where}.{name}"
            else:
                yield from lost(value, now[name], f"{where}.{name}")
    elif isinstance(before, list):
        for number, (a, b) in enumerate(zip(before, now, strict=True)):
            yield from lost(a, b, f"{where}[{number}]")
    elif before != now:
        yield f"{where}: {before!r} is {now!r} now"


def parts(kind: Any, seen: dict[str, type]) -> dict[str, type]:
    """Every type that is in a record, by its name."""
    if dataclasses.is_dataclass(kind) and isinstance(kind, type) and kind.__name__ not in seen:
        seen[kind.__name__] = kind
        for inner in typing.get_type_hints(kind).values():
            parts(inner, seen)
    for inner in typing.get_args(kind):
        parts(inner, seen)
    return seen


def test_a_new_field_has_a_default() -> None:
    found: dict[str, type] = {}
    for kind in (PodRecord, PodState, ContainerRecord, ContainerFacts, HandPod):
        parts(kind, found)
    assert {"ContainerSpec", "SandboxSpec", "Mount", "Exit"} <= set(found)
    required = {name: fields for name, kind in found.items() if (fields := without_default(kind))}
    lacking = {
        name: fields - REQUIRED[name] for name, fields in required.items() if fields - REQUIRED.get(name, fields)
    }
    assert lacking == {}, "these fields need a default"
    assert required == REQUIRED, "types and fields that are new here, or gone"


def without_default(kind: Any) -> frozenset[str]:
    missing = dataclasses.MISSING
    return frozenset(f.name for f in dataclasses.fields(kind) if f.default is missing and f.default_factory is missing)
