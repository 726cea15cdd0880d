"""A command in a container, with a script in place of the runtime: what it is given, and its end when time is over."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.engine import execute, processes, runtime
from reconciler.engine.context import Context, Settings
from reconciler.engine.execute import NotStarted, TimedOut, exec_process
from reconciler.engine.layout import Layout
from reconciler.engine.runtime import Runtime
from reconciler.model.errors import InvalidInput, NotFound, RuntimeFailed
from reconciler.model.key import ContainerId
from tests.slowness import seconds

CID = ContainerId("c" * 64)
LIMITS = 0.3, 3.0, 30.0
"""Seconds: the first in which the command has begun counts."""
OWN = {"args": ["sleep"], "env": ["A=1", "B=1"], "cwd": "/here", "user": {"uid": 5}, "noNewPrivileges": True}

Scripted = Callable[[str], Context]


@pytest.fixture
def scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scripted:
    """An instance whose one container has a script for a runtime. In it $process and $log are the files it is given."""

    def make(body: str) -> Context:
        layout = Layout.at(tmp_path)
        layout.make()
        layout.container(CID).mkdir()
        (layout.container(CID) / "config.json").write_text(json.dumps({"process": OWN}))
        path = tmp_path / "runtime"
        path.write_text(f"#!/bin/sh\nlog=$2 process=$7\n{body}\n")
        path.chmod(0o755)
        made = Runtime("crun", path, "1", tmp_path / "state")
        monkeypatch.setattr(runtime, "maker_of", lambda _container, _layout: made)
        return Context(Settings(tmp_path), layout)

    return make


def test_a_command_is_the_containers_own_process_but_for_what_is_given(scripted: Scripted, tmp_path: Path) -> None:
    ctx = scripted(f'test "$1 $5 $6 $8" = "--log exec --process {CID}" && cp $process {tmp_path}/seen; exit 7')
    assert execute.run(ctx, CID, ["x", "y z"], env=["B=b c"], cwd="/w") == 7
    given = {"args": ["x", "y z"], "env": ["A=1", "B=b c"], "cwd": "/w", "terminal": False}
    assert json.loads((tmp_path / "seen").read_text()) == OWN | given


def test_variables_are_overridden_by_name_not_by_line() -> None:
    process = {"args": ["a"], "env": ["A=1", "AB=2"], "cwd": "/", "user": {"uid": 5}}
    wanted = {"args": ["b"], "env": ["AB=2", "A=3"], "cwd": "/", "user": {"uid": 5}, "terminal": False}
    assert exec_process(process, ["b"], {"A": "3"}) == wanted


@pytest.mark.parametrize(
    ("said", "code"),
    [
        pytest.param("executable file `x` not found in $PATH: No such file or directory", 127, id="crun: not there"),
        pytest.param('level=error msg="exec: \\"x\\": executable file not found in $PATH"', 127, id="runc: not there"),
        pytest.param("open executable: Permission denied", 126, id="it cannot be run"),
    ],
)
def test_a_command_that_never_ran_is_told_from_one_that_failed(scripted: Scripted, said: str, code: int) -> None:
    with pytest.raises(NotStarted, match=r"^cannot run x: ") as caught:
        execute.run(scripted(f"cat >$log <<'E'\n{said}\nE\nexit 1"), CID, ["x"])
    assert caught.value.code == code


@pytest.mark.parametrize(("body", "code"), [("echo own >&2; exit 255", 255), ("kill -9 $$", 137)])
def test_what_a_command_fails_with_is_its_own(scripted: Scripted, body: str, code: int) -> None:
    assert execute.run(scripted(body), CID, ["x"]) == code


def test_what_cannot_be_passed_on_is_told(scripted: Scripted) -> None:
    ctx = scripted("exit 0")
    with pytest.raises(InvalidInput, match="UTF-8"):
        execute.run(ctx, CID, ["x", os.fsdecode(b"\xff")])
    (ctx.layout.container(CID) / "config.json").write_text("{")
    with pytest.raises(RuntimeFailed, match="cannot read the configuration of container cccccccccccc"):
        execute.run(ctx, CID, ["x"])
    (ctx.layout.container(CID) / "config.json").unlink()
    with pytest.raises(NotFound, match="cannot find container cccccccccccc"):
        execute.run(ctx, CID, ["x"])


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("sh -c 'sleep 1000 & echo $! >>PIDS; wait' & echo $! >>PIDS; wait", id="it ends with its command"),
        pytest.param("trap '' TERM; while :; do sleep 1000 & echo $! >>PIDS; wait $!; done", id="it starts another"),
        pytest.param("exec sleep 1000", id="there is no command yet"),
    ],
)
def test_all_of_a_command_whose_time_is_over_is_killed(scripted: Scripted, tmp_path: Path, body: str) -> None:
    pids = tmp_path / "pids"
    pids.touch()
    ctx = scripted(f"echo $$ >>{pids}\n{body.replace('PIDS', str(pids))}")
    for limit in LIMITS:
        with pytest.raises(TimedOut, match=f"cannot run x to its end: it took more than {limit:g} s and was killed"):
            execute.run(ctx, CID, ["x"], timeout=limit)
        if pids.read_text():
            break
    started = [int(pid) for pid in pids.read_text().split()]
    left = [ref for ref in map(processes.pid_ref, started) if ref]  # killed, and perhaps not through with dying
    assert started and all(processes.wait_gone(ref, seconds(10)) for ref in left)


def test_a_command_that_is_quick_enough_knows_nothing_of_its_limit(scripted: Scripted) -> None:
    assert execute.run(scripted("exit 3"), CID, ["x"], timeout=seconds(60)) == 3


def test_what_a_command_let_go_is_not_its_any_more(scripted: Scripted, tmp_path: Path) -> None:
    """As with a daemon that was started by hand: nobody can tell whose it is."""
    ctx = scripted(f"(setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $! >{tmp_path}/daemon); exec sleep 1000")
    for limit in LIMITS:
        with pytest.raises(TimedOut):
            execute.run(ctx, CID, ["x"], timeout=limit)
        if (tmp_path / "daemon").exists() and (tmp_path / "daemon").read_text():
            break
    daemon = processes.pid_ref(int((tmp_path / "daemon").read_text()))
    assert daemon is not None and processes.alive(daemon)
    processes.send_signal(daemon, 9)
