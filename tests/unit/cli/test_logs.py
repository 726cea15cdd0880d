"""What `logs` makes of times, names and attempts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click
import pytest

from reconciler.cli import logs, moments
from reconciler.cli.crilog import Line
from reconciler.cli.logfollow import State
from reconciler.cli.resolve import Found
from reconciler.model.errors import NotFound
from reconciler.model.observed import Container, ContainerState, Exit
from reconciler.model.spec import RestartPolicy
from tests.unit.cli.pods import container, pod

NOW = 1_800_000_000.0
NEW_YEAR = 1767225600.0


@pytest.mark.parametrize(
    ("text", "expected"),
    {
        "seconds before now": ("90s", NOW - 90),
        "several units": ("1h30m", NOW - 5400),
        "a fraction": ("1.5m", NOW - 90),
        "days": ("2d", NOW - 172800),
        "milliseconds": ("500ms", NOW - 0.5),
        "a time": ("2026-01-01T00:00:00Z", NEW_YEAR),
        "a time of another zone": ("2026-01-01T02:00:00+02:00", NEW_YEAR),
        "nanoseconds": ("2026-01-01T00:00:00.250000001Z", NEW_YEAR + 0.250000001),
        "seconds since 1970": ("1767225600", NEW_YEAR),
        "a fraction of them": ("1767225600.5", NEW_YEAR + 0.5),
        "nothing": ("", None),
        "no unit that there is": ("5x", None),
        "a word": ("yesterday", None),
        "half a time": ("2026-01-01T", None),
        "below nothing": ("-5m", None),
    }.values(),
)
def test_times(text: str, expected: float | None) -> None:
    assert moments.read(text, NOW) == expected


def test_a_bad_time_is_a_usage_error() -> None:
    with pytest.raises(click.BadParameter, match="'soon' is neither a duration such as 10m nor a time"):
        moments.moment("soon")


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        (None, None, "abc?"),
        (NEW_YEAR + 1, None, "bc?"),
        (None, NEW_YEAR + 1, "ab?"),
        (NEW_YEAR + 0.5, NEW_YEAR + 1.5, "b?"),
    ],
)
def test_the_window(since: float | None, until: float | None, expected: str) -> None:
    lines = [
        Line(f"2026-01-01T00:00:0{second}.000000000+00:00", text) for second, text in enumerate((b"a", b"b", b"c"))
    ]
    wanted = logs.window(since, until)
    assert b"".join(line.text for line in (*lines, Line("", b"?")) if wanted(line)) == expected.encode()


def attempt(number: int, directory: Path, code: int | None = None) -> Container:
    state = ContainerState.RUNNING if code is None else ContainerState.EXITED
    made = container("web", "app", number, state=state)
    ended = None if code is None else Exit(code, 1.0, NOW - 60, NOW - 120, 60.0)
    return replace(made, exit=ended, log_path=str(directory / f"{number}.log"))


ALWAYS, ON_FAILURE, NEVER = RestartPolicy.ALWAYS, RestartPolicy.ON_FAILURE, RestartPolicy.NEVER


@pytest.mark.parametrize(
    ("codes", "policy", "expected"),
    {
        "it runs": ([None], ALWAYS, (False, None, False)),
        "it will be started again": ([0], ALWAYS, (True, None, False)),
        "it failed and will be started again": ([3], ON_FAILURE, (True, None, False)),
        "it succeeded": ([0], ON_FAILURE, (True, None, True)),
        "it ended for good": ([3], NEVER, (True, None, True)),
        "the next one is there": ([3, None], ALWAYS, (True, 1, False)),
        "the next one is made before this one ends": ([None, None], ALWAYS, (False, 1, False)),
        "several were missed": ([1, 1, None], ALWAYS, (True, 1, False)),
        "it is not there any more": ([], ALWAYS, (True, None, True)),
    }.values(),
)
def test_how_things_stand_with_an_attempt(
    tmp_path: Path, codes: list[int | None], policy: RestartPolicy, expected: tuple[bool, int | None, bool]
) -> None:
    attempts = [attempt(number, tmp_path, code) for number, code in enumerate(codes)]
    there = pod("web", *attempts)
    assert there.sandbox
    spec = replace(there.sandbox.applied, restart_policy=policy)
    there = replace(there, sandbox=replace(there.sandbox, applied=spec))
    found = Found(there, attempt(0, tmp_path))
    ended, successor, final = expected
    path = None if successor is None else tmp_path / f"{successor}.log"
    state = logs.state(there, found, tmp_path / "0.log")
    assert state == State(ended, path, final)


def test_a_pod_made_anew_is_another(tmp_path: Path) -> None:
    there = pod("web", attempt(0, tmp_path / "new"))
    state = logs.state(there, Found(there, attempt(0, tmp_path / "old")), tmp_path / "old/0.log")
    assert state == State(True, final=True)


def test_an_earlier_attempt_may_have_packed_logs_only(tmp_path: Path) -> None:
    found = Found(pod("web"), attempt(3, tmp_path))
    with pytest.raises(NotFound, match="there is none"):
        logs.log_path(found, previous=True)
    for name in ("0.log", "1.log.20260101-000000.gz", "3.log"):
        (tmp_path / name).touch()
    assert logs.log_path(found, previous=True) == tmp_path / "1.log"
    assert logs.log_path(found, previous=False) == tmp_path / "3.log"
