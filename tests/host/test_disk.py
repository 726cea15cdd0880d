"""A full disk under a live controller: a clear error, nothing half made, what runs goes on; then it heals."""

from __future__ import annotations

import hashlib
import random
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler.engine import kept
from reconciler.model.errors import TryLater
from tests.host import imagelab as lab
from tests.host.imagelab import Entry, layer
from tests.host.instance import Instance, checked, until
from tests.host.lives import container_status, end, events, log_of, replaced, sleeper
from tests.host.manifests import Manifest, container, pod, put
from tests.host.smalldisk import SmallDisk, mounted

pytestmark = pytest.mark.host

LARGE = random.Random(3).randbytes(3 << 20)


@pytest.fixture
def disk(root: Path, tmp_path: Path) -> Iterator[SmallDisk]:
    """Under all that the instance has."""
    yield from mounted(root, tmp_path)


@pytest.fixture
def instance(disk: SmallDisk) -> Iterator[Instance]:
    """Which has space again when the test is over."""
    with contextmanager(checked)(Instance(disk.root)) as made:
        try:
            yield made
        finally:
            disk.make_room()
    made.engine.context.store.close()  # an open file would hold the disk


@pytest.fixture
def image(instance: Instance, archive: Path) -> str:
    instance.ok("image", "load", "-i", archive)
    return "localhost/reconciler/busybox:1"


def test_a_pod_on_a_full_disk_is_a_clear_error_and_comes_up_when_there_is_space(
    disk: SmallDisk, instance: Instance, image: str, folder: Path
) -> None:
    before = _watched(instance, folder, pod("old", container("app", image)))
    disk.fill()
    put(folder / "new.yaml", pod("new", container("app", image)))
    done = instance.run("apply", folder)  # while the folder is watched, and the disk is full
    assert done.returncode == 1
    assert "full" in done.stdout + done.stderr, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert _running(instance, "old") == before
    disk.make_room()
    until(lambda: _running(instance, "new"), "the second pod runs")
    assert _running(instance, "old") == before


FULL = re.compile(r"cannot [a-z]+ .+: (No space left on device|database or disk is full)", re.IGNORECASE)


def test_whatever_of_a_pod_there_is_no_room_for_is_told_and_made_when_there_is(
    disk: SmallDisk, instance: Instance, image: str, folder: Path
) -> None:
    """With a few blocks more each time, another of its records and files is the one that does not fit."""
    before = _watched(instance, folder, pod("old", sleeper("app", image)))
    names = [f"with-{left}" for left in range(0, 40, 8)]
    for name in names:
        disk.fill(left=int(name.removeprefix("with-")))
        put(folder / f"{name}.yaml", pod(name, sleeper("app", image), sleeper("two", image)))
        until(lambda name=name: _complaints(instance, name), f"it is told of {name}")
    assert instance.ok("get", "pods", "old", "--no-headers").split()[2] == "Running"
    assert _running(instance, "old") == before
    disk.make_room()
    for name in names:
        until(lambda name=name: set(instance.running(name)) == {"infra", "app", "two"}, f"{name} runs")
    assert _running(instance, "old") == before
    told = [cause for name in names for cause in _complaints(instance, name)]
    assert [cause for cause in told if not FULL.fullmatch(cause)] == []
    places = {place for place in ("state.db", "/pods/", "/containers/") if any(place in cause for cause in told)}
    assert places == {"state.db", "/pods/", "/containers/"}
    assert "Traceback" not in log_of(instance)


def _complaints(instance: Instance, name: str) -> list[str]:
    """Why a pod could not be synced."""
    return re.findall(rf'"cannot sync pod" pod=default/{name} cause="(.*?)" attempt', log_of(instance))


def test_what_ends_on_a_full_disk_is_known_and_run_again_when_there_is_space(
    disk: SmallDisk, instance: Instance, image: str, folder: Path
) -> None:
    """Its exit code is, too; its sibling goes on."""
    ends = sleeper("ends", image, command=["sh", "-c", "trap 'exit 7' TERM; while :; do sleep 1000 & wait; done"])
    put(folder / "a.yaml", pod("a", sleeper("app", image), ends))
    instance.watch(folder)
    before = until(lambda: instance.running("a") if len(instance.running("a")) == 3 else None, "the pod runs")
    disk.fill()
    end([before["ends"]], signal.SIGTERM)
    until(lambda: _complaints(instance, "a"), "it is told that there is no room")
    stands = container_status(instance, "a", "ends")
    disk.make_room()
    replaced(instance, "a", "ends", before["ends"])
    last = container_status(instance, "a", "ends")["lastState"]["terminated"]
    assert (list(stands["state"]), last["exitCode"]) == (["waiting"], 7)
    after = instance.running("a")
    assert {name for name in before if before[name] != after[name]} == {"ends"}
    put(folder / "b.yaml", pod("b", sleeper("app", image)))
    until(lambda: "Started" in [e.reason for e in events(instance, "b")], "events are written again")


