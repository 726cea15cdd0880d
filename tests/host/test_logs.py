"""`logs` with real pods: over rotations, restarts and several containers, as they are written and afterwards."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from conmon.logs import dated
from tests.host.conmon_box import hurry_packers
from tests.host.instance import DEADLINE, OURS_ONLY, Instance, until
from tests.host.manifests import Manifest, container, pod, put

pytestmark = pytest.mark.host


@pytest.fixture
def image(instance: Instance, archive: Path) -> str:
    instance.ok("image", "load", "-i", archive)
    return "localhost/reconciler/busybox:1"


class Pipe:
    """A FIFO that a container reads its orders from; an open one makes it go on."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir()
        os.mkfifo(directory / "orders")

    def say(self, text: str) -> None:
        """Waits for somebody who reads."""
        (self._directory / "orders").write_text(f"{text}\n")

    def container(self, name: str, image: str, script: str) -> Manifest:
        """``$order`` is read by ``read_order``."""
        reading = "read_order() { until read order < /pipe/orders; do :; done; }; "  # an end is of an order before
        mounts = [{"name": "pipe", "mountPath": "/pipe"}]
        return container(name, image, command=["sh", "-c", reading + script], volumeMounts=mounts)

    def volumes(self) -> list[Manifest]:
        return [{"name": "pipe", "hostPath": {"path": str(self._directory)}}]


@pytest.fixture
def pipe(tmp_path: Path) -> Pipe:
    return Pipe(tmp_path / "pipe")


@contextmanager
def following(
    instance: Instance, *arguments: str, stdout: int | IO[str] = subprocess.PIPE
) -> Iterator[subprocess.Popen[bytes]]:
    """Without a buffer, so that ``line`` can wait for the next line alone."""
    command = instance.command("logs", "-f", *arguments)
    process = subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, bufsize=0)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def line(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], DEADLINE)[0], "it says nothing"
    return process.stdout.readline().decode()


def log_directory(instance: Instance, member: str) -> Path:
    return next(instance.engine.layout.logs.glob(f"*/{member}"))


COUNT = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; "


def many_lines(instance: Instance, image: str, folder: Path, pipe: Pipe, files: int) -> Path:
    """A pod that writes, when told to, more than its logs may hold; the directory of its logs."""
    (instance.root / "config.toml").write_text(f'[logs]\nmax_size = "100Ki"\nmax_files = {files}\n')
    app = pipe.container("app", image, f"echo ready; read_order; {COUNT} read_order; echo $order")
    put(folder / "web.yaml", pod("web", app, restartPolicy="Never", volumes=pipe.volumes()))
    instance.ok("apply", folder)
    return log_directory(instance, "app")


@OURS_ONLY
def test_a_log_is_rotated_as_the_configuration_says_and_read_as_one(
    instance: Instance, image: str, folder: Path, pipe: Pipe
) -> None:
    logs = many_lines(instance, image, folder, pipe, files=3)
    pipe.say("go")
    until(lambda: "line 19999\n" in instance.ok("logs", "web", "--tail", "1"), "it has written all")
    until(lambda: _packed(logs / "0.log"), "the older one is packed")
    assert {path.stat().st_mode & 0o777 for path in logs.iterdir()} == {0o640}
    sizes = [path.stat().st_size for path in logs.iterdir() if path.suffix != ".gz"]
    assert max(sizes) < (100 << 10) + 200_000  # a file ends with the read that fills it
    numbers = [int(text.split()[1]) for text in instance.ok("logs", "web").splitlines()[1:]]
    assert numbers == list(range(numbers[0], 20_000))
    back = instance.ok("logs", "web", "--tail", "3000").splitlines()
    assert back == [f"line {number}" for number in range(17_000, 20_000)]
    pipe.say("done")
    instance.ok("down", folder)
    assert not logs.parent.exists()


@OURS_ONLY
def test_output_at_full_speed_stays_within_its_bounds(instance: Instance, image: str, folder: Path, pipe: Pipe) -> None:
    """20 MB onto a disk of five times max_size, with three files: one is packed while the next is full already."""
    disk = instance.root / "logs"
    disk.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=5m,mode=755", "tmpfs", disk], check=True, timeout=30)
    try:
        (instance.root / "config.toml").write_text('[logs]\nmax_size = "1Mi"\nmax_files = 3\n')
        script = f"read_order; seq 1 200000 | sed 's/$/ {'x' * 90}/'; echo end; read_order"
        app = pipe.container("app", image, script)
        put(folder / "web.yaml", pod("web", app, restartPolicy="Never", volumes=pipe.volumes()))
        instance.ok("apply", folder)
        pipe.say("go")
        until(lambda: instance.ok("logs", "web", "--tail", "1") == "end\n", "it has written all", 60)
        _, *numbers, _ = (text.split()[0] for text in instance.ok("logs", "web").splitlines())
        assert numbers == [str(number) for number in range(int(numbers[0]), 200_001)], "the disk was never full"
        assert len(dated.kept(str(log_directory(instance, "app") / "0.log"))) == 2
        pipe.say("done")
        instance.ok("down", folder)
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True, timeout=30)


