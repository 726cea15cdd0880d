"""Whether a container runs, by its state file and the kernel: as ``observe`` sees it, or it says no."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.engine import observe, processes, pulse, records
from reconciler.engine.context import Context, Settings
from reconciler.engine.layout import Layout
from reconciler.engine.records import STATE, ContainerFacts
from reconciler.model.key import ContainerId
from reconciler.model.observed import ContainerState, Exit
from tests.fakes.clock import FakeClock

CID = ContainerId("c" * 64)
ME = processes.pid_ref(os.getpid())
assert ME is not None
CREATED = ContainerFacts(boot=processes.boot_id(), pid=ME.pid, pid_start=ME.start)
RUNNING = replace(CREATED, started=1.0, started_wall=1.0)


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    layout = Layout.at(tmp_path)
    layout.make()
    layout.container(CID).mkdir()
    return Context(Settings(tmp_path), layout, FakeClock(now=1000.0, wall=6000.0))


@pytest.mark.parametrize(
    ("facts", "runs"),
    [
        pytest.param(RUNNING, True, id="it was started and lives"),
        pytest.param(replace(RUNNING, deadline=5.0, killed=True), True, id="it was killed and lives"),
        pytest.param(CREATED, False, id="it waits to be started"),
        pytest.param(ContainerFacts(), False, id="its creation was cut short"),
        pytest.param(replace(RUNNING, pid_start=ME.start + 1), False, id="its number is another's by now"),
        pytest.param(replace(RUNNING, boot="another boot"), False, id="the machine was restarted"),
        pytest.param(replace(RUNNING, exit=Exit(0, 1.0, 2.0)), False, id="its end was written down"),
    ],
)
def test_a_container_runs(ctx: Context, facts: ContainerFacts, runs: bool) -> None:
    records.write(ctx.layout.container(CID), STATE, facts)
    assert pulse.runs(ctx.layout, CID) is runs
    assert runs is (observe.state_of(ctx, CID, facts)[0] is ContainerState.RUNNING)


def test_who_was_paused(ctx: Context) -> None:
    for facts, wanted in ((RUNNING, False), (replace(RUNNING, paused=True), True)):
        records.write(ctx.layout.container(CID), STATE, facts)
        assert pulse.was_paused(ctx.layout, CID) is wanted
        assert pulse.runs(ctx.layout, CID)


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"pid": 1}', '{"pid": null, "pid_start": 1}'])
def test_of_what_cannot_be_read_nothing_is_known(ctx: Context, text: str | None) -> None:
    if text is not None:
        (ctx.layout.container(CID) / STATE).write_text(text)
    assert not pulse.runs(ctx.layout, CID)
    assert not pulse.was_paused(ctx.layout, CID)