def test_an_image_that_does_not_fit_is_a_clear_error_and_leaves_nothing(
    disk: SmallDisk, instance: Instance, image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However far it comes: the copy of its blobs, one layer or the other; by `load` or by `pull`."""
    layers = [layer(Entry("large", LARGE)), layer(Entry("more", LARGE[::-1]))]
    archive = lab.docker_archive(tmp_path / "large.tar", {"localhost/large:1": layers})
    with lab.registry(tmp_path / "registry") as registry:
        monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(tmp_path / "registry/registries.conf"))
        reference = registry.push(archive, "large:2")
        pulls, loads = ("image", "pull", "-q", reference), ("image", "load", "-q", "-i", archive)
        there = _images(instance)
        for words, left in ((loads, 0), (pulls, 1000), (loads, 2000), (pulls, 900)):
            disk.fill(left)
            done = instance.run(*words)
            said = done.stderr.splitlines()
            assert (done.returncode, said[1:]) == (1, ["hint: free some space on that file system"]), done
            assert FULL.fullmatch(said[0].removeprefix("reconciler: ")), said
            assert _images(instance) == there
        disk.make_room()
        for words, name in ((loads, "localhost/large:1"), (pulls, reference)):
            instance.ok(*words)
            found = instance.engine.images.get(name)
            assert found
            assert (found.layers[1] / "more").read_bytes() == LARGE[::-1]


def test_the_key_of_digests_is_told_by_its_name(disk: SmallDisk, instance: Instance) -> None:
    """And not by the one that it has while it is written, which would make each try another event."""
    key = instance.engine.layout.digest_key
    disk.fill()
    with pytest.raises(TryLater, match=f"^cannot write {key}: No space left on device$"):
        kept.digest(instance.engine.context, b"value")
    assert not list(key.parent.glob(".digest*"))
    disk.make_room()
    assert kept.digest(instance.engine.context, b"value") == kept.digest(instance.engine.context, b"value")


def _images(instance: Instance) -> list[str]:
    """Those that exist. Whatever else lies there must be whole: layers and blobs, which the next try goes on from."""
    images = instance.engine.layout.images
    assert list((images / "temp").iterdir()) == []
    assert all((layer / "layer.json").stat().st_size for layer in (images / "layers").iterdir())
    for blob in (images / "blobs/sha256").iterdir():
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name
    return sorted(record.name for record in (images / "index").iterdir())


COUNT = "i=0; while :; do i=$((i+1)); echo line $i; echo $i >/dev/shm/n; usleep 5000; done"


def test_what_runs_and_writes_on_a_full_disk_goes_on_and_its_log_says_what_is_missing(
    disk: SmallDisk, instance: Instance, image: str, archive: Path, folder: Path
) -> None:
    """And each command that would write says in a line what cannot be, with the hint; nothing half made is left."""
    put(folder / "talks.yaml", pod("talks", container("app", image, command=["sh", "-c", COUNT])))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    before = _running(instance, "talks")
    log = next(instance.engine.layout.logs.glob("default_talks_*/app/0.log"))
    until(lambda: log.stat().st_size, "it has written")
    disk.fill()
    full = _count(instance)
    until(lambda: _count(instance) > full + 50, "it goes on with a full disk")
    commands = (("run", "-d", "--name", "own", image, "true"), ("volume", "create", "data"))
    for words in (*commands, ("image", "load", "-i", archive)):
        disk.fill()  # what came free meanwhile
        done = instance.run(*words)
        assert done.returncode in (1, 125), (words, done.stdout)
        said = [line for line in done.stderr.splitlines() if line.startswith(("reconciler: ", "hint: "))]
        assert "no space left on device" in said[0].lower(), done.stderr
        assert "Traceback" not in done.stderr
    assert _running(instance, "talks") == before
    disk.make_room()
    lines = until(lambda: _whole_log(instance), "the gap is told")
    assert _running(instance, "talks") == before
    for before_it, said, after_it in zip(lines, lines[1:], lines[2:], strict=False):
        if not (said.startswith("[conmon: ") and before_it.startswith("line ") and after_it.startswith("line ")):
            continue
        lost = int(after_it.split()[1]) - int(before_it.split()[1]) - 1
        what = "1 line was" if lost == 1 else f"{lost} lines were"
        assert said == f"[conmon: {what} lost here: No space left on device]"
    instance.ok("volume", "create", "data")


def _count(instance: Instance) -> int:
    return int(instance.ok("exec", "talks", "--", "cat", "/dev/shm/n").strip() or 0)


def _whole_log(instance: Instance) -> list[str]:
    """Its lines, when what is lost has been told, and the container has written since then."""
    lines = instance.ok("logs", "talks").splitlines()
    told = any(line.startswith("[conmon: ") for line in lines)
    return lines if told and lines[-1].startswith("line ") else []


def _watched(instance: Instance, folder: Path, old: Manifest) -> dict[str, object]:
    """What runs of the pod "old", which a controller has made before the disk is full."""
    put(folder / "old.yaml", old)
    instance.watch(folder)
    return until(lambda: _running(instance, "old"), "the first pod runs")


def _running(instance: Instance, name: str) -> dict[str, object]:
    running = instance.running(name)
    return dict(running) if "app" in running else {}
