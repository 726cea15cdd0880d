"""A container's last words: what is read of its file and of its log, and when."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.engine import messages
from reconciler.engine.context import Context, Settings
from reconciler.engine.layout import Layout
from reconciler.engine.records import ContainerRecord
from reconciler.model.key import ContainerId, Key, PodId
from reconciler.model.observed import Exit
from reconciler.model.spec import ContainerSpec, MessagePolicy, PodSpec
from tests.fakes.clock import FakeClock

KEY = Key("default", "shop")
CONTAINER = ContainerId("c" * 64)
SPEC = ContainerSpec("app", "i")
FALLS_BACK = replace(SPEC, message_policy=MessagePolicy.FALLBACK_TO_LOGS_ON_ERROR)
RECORD = ContainerRecord(CONTAINER, PodId("p" * 64), KEY, "app", 0, SPEC)
FAILED, DONE, LOST = (Exit(code, 1.0, 1.0) for code in (3, 0, -1))


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    layout = Layout.at(tmp_path)
    layout.make()
    layout.container(CONTAINER).mkdir()
    return Context(Settings(tmp_path), layout, FakeClock())


def line(text: str, tag: str = "F") -> str:
    return f"2026-01-02T03:04:05.678901234Z stdout {tag} {text}\n"


@pytest.mark.parametrize(
    ("written", "log", "spec", "end", "words"),
    [
        pytest.param("out of tea", "", SPEC, FAILED, "out of tea", id="what is in the file"),
        pytest.param("all done", "", SPEC, DONE, "all done", id="of a success, too"),
        pytest.param("a" * 10 + "b" * 4096, "", SPEC, FAILED, "b" * 4096, id="the last 4096 bytes of it"),
        pytest.param("", line("boo"), SPEC, FAILED, "", id="nothing of the log, unless that is asked for"),
        pytest.param("", line("boo"), FALLS_BACK, FAILED, "boo\n", id="the log's end where the file is empty"),
        pytest.param("", line("boo"), FALLS_BACK, LOST, "boo\n", id="and nobody knows how it ended"),
        pytest.param("", line("boo"), FALLS_BACK, DONE, "", id="but not of a success"),
        pytest.param("tea", line("boo"), FALLS_BACK, FAILED, "tea", id="nor where it wrote something"),
        pytest.param(None, line("boo"), FALLS_BACK, FAILED, "boo\n", id="the log of one that has no file"),
        pytest.param(None, None, FALLS_BACK, FAILED, "", id="neither a file nor a log"),
    ],
)
def test_last_words_are(
    written: str | None, log: str | None, spec: ContainerSpec, end: Exit, words: str, ctx: Context, tmp_path: Path
) -> None:
    path = tmp_path / "0.log"
    if written is not None:
        (ctx.layout.container(CONTAINER) / messages.MESSAGE).write_text(written)
    if log is not None:
        path.write_text(log)
    record = replace(RECORD, log_path=str(path))
    assert messages.of(ctx, record, PodSpec(KEY, containers=(spec,)), end) == words


def test_the_policy_is_the_pods_by_now_and_else_the_containers(ctx: Context, tmp_path: Path) -> None:
    (tmp_path / "0.log").write_text(line("boo"))
    record = replace(RECORD, log_path=str(tmp_path / "0.log"), spec=FALLS_BACK)
    assert messages.of(ctx, record, PodSpec(KEY, containers=(SPEC,)), FAILED) == ""
    assert messages.of(ctx, record, PodSpec(KEY, containers=()), FAILED) == "boo\n"


def test_what_is_no_text_is_shown_as_well_as_it_can_be(ctx: Context) -> None:
    (ctx.layout.container(CONTAINER) / messages.MESSAGE).write_bytes(b"\xff\xfeno")
    assert messages.of(ctx, RECORD, PodSpec(KEY, containers=(SPEC,)), FAILED) == "��no"


def test_a_link_is_not_followed(ctx: Context, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("key")
    (ctx.layout.container(CONTAINER) / messages.MESSAGE).symlink_to(tmp_path / "secret")
    assert messages.of(ctx, RECORD, PodSpec(KEY, containers=(SPEC,)), FAILED) == ""


@pytest.mark.parametrize(
    ("log", "found"),
    [
        pytest.param("", "", id="nothing was written"),
        pytest.param(line("a", "P") + line("b"), "ab\n", id="a line in pieces is one"),
        pytest.param(line("with a F b"), "with a F b\n", id="a text with blanks"),
        pytest.param(line(""), "\n", id="an empty line"),
        pytest.param("end of something\n" + line("b"), "b\n", id="the end of a line that began before what was read"),
        pytest.param(
            "".join(line(str(n)) for n in range(100)), "".join(f"{n}\n" for n in range(20, 100)), id="80 lines"
        ),
        pytest.param(line("x" * 3000), "x" * 2047 + "\n", id="2048 bytes"),
        pytest.param(line("a\rb"), "a\rb\n", id="a line with a carriage return"),
    ],
)
def test_the_end_of_a_log(log: str, found: str) -> None:
    assert messages.tail(log.encode()).decode() == found


@pytest.mark.parametrize(
    ("record", "there"),
    [
        pytest.param(RECORD, True, id="a member"),
        pytest.param(replace(RECORD, infra=True), False, id="the infra container"),
        pytest.param(replace(RECORD, life=1), False, id="a member of a pod that is kept"),
    ],
)
def test_who_has_the_file(record: ContainerRecord, there: bool, tmp_path: Path) -> None:
    messages.make(tmp_path, record)
    assert (tmp_path / messages.MESSAGE).exists() is there
    if there:
        assert (tmp_path / messages.MESSAGE).stat().st_mode & 0o777 == 0o666
