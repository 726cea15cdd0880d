"""What is told of a kill for want of memory: which limit it was, whether the container goes on, and all of it once."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.engine import oom, processes
from reconciler.engine.context import Context, Settings
from reconciler.engine.layout import Layout
from reconciler.engine.records import ContainerFacts, ContainerRecord
from reconciler.engine.store import events
from reconciler.model.key import ContainerId, Key, PodId
from reconciler.model.observed import Exit
from reconciler.model.spec import ContainerSpec, PodSpec, Resources
from tests.fakes.clock import FakeClock

MIB = 1 << 20
NO_LIMIT = "the machine's memory, or a limit around the pod, was used up"
KEY = Key("default", "shop")
CONTAINER = ContainerId("c" * 64)
SPEC = ContainerSpec("app", "i", resources=Resources(memory_limit=64 * MIB))
POD = PodSpec(KEY, containers=(SPEC,))
RECORD = ContainerRecord(CONTAINER, PodId("p" * 64), KEY, "app", 0, SPEC)
ME = processes.pid_ref(os.getpid())
assert ME is not None
ALIVE = ContainerFacts(boot=processes.boot_id(), pid=ME.pid, pid_start=ME.start)
DEAD = replace(ALIVE, pid_start=ME.start + 1)


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    layout = Layout.at(tmp_path)
    layout.make()
    layout.container(CONTAINER).mkdir()
    return Context(Settings(tmp_path), layout, FakeClock())


def told(ctx: Context) -> list[str]:
    return [event.message for event in events.read(ctx.store)]


@pytest.mark.parametrize(
    ("limit", "pod_limit", "peak", "says"),
    [
        pytest.param(64 * MIB, 96 * MIB, 64 * MIB, "its memory limit is 64Mi, 64Mi in use", id="its own"),
        pytest.param(64 * MIB, 96 * MIB, 0, "its memory limit is 64Mi, use not known", id="its own, if nobody counted"),
        pytest.param(64 * MIB, 96 * MIB, MIB // 2, "the pod's memory limit is 96Mi, 512Ki in use here", id="the pod's"),
        pytest.param(
            None, None, MIB, "the machine's memory, or a limit around the pod, was used up, 1Mi in use here", id="no"
        ),
    ],
)
def test_which_limit_it_was(limit: int | None, pod_limit: int | None, peak: int, says: str) -> None:
    assert oom.why(limit, pod_limit, peak) == says


def test_a_kill_is_told_once_and_the_next_one_again(ctx: Context) -> None:
    assert oom.tell(ctx, RECORD, ALIVE, POD, None) == 0
    ctx.layout.oom_count(CONTAINER).write_text(f"1 {64 * MIB}")
    assert oom.tell(ctx, RECORD, ALIVE, POD, None) == 1
    known = replace(ALIVE, oom_kills=1)
    assert oom.tell(ctx, RECORD, known, POD, None) == 1
    ctx.layout.oom_count(CONTAINER).write_text(f"3 {64 * MIB}")
    assert oom.tell(ctx, RECORD, known, POD, None) == 3
    cause = "its memory limit is 64Mi, 64Mi in use"
    assert told(ctx) == [
        f"Container app was out of memory: the kernel killed a process of it, which goes on: {cause}",
        f"Container app was out of memory: the kernel killed 2 processes of it, which goes on: {cause}",
    ]


def test_of_a_container_that_is_dying_nothing_is_told_before_its_end(ctx: Context) -> None:
    ctx.layout.oom_count(CONTAINER).write_text(f"1 {64 * MIB}")
    assert oom.tell(ctx, RECORD, DEAD, POD, None) == 0
    assert oom.tell(ctx, RECORD, DEAD, POD, Exit(137, 1.0, 1.0, oom=True)) == 1
    assert told(ctx) == ["Container app was out of memory and was killed: its memory limit is 64Mi, 64Mi in use"]


@pytest.mark.parametrize(
    ("code", "facts", "noted", "was_it"),
    [
        pytest.param(137, ALIVE, True, True, id="killed, and memory ran out"),
        pytest.param(137, ALIVE, False, False, id="killed by somebody"),
        pytest.param(137, replace(ALIVE, killed=True), True, False, id="killed by us, whatever was before"),
        pytest.param(1, ALIVE, True, False, id="it survived the kill of a child, and failed later"),
    ],
)
def test_whether_an_end_was_for_want_of_memory(
    code: int, facts: ContainerFacts, noted: bool, was_it: bool, ctx: Context
) -> None:
    if noted:  # as the C conmon does
        (ctx.layout.container(CONTAINER) / "oom").touch()
    assert oom.ended_by(ctx.layout, CONTAINER, code, facts) is was_it


def test_a_damaged_count_is_none(ctx: Context) -> None:
    ctx.layout.oom_count(CONTAINER).write_text("5")
    assert oom.kills(ctx.layout, CONTAINER) == (0, 0)
