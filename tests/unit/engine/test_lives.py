"""Containers that have several lives: which record, which end and which monitor belong to which of them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.engine import observe, processes, recorded, records, watched
from reconciler.engine.context import Context, Settings
from reconciler.engine.layout import Layout
from reconciler.engine.records import RECORD, STATE, ContainerFacts, ContainerRecord, Past, PodRecord
from reconciler.model.key import HAND, ContainerId, Key, PodId
from reconciler.model.observed import Container, ContainerState, Exit, PidRef
from reconciler.model.spec import ContainerSpec, PodSpec
from tests.fakes.clock import FakeClock

ID = ContainerId(os.urandom(32).hex())
"""Nobody else's: what is begun of it is looked for by name."""
SPEC = PodSpec(Key("default", "web"), keep=True)
POD = PodRecord(PodId("p" * 64), "uid", SPEC.key, SPEC, HAND, "", 0.0)
FIRST = ContainerRecord(ID, POD.id, POD.key, "web", 0, ContainerSpec("web", "i"), restarts=2, life=1)
LAST = Exit(4, 10.0, 5000.0)
ENDED = ContainerFacts(boot=processes.boot_id(), pid=1, pid_start=1, exit=Exit(-1, 900.0, 5900.0), life=1)


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    layout = Layout.at(tmp_path)
    layout.make()
    layout.container(ID).mkdir()
    return Context(Settings(tmp_path), layout, FakeClock(now=1000.0, wall=6000.0))


def _put(ctx: Context, record: ContainerRecord, facts: ContainerFacts) -> None:
    records.write(ctx.layout.container(ID), RECORD, record)
    records.write(ctx.layout.container(ID), STATE, facts)


def _seen(ctx: Context) -> Container:
    facts = recorded.facts_of(ctx, ID)
    record = recorded.record_for(ctx, ID, facts)
    assert record is not None
    return observe._container(ctx, record, facts, POD, held=True)


def test_the_first_life_is_as_its_record_says(ctx: Context) -> None:
    _put(ctx, FIRST, replace(ENDED, turn=1))
    seen = _seen(ctx)
    assert (seen.restarts, seen.last, seen.turn) == (2, None, 1)


def test_a_later_life_says_itself_what_came_before(ctx: Context) -> None:
    _put(ctx, replace(FIRST, life=2), replace(ENDED, life=2, turn=3, past=Past(restarts=0, crashes=1, last=LAST)))
    seen = _seen(ctx)
    assert (seen.restarts, seen.crashes, seen.last, seen.turn) == (0, 1, LAST, 3)


def test_a_life_that_another_process_began_is_seen_with_its_record(ctx: Context) -> None:
    _put(ctx, FIRST, ENDED)
    assert _seen(ctx).spec.image == "i"
    _put(ctx, replace(FIRST, life=2, spec=ContainerSpec("web", "other")), replace(ENDED, life=2))
    assert _seen(ctx).spec.image == "other"


def test_a_life_that_was_cut_short_changes_nothing_of_the_end_before(ctx: Context) -> None:
    """Not even where nobody knew that, and the monitor of the new one tells of its end."""
    _put(ctx, replace(FIRST, life=2), ENDED)
    (ctx.layout.exits / ID).write_text("137")
    seen = _seen(ctx)
    assert (seen.state, seen.exit, seen.restarts) == (ContainerState.EXITED, ENDED.exit, 2)


def test_each_life_has_a_monitor_of_its_own(tmp_path: Path) -> None:
    mine = watched.monitor_file(tmp_path, 2)
    mine.parent.mkdir()
    mine.write_text(str(os.getpid()))
    assert watched.monitor_of(tmp_path, 2) == processes.pid_ref(os.getpid())
    assert watched.monitor_of(tmp_path, 1) is None
    assert watched.monitor_of(tmp_path) is None


@contextmanager
def _shell(script: str, *words: str) -> Iterator[PidRef]:
    """A shell that has said a word on its output, and reads its input."""
    with subprocess.Popen(["sh", "-c", script, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as shell:
        assert shell.stdout is not None
        assert shell.stdout.readline() == b"ready\n"
        ref = processes.pid_ref(shell.pid)
        assert ref is not None
        yield ref
        shell.communicate(b"\n")


@pytest.mark.parametrize(
    ("words", "watches"),
    [
        pytest.param(("conmon", "-c", ID, "-u", ID), True, id="a monitor"),
        pytest.param(("conmon", f"-c {ID} -u {ID}"), True, id="a monitor with its line written over the zygote's"),
        pytest.param(("conmon", "-c", "d" * 64, "-u", "x"), False, id="another container's monitor"),
        pytest.param(("reconciler", "system", "ended", ID), False, id="the exit command"),
    ],
)
def test_who_watches_a_container(words: tuple[str, ...], watches: bool) -> None:
    with _shell("echo ready; read x", *words) as ref:
        assert watched.watches(ref, ID) is watches


@pytest.mark.parametrize(
    ("words", "through"),
    [
        pytest.param(f"x ended {ID}", True, id="its exit command runs"),
        pytest.param(f"create --pid-file x {ID}", False, id="the runtime creates the container"),
        pytest.param(f"ended {'d' * 64}", False, id="the exit command is another container's"),
    ],
)
def test_when_a_monitor_is_through(words: str, through: bool) -> None:
    with _shell(f"exec 3<&0; sh -c 'echo ready; read x' {words} <&3 & wait") as ref:
        assert (watched.exit_command_of(ref, ID) is not None) is through
