"""Containers with an input or a terminal, as somebody at a terminal handles them: attach, detach, exec -it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host.conformance.programs import CONMONS
from tests.host.instance import DEADLINE, OURS_ONLY, Instance, checked, until
from tests.host.lives import monitor_of
from tests.host.manifests import Manifest, container, pod, put

pytestmark = pytest.mark.host

DETACH = b"\x10\x11"


@pytest.fixture
def instance(root: Path, request: pytest.FixtureRequest) -> Iterator[Instance]:
    yield from checked(Instance(root, *getattr(request, "param", ())))


class Seat:
    """Somebody at a terminal of 30 rows and 90 columns, with a command on it."""

    def __init__(self, command: list[str]) -> None:
        self._ours, self._theirs = pty.openpty()
        self.resize(30, 90)
        self.settings = termios.tcgetattr(self._theirs)
        self._seen = b""
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *command], stdin=self._theirs, stdout=self._theirs, stderr=self._theirs
        )

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def owner(self) -> int:
        return os.fstat(self._theirs).st_uid

    def raw(self) -> bool:
        return not termios.tcgetattr(self._theirs)[3] & termios.ICANON

    def type(self, text: bytes) -> None:
        os.write(self._ours, text)

    def sees(self, text: bytes) -> bytes:
        """Until this is on the screen; all that is there up to it, and no more is kept."""
        deadline = time.monotonic() + DEADLINE
        while text not in self._seen:
            assert time.monotonic() < deadline, f"{text!r} is not in {self._seen!r}"
            if select.select([self._ours], [], [], 0.1)[0]:
                self._seen += os.read(self._ours, 65536)
        before, _, self._seen = self._seen.partition(text)
        return before + text

    def has_size(self, rows: int, columns: int) -> None:
        """Until the shell's terminal has this size: that travels by another way than what is typed."""
        self.type(
            b'until stty size | grep -q "^%d %d$"; do sleep 0.1; done; echo now $((%d))\r' % (rows, columns, rows)
        )
        self.sees(b"now %d" % rows)

    def left(self) -> int:
        """Until the command has ended, and has left the terminal as it was: its exit code."""
        code = self.process.wait(DEADLINE)
        assert termios.tcgetattr(self._theirs) == self.settings
        return code

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)
        os.close(self._theirs)


@pytest.fixture
def seats(instance: Instance) -> Iterator[list[Seat]]:
    made: list[Seat] = []
    yield made
    for seat in made:
        seat.close()


def seat(instance: Instance, seats: list[Seat], *words: str) -> Seat:
    seats.append(Seat(instance.command(*words)))
    return seats[-1]


def run(instance: Instance, folder: Path, image: str, script: str, **more: object) -> None:
    app: Manifest = {**container("app", image, command=["sh", "-c", script]), **more}
    put(folder / "p.yaml", pod("p", app, restartPolicy="Never"))
    instance.ok("apply", folder)
    until(lambda: "app" in instance.running("p"), "the container runs")


@pytest.mark.parametrize("instance", CONMONS, indirect=True)
def test_a_terminal_is_attached_to_and_left(instance: Instance, seats: list[Seat], image: str, folder: Path) -> None:
    run(instance, folder, image, "exec sh", stdin=True, tty=True)
    one = seat(instance, seats, "attach", "p/app")
    until(one.raw, "the terminal is raw")
    one.type(b"tty; echo T$TERM\r")
    one.sees(b"/dev/pts/0")
    one.sees(b"Txterm")
    one.has_size(30, 90)
    other = seat(instance, seats, "attach", "p")
    until(other.raw, "the other's terminal is raw")
    other.type(b"echo he$((1))lo\r")
    for each in (one, other):
        each.sees(b"he1lo")
    one.resize(40, 100)
    one.has_size(40, 100)
    one.type(b"x\x10")  # the first of the keys alone is passed on, when another follows
    one.type(b"\x15" + DETACH)
    assert one.left() == 0
    other.type(b"exit 7\r")
    assert other.left() == 7


