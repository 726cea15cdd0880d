"""`exec` on real containers, with both runtimes: time that is over, and commands that are not there."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.engine.execute import TimedOut
from tests.host.conftest import IMAGE
from tests.host.instance import DEADLINE, Instance, fresh_instance, until
from tests.host.manifests import container, pod, put

pytestmark = pytest.mark.host

SPAWNS = "sleep 1001 & sleep 1002 & wait"


@pytest.fixture(params=["crun", "runc"], scope="module")
def there(
    request: pytest.FixtureRequest, loaded_images: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Instance]:
    """An instance with one pod, for all tests of one runtime."""
    with fresh_instance(loaded_images, "--runtime", request.param) as instance:
        manifest = pod("web", container("app", IMAGE, imagePullPolicy="Never", command=["sleep", "1000"]))
        file = put(tmp_path_factory.mktemp("pods") / "web.yaml", manifest)
        instance.ok("apply", "--wait", "--timeout", 60, file)
        yield instance


def alone(instance: Instance) -> bool:
    """Whether nothing lives in the container but what it was made for. What is dead stays: nobody reaps there."""
    seen = instance.ok("exec", "web", "--", "sh", "-c", "cat /proc/[0-9]*/stat 2>/dev/null")
    living = [line.split()[1] for line in seen.splitlines() if line.split()[2] != "Z"]
    return living.count("(sleep)") == 1


def on_terminal(command: list[str]) -> tuple[int, str]:
    """Its exit code, and what is on its screen."""
    ours, theirs = pty.openpty()
    shown: list[bytes] = []

    def read() -> None:
        try:
            while piece := os.read(ours, 65536):
                shown.append(piece)
        except OSError:
            pass  # the other end is closed

    reader = threading.Thread(target=read)
    reader.start()
    process = subprocess.Popen(["setsid", "--ctty", *command], stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    try:
        code = process.wait(DEADLINE)
    finally:
        process.kill()
        reader.join(DEADLINE)
        os.close(ours)
    return code, b"".join(shown).decode()


@pytest.mark.parametrize("terminal", [False, True], ids=["without a terminal", "with one"])
@pytest.mark.parametrize("script", ["exec sleep 1001", SPAWNS], ids=["a command", "one that starts others"])
def test_a_command_whose_time_is_over_is_killed(there: Instance, script: str, terminal: bool) -> None:
    words = there.command("exec", *(["-t"] if terminal else []), "--timeout", "0.5", "web", "--", "sh", "-c", script)
    if terminal:
        code, said = on_terminal(words)
    else:
        done = subprocess.run(words, capture_output=True, text=True, timeout=DEADLINE, check=False)
        code, said = done.returncode, done.stderr
    assert code == 124, said
    assert "cannot run sh to its end: it took more than 0.5 s and was killed" in said
    until(lambda: alone(there), "nothing of it is left")


def test_time_that_is_over_before_the_command_begins(there: Instance) -> None:
    """Killed at any moment of the runtime's own work, nothing begins later."""
    app = there.containers("web")["app"].id
    for milliseconds in range(1, 60, 7):
        with pytest.raises(TimedOut):
            there.engine.exec(app, ["sleep", "1001"], timeout=milliseconds / 1000)
    until(lambda: alone(there), "nothing of them is left")


def test_a_command_that_is_quick_enough(there: Instance) -> None:
    done = there.run("exec", "--timeout", "60", "web", "--", "sh", "-c", "echo said; exit 3")
    assert (done.returncode, done.stdout, done.stderr) == (3, "said\n", "")


@pytest.mark.parametrize(
    ("command", "code", "cause"),
    [
        pytest.param("nosuch", 127, r"not found in \$PATH", id="it is not there"),
        pytest.param("/etc/hosts", 126, "ermission denied|not executable", id="it cannot be run"),
    ],
)
def test_a_command_that_cannot_be_run_is_told_once(there: Instance, command: str, code: int, cause: str) -> None:
    done = there.run("exec", "web", "--", command)
    assert done.returncode == code
    assert [bool(re.search(cause, line)) for line in done.stderr.splitlines()] == [True], done.stderr
    seen, shown = on_terminal(there.command("exec", "-t", "web", "--", command))
    assert seen == code
    assert [bool(re.search(cause, line)) for line in shown.split("\r\n") if line] == [True], shown
