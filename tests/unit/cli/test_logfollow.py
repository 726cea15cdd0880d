from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from reconciler.cli.logfollow import State, Stream, follow
from tests.unit.cli.test_crilog import records, rotate


class Following:
    """``follow`` in a thread of its own; what it gave, and the states that it is told."""

    def __init__(self, directory: Path, *names: str, tail: int | None = None, until: float | None = None) -> None:
        self.exits = directory / "exits"
        self.exits.mkdir()
        self.states: dict[Path, State] = {}
        self.seen: list[str] = []
        self._new = threading.Condition()
        streams = []
        for name in names:
            (directory / name).mkdir()
            log = directory / name / "0.log"
            log.write_bytes(records("stdout F skipped", f"stdout F {name} began"))
            streams.append(Stream(f"[{name}] ", log, lambda path: self.states.get(path, State(False))))
        self._lines = follow(streams, self.exits, tail, until=until)
        self._thread = threading.Thread(target=self._read_on, daemon=True)
        self._thread.start()

    def _read_on(self) -> None:
        for label, line in self._lines:
            with self._new:
                self.seen.append(label + line.text.decode())
                self._new.notify()

    def until(self, line: str) -> None:
        with self._new:
            assert self._new.wait_for(lambda: line in self.seen, 60), self.seen

    def tell(self, path: Path, state: State) -> None:
        """As an exit file does."""
        self.states[path] = state
        (self.exits / "id").write_text("0")

    def over(self) -> list[str]:
        self._thread.join(60)
        assert not self._thread.is_alive()
        return self.seen


def append(log: Path, *lines: str) -> None:
    with log.open("ab") as file:
        file.write(records(*lines))


def test_it_ends_with_the_container_and_loses_nothing(tmp_path):
    following = Following(tmp_path, "c", tail=1)
    log = tmp_path / "c/0.log"
    following.until("[c] c began")
    append(log, "stdout F second", "stdout P unended")
    following.tell(log, State(True, final=True))
    assert following.over() == ["[c] c began", "[c] second", "[c] unended"]


def test_it_goes_on_with_the_next_attempt_and_over_rotations(tmp_path):
    following = Following(tmp_path, "c", tail=1)
    log, successor = tmp_path / "c/0.log", tmp_path / "c/1.log"
    following.until("[c] c began")
    append(log, "stdout F one")
    following.until("[c] one")
    append(log, "stdout F two")
    rotate(log, "20260101-000001")
    append(log, "stdout F three")
    following.tell(log, State(True))
    following.until("[c] three")
    following.states[log] = State(True, successor)
    successor.write_bytes(records("stdout F four"))
    following.until("[c] four")
    following.tell(successor, State(True, final=True))
    assert following.over() == ["[c] c began", "[c] one", "[c] two", "[c] three", "[c] four"]


def test_several_at_once_until_the_last_has_ended(tmp_path):
    following = Following(tmp_path, "a", "b", tail=1)
    logs = {name: tmp_path / name / "0.log" for name in "ab"}
    following.until("[b] b began")
    following.tell(logs["a"], State(True, final=True))
    append(logs["b"], "stdout F more")
    following.until("[b] more")
    following.tell(logs["b"], State(True, final=True))
    assert following.over() == ["[a] a began", "[b] b began", "[b] more"]


@pytest.mark.parametrize("seconds", [-1, 0.1])
def test_it_ends_at_a_time(tmp_path, seconds):
    following = Following(tmp_path, "c", tail=1, until=time.time() + seconds)
    assert following.over() == ["[c] c began"]
