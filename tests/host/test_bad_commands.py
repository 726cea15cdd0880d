"""Wrong commands, interrupted commands, readers that go away, disks that are full: one clear line each, the exit code
that is promised, and nothing else happens."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host.conftest import IMAGE, OTHER_IMAGE
from tests.host.instance import DEADLINE, Instance, until
from tests.host.manifests import container, pod, put

pytestmark = pytest.mark.host


@pytest.fixture
def running(instance: Instance, image: str, folder: Path) -> Instance:
    """A pod "web" with two members, of which ``once`` has ended."""
    once = container("once", image, command=["sh", "-c", "seq 1 20000"])
    put(folder / "web.yaml", pod("web", container("app", image), once, restartPolicy="Never"))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    return instance


WRONG: dict[str, tuple[list[str], int, str]] = {
    "no such directory": (["apply", "/nowhere"], 1, "cannot read /nowhere: no such file or directory"),
    "no such directory, diff": (["diff", "/nowhere"], 2, "cannot read /nowhere: no such file or directory"),
    "no such directory, status": (["status", "/nowhere"], 2, "cannot read /nowhere: no such file or directory"),
    "no such directory, validate": (["validate", "/nowhere"], 2, "'/nowhere' does not exist"),
    "watch of a file": (["watch", "/etc/passwd"], 1, "cannot watch /etc/passwd: it is not a directory"),
    "watch of nothing": (["watch"], 2, "Missing argument 'DIR...'"),
    "an option that is none": (["apply", "--wiat", "x"], 2, "No such option '--wiat'. Did you mean '--wait'?"),
    "a command that is none": (["aply", "x"], 2, "No such command 'aply'. Did you mean 'apply'?"),
    "a runtime that is none": (["--runtime", "nope", "ps"], 2, "'nope' is not one of 'crun', 'runc'"),
    "an unknown pod": (["get", "pods", "nope"], 1, 'cannot find pod "nope"'),
    "logs of an unknown pod": (["logs", "nope"], 125, 'cannot find container "nope"'),
    "exec in an unknown pod": (["exec", "nope", "ls"], 125, 'cannot find container "nope"'),
    "an archive that is not there": (["image", "load", "-i", "/nowhere.tar"], 2, "'/nowhere.tar' does not exist"),
    "an archive that is none": (["image", "load", "-i", "/etc/passwd"], 1, "cannot load images from /etc/passwd: "),
    "a directory without images": (["image", "load", "-i", "/etc"], 1, "cannot load images from /etc: "),
    "a reference that is none": (["image", "pull", "Foo//:::"], 1, "cannot use image reference 'Foo//:::': "),
    "an image of no registry": (["image", "pull", "localhost/x:1"], 1, "cannot pull localhost/x:1: "),
    "a registry that is away": (["image", "pull", "127.0.0.1:1/x:1"], 1, "its registry cannot be reached"),
    "an unknown image": (["image", "rm", "nope"], 1, "cannot remove image nope: it is not here"),
    "a root that cannot be": (["--root", "/proc/nope", "ps"], 125, "cannot use /proc/nope"),
    "a root with a colon": (["--root", "/tmp/a:b", "ps"], 125, "cannot use /tmp/a:b as --root: a path with a colon"),
    "a root that is a file": (["--root", "/etc/passwd", "ps"], 2, "Directory '/etc/passwd' is a file"),
}


@pytest.mark.parametrize(("arguments", "code", "said"), WRONG.values(), ids=WRONG.keys())
def test_wrong(arguments: list[str], code: int, said: str, root: Path) -> None:
    done = Instance(root).run(*arguments)
    assert (done.returncode, done.stdout) == (code, "")
    first, *rest = done.stderr.splitlines()
    assert first.startswith("reconciler: ")
    assert said in first
    assert all(line.startswith("hint: ") for line in rest)
    assert len(rest) <= 1


def test_an_empty_folder_is_no_error(root: Path, folder: Path) -> None:
    instance = Instance(root)
    for command in ("apply", "status"):
        done = instance.run(command, folder)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "No manifests found.\n"), command
    assert instance.run("diff", folder).returncode == 0


IN_PODS: dict[str, tuple[list[str], int, str]] = {
    "logs of one of several": (["logs", "web"], 125, "it has app, once.*web/app"),
    "logs of an unknown member": (["logs", "web/nope"], 125, 'cannot find container "web/nope".*web/app, web/once'),
    "exec where nothing runs": (["exec", "web/once", "ls"], 125, "container is exited, not running.*logs web/once"),
    "an unknown pod": (["get", "pods", "wep"], 1, 'cannot find pod "wep".*default/web'),
    "an image in use": (["image", "rm", "IMAGE"], 1, "it is used by default/web/"),
}


def test_wrong_names_are_answered_with_the_right_ones(running: Instance, image: str) -> None:
    before = running.running("web")
    running.ok("image", "rm", OTHER_IMAGE)  # only the last name of an image in use is refused
    for what, (arguments, code, said) in IN_PODS.items():
        done = running.run(*(image if a == "IMAGE" else a for a in arguments))
        assert (done.returncode, done.stdout) == (code, ""), what
        assert re.search(said, done.stderr, re.DOTALL), f"{what}: {done.stderr}"
        assert len(done.stderr.splitlines()) <= 2, done.stderr
    assert running.running("web") == before


LONG: dict[str, tuple[list[str], str, int]] = {
    "logs": (["logs", "-f", "web/app"], "app is up", 130),
    "events": (["events", "-f"], "Started", 130),
    "exec": (["exec", "web/app", "sh", "-c", "echo begun; sleep 100"], "begun", 130),
    "apply": (["apply", "--wait", "STUCK"], "create pod", 130),
    "watch": (["watch", "FOLDER"], "controller starts", 0),
}
"""Commands that last, what they say when they have begun, and their exit code after Ctrl-C (a watch is ended so)."""


@pytest.mark.parametrize(("arguments", "begun", "code"), LONG.values(), ids=LONG.keys())
def test_ctrl_c(
    arguments: list[str], begun: str, code: int, running: Instance, image: str, folder: Path, tmp_path: Path
) -> None:
    stuck = tmp_path / "stuck"
    stuck.mkdir()
    put(stuck / "stuck.yaml", pod("stuck", container("app", "localhost/nope:1")))
    before = running.running("web")
    places = {"STUCK": str(stuck), "FOLDER": str(folder)}
    output = (tmp_path / "output").open("w+")
    with (
        output,
        subprocess.Popen(
            running.command(*(places.get(a, a) for a in arguments)),
            stdout=output,
            stderr=output,
            start_new_session=True,
        ) as process,
    ):
        try:
            until(lambda: begun in (tmp_path / "output").read_text(), f"it says {begun!r}")
            os.killpg(process.pid, signal.SIGINT)
            assert process.wait(DEADLINE) == code
        finally:
            process.kill()
    said = (tmp_path / "output").read_text()
    assert "Traceback" not in said, said
    assert "KeyboardInterrupt" not in said, said
    assert running.running("web") == before


@pytest.mark.parametrize("arguments", [["logs", "web/once"], ["events", "--format", "json"], ["ps", "-a"]])
def test_a_reader_that_has_gone(arguments: list[str], running: Instance) -> None:
    end, start = os.pipe()
    os.close(end)
    done = subprocess.run(
        running.command(*arguments), stdout=start, stderr=subprocess.PIPE, text=True, timeout=30, check=False
    )
    os.close(start)
    assert (done.returncode, done.stderr) == (141, "")


def test_output_is_plain_and_whole_wherever_it_goes(running: Instance) -> None:
    narrow = {**os.environ, "COLUMNS": "40", "NO_COLOR": "1"}
    for command in (["ps", "-a"], ["get", "pods", "-o", "wide"], ["status"], ["events"]):
        plain, slim = running.run(*command).stdout, running.run(*command, env=narrow).stdout
        assert "\x1b" not in plain
        assert len(plain.splitlines()) == len(slim.splitlines()) > 1, "lines are wrapped or lost"


def test_a_second_watch_is_refused_by_name(running: Instance, folder: Path, tmp_path: Path) -> None:
    first = running.watch(folder)
    until(lambda: "controller starts" in (running.root / "controller.log").read_text(), "the first watches")
    done = running.run("watch", tmp_path)
    assert done.returncode == 1
    assert f"another controller (pid {first.pid}) watches {folder}" in done.stderr


# --- disks ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(root: Path, loaded_images: Path) -> Iterator[Path]:
    """The root on a file system of 16 MB of its own, with the example image in it."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", root], check=True, timeout=10)
    (root / "state").mkdir()
    subprocess.run(["cp", "--archive", loaded_images, root / "state/images"], check=True, timeout=60)
    yield root
    subprocess.run(["umount", "--lazy", root], check=True, timeout=10)


