"""What the runtimes are told and what their words mean, with a script in place of a runtime."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.engine import choice, runtime
from reconciler.engine.layout import Layout
from reconciler.engine.runtime import Runtime, last_line
from reconciler.model.errors import HostUnfit, RuntimeFailed
from reconciler.model.key import ContainerId
from tests.unit.oci.samples import FACTS

CID = ContainerId("c" * 64)


def scripted(tmp_path: Path, body: str) -> Runtime:
    path = tmp_path / "fake"
    path.write_text(f"#!/bin/sh\nshift 2\n{body}\n")
    path.chmod(0o755)
    (tmp_path / "state").mkdir()
    return Runtime("crun", path, "1", tmp_path / "state")


@pytest.mark.parametrize(
    ("output", "wanted"),
    [
        (b"", "it said nothing"),
        (b"warning\nerror: no such file\n", "no such file"),
        (b'time="x" level=error msg="exec: \\"/no\\": not there"\n', 'exec: "/no": not there'),
        (b"\xff\n", "\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_last_line(output: bytes, wanted: str) -> None:
    assert last_line(output) == wanted


def test_start_tells_the_runtimes_words(tmp_path: Path) -> None:
    made = scripted(
        tmp_path, 'test "$1" = state && echo \'{"status":"created"}\' || { echo "error: nope" >&2; exit 1; }'
    )
    with pytest.raises(RuntimeFailed, match=r"^cannot start container cccccccccccc: nope$"):
        made.start(CID)


def test_start_of_a_running_container_is_fine(tmp_path: Path) -> None:
    scripted(tmp_path, 'test "$1" = state && echo \'{"status":"running"}\' || exit 1').start(CID)


def test_what_the_runtime_does_not_know_is_already_gone(tmp_path: Path) -> None:
    made = scripted(tmp_path, "echo does not exist >&2; exit 1")
    assert made.state(CID) is None
    made.delete(CID)
    made.kill(CID, 9)
    with pytest.raises(RuntimeFailed, match="cannot start container"):
        made.start(CID)


def test_a_failed_deletion_of_a_known_container_is_an_error(tmp_path: Path) -> None:
    made = scripted(tmp_path, "echo busy >&2; exit 1")
    (made.state_dir / CID).mkdir()
    assert made.known() == (CID,)
    with pytest.raises(RuntimeFailed, match="cannot delete container cccccccccccc: busy"):
        made.delete(CID)


def test_a_runtime_that_hangs_or_cannot_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeFailed, match=r"no end after 0\.05 s"):
        runtime.run(["sleep", "60"], timeout=0.05)
    with pytest.raises(RuntimeFailed, match="No such file"):
        runtime.run(["/no/such"])


def test_a_state_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeFailed, match="cannot read the state of container cccccccccccc"):
        scripted(tmp_path, "echo nonsense").state(CID)


def test_a_process_is_executed_by_its_file(tmp_path: Path) -> None:
    words = ["/r", "--root", str(tmp_path), "exec", "--process", "/p.json", CID]
    assert Runtime("crun", Path("/r"), "1", tmp_path).exec_argv(CID, Path("/p.json")) == words


def test_an_unknown_runtime_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(HostUnfit, match='"kata" is not a known runtime'):
        choice.choose(Layout.at(tmp_path), "kata", FACTS)


def test_each_failure_is_told_when_none_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "find", lambda name: None)
    with pytest.raises(HostUnfit, match="crun: not installed; runc: not installed"):
        choice.choose(Layout.at(tmp_path), None, FACTS)
