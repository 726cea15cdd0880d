"""Images that nobody needs go when the disk is full; what anybody needs stays, whatever happens at the same time."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler.controller.by_hand import Bench
from reconciler.controller.garbage import Collector
from reconciler.controller.log import Silent
from reconciler.controller.wanted import Wanted
from reconciler.engine.effects import FAULT
from reconciler.model.clock import SystemClock
from tests.host import imagelab as lab
from tests.host.instance import DEADLINE, Instance, until
from tests.host.manifests import container, pod, put

pytestmark = pytest.mark.host

GREEDY = """\
[images]
gc_high_percent = 1
gc_low_percent = 0
gc_min_age = "0s"
gc_local = true
"""
"""Whatever may go goes: every disk is so full."""


def more(archive: Path, directory: Path, name: str, size: int = 10) -> Path:
    """An image of its own: the example image and a file of random bytes."""
    file, place = lab.Entry("file", os.urandom(size)), directory / f"{name}.tar"
    return lab.with_more(archive, place, file, name=f"localhost/{name}:1", command=["sleep", "100000"])


def images(instance: Instance) -> set[str]:
    return {name for image in instance.engine.images.list() for name in image.names}


def told(instance: Instance, reason: str) -> list[str]:
    return [event.about for event in instance.engine.events() if event.reason == reason]


def collector(instance: Instance) -> Collector:
    """As a controller of no folder has it, in another process's place."""
    engine, clock = instance.opened(), SystemClock()
    wanted = Wanted([Bench(engine, engine.layout, clock).source])
    return Collector(engine, clock, Silent(), wanted.images)


def test_a_controller_removes_what_no_pod_names(
    instance: Instance, image: str, folder: Path, archive: Path, tmp_path: Path
) -> None:
    """What runs, what was only created, what waits, what is shown as a volume and what is left alone keep theirs."""
    (instance.root / "config.toml").write_text(GREEDY)
    for name in ("unused", "created", "waiting", "volume", "suspended", "infra"):
        instance.ok("image", "load", "--input", more(archive, tmp_path, name))
    instance.ok("create", "--name", "hand", "localhost/created:1", "true")
    instance.ok("pod", "create", "--name", "box", "--infra-image", "localhost/infra:1")
    volume = {"name": "data", "image": {"reference": "localhost/volume:1"}}
    one = container("one", image, volumeMounts=[{"name": "data", "mountPath": "/data"}])
    put(folder / "web.yaml", pod("web", one, volumes=[volume]))
    env = [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "missing", "key": "a"}}}]
    put(folder / "late.yaml", pod("late", container("one", "localhost/waiting:1", env=env)))
    instance.ok("apply", "--wait", "--timeout", 60, folder / "web.yaml")
    put(folder / "left.yaml", pod("left", container("one", "localhost/suspended:1")))
    instance.ok("apply", "--wait", "--timeout", 60, folder / "left.yaml")
    instance.ok("suspend", "left")
    instance.watch(folder)
    until(lambda: told(instance, "FreeDiskSpaceFailed"), "the controller has looked at the images")
    assert told(instance, "ImageRemoved") == ["image/localhost/unused:1"]
    kept = {f"localhost/{name}:1" for name in ("created", "waiting", "volume", "suspended", "infra")}
    assert images(instance) >= {image, *kept} and "localhost/unused:1" not in images(instance)


@contextmanager
def small_disk(place: Path, megabytes: int) -> Iterator[None]:
    place.mkdir(parents=True)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "tmpfs", place], check=True, timeout=30
    )
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", place], check=True, timeout=30)


def test_a_full_disk_is_emptied_to_the_low_mark(instance: Instance, archive: Path, tmp_path: Path) -> None:
    """Of a disk of 32 MB; each image takes 6 MB, half of them packed, over the same layer. The first was used last."""
    size = 3 << 20
    with small_disk(instance.root / "state/images", 32):
        (instance.root / "config.toml").write_text('[images]\ngc_min_age = "0s"\ngc_local = true\n')
        engine, made = instance.opened(), collector(instance)
        names = []
        while engine.stock(tuple).space.available * 100 > 13 * (32 << 20):
            names.append(f"localhost/number{len(names)}:1")
            instance.ok("image", "load", "--input", more(archive, tmp_path, f"number{len(names) - 1}", size))
        engine.stock(lambda: (names[0],))
        while not made.images():
            pass  # it is to look again: the sizes of images are those of their files alone
        disk = engine.stock(tuple).space
        assert 20 <= disk.available * 100 // disk.capacity <= 21 + 2 * size * 100 // disk.capacity
        gone = len(names) - len(images(instance))
        assert images(instance) == {names[0], *names[1 + gone :]}, "the oldest go, but for what was used since"
        assert engine.images.leftovers() == ()
        assert told(instance, "FreeDiskSpaceFailed") == []