def fill(path: Path) -> None:
    """Write until there is no space left."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError as error:
            assert error.errno == errno.ENOSPC


def test_a_full_disk_stops_nothing_and_heals(small_disk: Path, folder: Path, archive: Path) -> None:
    instance = Instance(small_disk)
    try:
        instance.watch(folder)
        put(folder / "web.yaml", pod("web", container("app", IMAGE)))
        until(lambda: "app" in instance.running("web"), "the pod runs")
        before = instance.running("web")
        fill(small_disk / "full")
        put(folder / "next.yaml", pod("next", container("app", IMAGE)))
        instance.in_vain(folder, re.compile("not ready: pod default/next: .*(disk is full|[Nn]o space left)"), limit=3)
        loaded = instance.run("image", "load", "-i", archive)
        assert loaded.returncode == 1
        assert re.search("disk is full|[Nn]o space left", loaded.stderr), loaded.stderr
        assert instance.ok("exec", "web", "echo", "hi") == "hi\n"
        assert instance.running("web") == before
        (small_disk / "full").unlink()
        until(lambda: "app" in instance.running("next"), "the next pod comes up by itself")
        assert instance.running("web") == before
    finally:
        instance.stop_controllers()
        assert instance.leaks() == ()
        instance.remove_everything()


def test_a_root_that_cannot_be_written(root: Path, folder: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", root], check=True, timeout=10)
    try:
        for command in (["get", "pods"], ["apply", str(folder)], ["watch", str(folder)]):
            done = Instance(root / "below").run(*command)
            assert (done.returncode, done.stdout) == (1, ""), command
            assert f"reconciler: cannot use {root}/below" in done.stderr
            assert "Read-only file system" in done.stderr
    finally:
        subprocess.run(["umount", root], check=True, timeout=10)