@OURS_ONLY
def test_a_terminal_is_there_again_when_its_monitor_was_replaced(
    instance: Instance, seats: list[Seat], image: str, folder: Path
) -> None:
    run(instance, folder, image, "exec sh", stdin=True, tty=True)
    one = seat(instance, seats, "attach", "p/app")
    until(one.raw, "the terminal is raw")
    one.type(b"variable=kept\r")
    one.sees(b"variable=kept")
    app = instance.containers("p")["app"]
    old = monitor_of(instance, app)
    os.kill(old.pid, signal.SIGKILL)
    assert one.left() == 125
    one.sees(b"it runs on")
    until(lambda: monitor_of(instance, app) != old, "another monitor has come")
    two = seat(instance, seats, "attach", "p/app")
    until(two.raw, "the terminal is raw")
    two.type(b"echo is $variable; exit 4\r")
    two.sees(b"is kept")
    assert two.left() == 4


@pytest.mark.parametrize("instance", CONMONS, indirect=True)
def test_without_a_terminal_streams_are_kept_apart(instance: Instance, image: str, folder: Path) -> None:
    run(instance, folder, image, "read a; echo out $a; echo err >&2; cat; exit 5", stdin=True, stdinOnce=True)
    done = subprocess.run(
        instance.command("attach", "p/app"), input="one\ntwo\n", capture_output=True, text=True, timeout=DEADLINE
    )
    assert (done.returncode, done.stdout, done.stderr) == (5, "out one\ntwo\n", "err\n")


def test_input_stays_open_unless_it_is_for_once(instance: Instance, image: str, folder: Path) -> None:
    run(instance, folder, image, "read a; echo $a; read b; echo $a $b; exit 3", stdin=True)
    for word, code in (("one", 130), ("two", 3)):
        with subprocess.Popen(instance.command("attach", "p/app"), stdin=subprocess.PIPE) as attached:
            assert attached.stdin
            attached.stdin.write(f"{word}\n".encode())
            attached.stdin.close()
            until(lambda word=word: f"{word}\n" in instance.ok("logs", "p/app"), "it is read")
            if word == "one":
                attached.terminate()
            assert attached.wait(DEADLINE) == code
    assert instance.ok("logs", "p/app") == "one\none two\n"


def test_there_must_be_something_to_attach_to(instance: Instance, image: str, folder: Path) -> None:
    run(instance, folder, image, "exec sleep 1000")
    done = instance.run("attach", "p/app")
    assert done.returncode == 125
    assert "cannot attach to app: its manifest gives it neither stdin nor tty" in done.stderr


@pytest.mark.parametrize(
    "instance", [("--runtime", "crun"), ("--runtime", "runc")], ids=["crun", "runc"], indirect=True
)
def test_a_command_with_a_terminal(instance: Instance, seats: list[Seat], image: str, folder: Path) -> None:
    run(instance, folder, image, "exec sleep 1000", securityContext={"runAsUser": 1000})
    here = seat(instance, seats, "exec", "-it", "p/app", "--", "sh")
    until(here.raw, "the terminal is raw")
    here.type(b"tty; id -u\r")
    here.sees(b"/dev/pts/0\r")  # runc may give \r twice: it takes that from a terminal that the shell has read already
    here.sees(b"\n1000\r")
    here.has_size(30, 90)
    here.resize(50, 120)
    here.has_size(50, 120)
    assert here.owner() == 0, "our terminal is the user's of the container"
    here.type(b"\x03exit 9\r")
    assert here.left() == 9
    shown = seat(instance, seats, "exec", "-t", "p/app", "--", "sh", "-c", "test -t 1 && echo shown; exit 5")
    shown.sees(b"shown")
    assert shown.left() == 5
    missing = seat(instance, seats, "exec", "-t", "p/app", "--", "nosuch")
    missing.sees(b"cannot run nosuch")
    assert missing.left() == 127


def test_a_command_with_a_terminal_and_none_to_show_it_on(instance: Instance, image: str, folder: Path) -> None:
    run(instance, folder, image, "exec sleep 1000")
    done = instance.run("exec", "-t", "p/app", "--", "tty", stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (125, "")
    assert "cannot give the command a terminal: stdin is none" in done.stderr