@pytest.mark.parametrize(
    "point", ["image.remove-file:after", "image.discard-layers:before", "image.remove-file:after:2"]
)
def test_a_removal_that_is_killed_leaves_no_half_of_an_image(
    point: str, instance: Instance, image: str, archive: Path, tmp_path: Path
) -> None:
    (instance.root / "config.toml").write_text(GREEDY)
    instance.ok("image", "load", "--input", more(archive, tmp_path, "unused"))
    instance.ok("run", "-d", "--name", "web", image, "sleep", "1000")
    killed = subprocess.run(
        instance.command("image", "rm", "localhost/unused:1"),
        env={**os.environ, FAULT: point},
        capture_output=True,
        timeout=DEADLINE,
    )
    assert killed.returncode == -9
    assert "localhost/unused:1" not in images(instance)
    assert collector(instance).images()
    assert instance.ok("exec", "web", "cat", "/etc/passwd")
    assert not any((instance.engine.layout.images / "temp").iterdir())
    stored = {path.name for path in (instance.engine.layout.images / "layers").iterdir()}
    assert stored == {layer.parent.name for one in instance.engine.images.list() for layer in one.layers}


def test_collection_never_overtakes_who_pulls_and_runs(
    instance: Instance, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One collects without pause all that may go, while two others pull, run and apply the same image."""
    (instance.root / "config.toml").write_text(GREEDY)
    over = threading.Event()
    failures: list[BaseException] = []
    rounds = [0]

    def collect() -> None:
        made = collector(instance)
        try:
            while not over.is_set():
                made.images()
                rounds[0] += 1
        except BaseException as failure:
            failures.append(failure)

    with lab.registry(tmp_path / "registry") as registry:
        monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(tmp_path / "registry/registries.conf"))
        reference = registry.push(more(archive, tmp_path, "app"), "team/app:1")

        def run(name: str) -> None:
            try:
                for number in range(2):
                    assert instance.ok("run", "--rm", "--name", f"{name}{number}", reference, "cat", "/etc/passwd")
            except BaseException as failure:
                failures.append(failure)

        def apply() -> None:
            file = tmp_path / "pod.yaml"
            try:
                for number in range(2):
                    put(file, pod("web", container("one", reference, args=[str(number)])))
                    instance.ok("apply", "--wait", "--timeout", 60, file)
                    assert instance.ok("exec", "web", "--", "cat", "/etc/passwd")
                    instance.ok("down", file)
            except BaseException as failure:
                failures.append(failure)

        busy = [threading.Thread(target=run, args=(name,)) for name in ("a",)] + [threading.Thread(target=apply)]
        collecting = threading.Thread(target=collect)
        for thread in (collecting, *busy):
            thread.start()
        for thread in busy:
            thread.join(3 * DEADLINE)
        over.set()
        collecting.join(DEADLINE)
    assert failures == [] and rounds[0] > 0
    assert told(instance, "ImageRemoved"), "there was something to overtake"


def test_logs_of_what_is_gone_go(instance: Instance, image: str, folder: Path) -> None:
    put(folder / "web.yaml", pod("web", container("one", image), container("two", image)))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    logs = instance.engine.layout.logs
    (web,) = logs.iterdir()
    (logs / "default_old_00000000-0000-0000-0000-000000000000" / "one").mkdir(parents=True)
    put(folder / "web.yaml", pod("web", container("one", image)))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    until(lambda: set(instance.running("web")) == {"infra", "one"}, "the member is gone")
    assert {path.name for path in web.iterdir()} == {"one", "two"}
    instance.engine.tidy()
    assert list(logs.iterdir()) == [web]
    assert [path.name for path in web.iterdir()] == ["one"]
    assert "one is up" in instance.ok("logs", "web")


def use(instance: Instance) -> dict[str, dict[str, int]]:
    return {one["kind"]: one for one in json.loads(instance.ok("system", "df", "--format", "json"))}


def test_what_is_told_to_be_reclaimable_is_what_prune_reclaims(
    instance: Instance, image: str, archive: Path, tmp_path: Path
) -> None:
    """The unused image shares its lower layer with one that is used: only its own counts."""
    size = 1 << 20
    instance.ok("image", "load", "--input", more(archive, tmp_path, "unused", size))
    instance.ok("run", "-d", "--name", "web", "-v", "data:/data", image, "sh", "-c", "echo a > /data/a; sleep 100000")
    instance.ok("run", "--name", "over", image, "dd", "if=/dev/zero", "of=/file", "bs=1k", "count=256")
    instance.ok("volume", "create", "idle")
    until(lambda: instance.run("exec", "web", "cat", "/data/a").stdout == "a\n", "it has written")
    before = use(instance)
    assert (before["Images"]["total"], before["Images"]["active"]) == (2, 1)
    assert 2 * size <= before["Images"]["reclaimable"] < 2 * size + 200_000, "packed and unpacked"
    assert (before["Containers"]["total"], before["Containers"]["active"]) == (2, 1)
    assert 256 << 10 <= before["Containers"]["reclaimable"] < 300 << 10
    assert (before["Local Volumes"]["total"], before["Local Volumes"]["active"]) == (2, 1)
    table = instance.ok("system", "df").splitlines()
    assert table[0].split() == ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"]
    assert [line.split("   ")[0] for line in table[1:]] == ["Images", "Containers", "Local Volumes"]
    assert instance.run("system", "prune", input="n\n").returncode == 1
    assert use(instance) == before, "nobody said yes"
    said = instance.ok("system", "prune", "--all", "--volumes", "--force")
    assert "Total reclaimed space: " in said
    after = use(instance)
    assert {kind: one["reclaimable"] for kind, one in after.items()} == dict.fromkeys(after, 0)
    assert after["Images"]["size"] == before["Images"]["size"] - before["Images"]["reclaimable"]
    assert [one["total"] for one in after.values()] == [1, 1, 1]
    assert instance.ok("exec", "web", "cat", "/data/a") == "a\n"