@OURS_ONLY
def test_following_goes_on_over_rotations(instance: Instance, image: str, folder: Path, pipe: Pipe) -> None:
    logs = many_lines(instance, image, folder, pipe, files=100)
    said = folder.parent / "said"
    with said.open("w") as file, following(instance, "web", stdout=file) as follower:
        until(lambda: said.read_text() == "ready\n", "it follows")
        pipe.say("go")
        until(lambda: said.read_text().endswith("line 19999\n"), "it has read all")
        pipe.say("done")
        assert follower.wait(DEADLINE) == 0
    assert said.read_text() == "ready\n" + "".join(f"line {number}\n" for number in range(20_000)) + "done\n"
    assert len(dated.kept(str(logs / "0.log"))) > 5


def _packed(log: Path) -> list[str]:
    hurry_packers()
    kept = dated.kept(str(log))
    return kept if len(kept) == 2 and kept[0].endswith(".gz") else []


def test_following_goes_on_over_restarts(instance: Instance, image: str, folder: Path, pipe: Pipe) -> None:
    script = "echo life; read_order; echo $order; [ $order != last ]"
    app = pipe.container("app", image, script)
    put(folder / "web.yaml", pod("web", app, restartPolicy="OnFailure", volumes=pipe.volumes()))
    instance.watch(folder)
    until(lambda: "app" in instance.running("web"), "it runs")
    app["command"][-1] = app["command"][-1].replace("[ $order != last ]", "[ $order = last ]")
    put(folder / "web.yaml", pod("web", app, restartPolicy="OnFailure", volumes=pipe.volumes()))
    until(lambda: len(list(log_directory(instance, "app").glob("*.log"))) == 2, "it is replaced")
    with following(instance, "web/app") as follower:
        assert line(follower) == "life\n"
        pipe.say("first")
        assert [line(follower), line(follower)] == ["first\n", "life\n"]
        assert "first" in instance.ok("logs", "--previous", "web")
        pipe.say("last")
        assert line(follower) == "last\n"
        assert follower.wait(DEADLINE) == 0
    assert instance.ok("logs", "web").splitlines() == ["life", "last"]


def test_several_containers_at_once(instance: Instance, image: str, folder: Path) -> None:
    put(folder / "web.yaml", pod("web", container("app", image), container("side", image)))
    instance.ok("apply", "--wait", folder)
    both = ["app is up", "side is up"]
    until(lambda: sorted(instance.ok("logs", "web", "--all-containers").splitlines()) == both, "both have spoken")
    assert instance.ok("logs", "web", "--all-containers").splitlines() == both
    assert instance.ok("logs", "pod/web", "--all-containers", "--prefix").splitlines() == [
        "[pod/web/app] app is up",
        "[pod/web/side] side is up",
    ]
    assert instance.ok("logs", "web", "side") == "side is up\n"
    assert instance.ok("logs", "pod/web", "-c", "side", "--prefix") == "[pod/web/side] side is up\n"
    with following(instance, "web", "--all-containers", "--prefix") as follower:
        assert {line(follower), line(follower)} == {"[pod/web/app] app is up\n", "[pod/web/side] side is up\n"}
        follower.send_signal(signal.SIGINT)
        assert follower.wait(DEADLINE) == 130
        assert follower.stderr is not None
        assert follower.stderr.read() == b""
    refused = instance.run("logs", "web", "app", "-c", "side")
    assert refused.returncode == 125
    assert "name a container once" in refused.stderr


def test_lines_of_a_time(instance: Instance, image: str, folder: Path, pipe: Pipe) -> None:
    app = pipe.container("app", image, "echo before; read_order; echo $order")
    put(folder / "web.yaml", pod("web", app, restartPolicy="Never", volumes=pipe.volumes()))
    instance.ok("apply", folder)
    until(lambda: instance.ok("logs", "web"), "it has written")
    pipe.say("after")
    until(lambda: "after" in instance.ok("logs", "web"), "it has written more")
    stamps = [text.split()[0] for text in instance.ok("logs", "-t", "web").splitlines()]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}[+-]\d\d:\d\d", stamp) for stamp in stamps)
    assert instance.ok("logs", "web", "--since", stamps[1]) == "after\n"
    assert instance.ok("logs", "web", "--until", stamps[0]) == "before\n"
    assert instance.ok("logs", "web", "--until", stamps[1], "--tail", "1") == "after\n"
    assert instance.ok("logs", "web", "--since-time", "1h") == "before\nafter\n"
    assert instance.ok("logs", "web", "--until", "1h") == ""
    refused = instance.run("logs", "web", "--since", "soon")
    assert refused.returncode == 125
    assert "'soon' is neither a duration" in refused.stderr
