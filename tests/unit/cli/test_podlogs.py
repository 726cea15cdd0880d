"""What `pod logs` makes of several logs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.cli import app, podlogs
from reconciler.cli.crilog import Line
from reconciler.cli.resolve import named_pod
from reconciler.model.errors import NotFound
from reconciler.model.observed import ContainerState, Observed
from tests.unit.cli.pods import container, pod


def line(second: int | None, text: str) -> Line:
    return Line("" if second is None else f"2026-01-01T00:00:0{second}.000000000+00:00", text.encode())


def texts(*logs: list[Line]) -> list[str]:
    named = ((name, lines) for name, lines in zip("ab", logs, strict=False))
    return [f"{label}{line.text.decode()}" for label, line in podlogs.merged(named)]


@pytest.mark.parametrize(
    ("logs", "expected"),
    {
        "by time": (([line(1, "1"), line(3, "3")], [line(2, "2"), line(4, "4")]), ["a1", "b2", "a3", "b4"]),
        "at one time as they are": (([line(1, "1")], [line(1, "1")]), ["a1", "b1"]),
        "without a time, with the one before": (
            ([line(1, "1"), line(None, "x"), line(3, "3")], [line(2, "2")]),
            ["a1", "ax", "b2", "a3"],
        ),
        "a clock that was set back changes nothing within a log": (
            ([line(5, "5"), line(1, "1")], [line(6, "6")]),
            ["a5", "a1", "b6"],
        ),
        "one of them is empty": (([], [line(1, "1")]), ["b1"]),
    }.values(),
)
def test_lines_of_several_logs_are_in_the_order_of_time(logs: tuple[list[Line], ...], expected: list[str]) -> None:
    assert texts(*logs) == expected


def test_another_line_begins_on_a_line_of_its_own() -> None:
    assert [one.whole for _, one in podlogs.whole([("a", Line("", b"half", whole=False))])] == [True]


A, B = container("web", "a", id_="aa" * 32), container("web", "ab", id_="ab" * 32)


@pytest.mark.parametrize(("word", "name"), [("a", "a"), ("ab", "ab"), ("aaa", "a"), ("abab", "ab")])
def test_a_container_is_named_by_its_name_or_its_id(word: str, name: str) -> None:
    assert podlogs._one(pod("web", A, B), word).container.name == name


@pytest.mark.parametrize("word", ["c", "", "a1"])
def test_one_that_is_not_there_is_told_what_there_is(word: str) -> None:
    with pytest.raises(NotFound, match=r"in pod default/web: it has a, ab$"):
        podlogs._one(pod("web", A, B), word)


class Engine:
    """As far as `pod logs` asks it."""

    def __init__(self, *pods: Observed) -> None:
        self.pods = {there.key: there for there in pods}
        self.layout = self
        self.hand = Path("/nonexistent")

    def keys(self):
        return tuple(self.pods)

    def names(self):
        return tuple(map(named_pod, self.pods.values()))

    def look(self, key):
        return self.pods[key]


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Observed:
    """A pod of which two containers wrote, and one has not been started."""
    made = []
    for name, lines in {"a": ((1, "one"), (3, "three")), "b": ((2, "two"),), "c": ()}.items():
        log = tmp_path / name / "0.log"
        log.parent.mkdir()
        if lines:
            log.write_text("".join(f"2026-01-01T00:00:0{second}Z stdout F {text}\n" for second, text in lines))
        state = ContainerState.RUNNING if lines else ContainerState.CREATED
        made.append(replace(container("web", name, state=state), log_path=str(log)))
    there = pod("web", *made)
    monkeypatch.setattr("reconciler.cli.settings.Options.engine", lambda self: Engine(there))
    return there


def said(capfdbinary: pytest.CaptureFixture[bytes], *words: str) -> list[str]:
    assert app.run(["pod", "logs", *words]) == 0
    return capfdbinary.readouterr().out.decode().splitlines()


def test_each_line_says_whose_it_is_where_several_are_shown(web: Observed, capfdbinary) -> None:
    a, b, _ = (c.id[:12] for c in web.containers)
    assert said(capfdbinary, "web") == [f"{a} one", f"{b} two", f"{a} three"]
    assert said(capfdbinary, "--names", "web") == ["a one", "b two", "a three"]
    assert said(capfdbinary, "-n", "--color", "web") == ["a one", "b two", "a three"], "no terminal, no colours"
    assert said(capfdbinary, "-nt", "web")[0] == "a 2026-01-01T00:00:01Z one"
    assert said(capfdbinary, "-n", "--tail", "1", "web") == ["b two", "a three"], "of each"
    assert said(capfdbinary, "-n", "--since", "2026-01-01T00:00:02Z", "--until", "2026-01-01T00:00:02Z", "web") == [
        "b two"
    ]


def test_of_one_container_its_lines_are_enough(web: Observed, capfdbinary) -> None:
    assert said(capfdbinary, "-c", "a", "--latest") == ["one", "three"]
    assert said(capfdbinary, "-n", "-c", web.containers[1].id, "ab" * 32) == ["two"]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ((), "name a pod, or say --latest"),
        (("-l", "web"), "name a pod, or say --latest"),
        (("nobody",), 'cannot find pod "nobody"'),
        (("web", "-c", "x"), 'cannot find container "x" in pod default/web: it has a, b, c'),
    ],
)
def test_what_cannot_be_shown(words: tuple[str, ...], error: str, web: Observed, capsys) -> None:
    assert app.run(["pod", "logs", *words]) == 125
    assert error in capsys.readouterr().err
