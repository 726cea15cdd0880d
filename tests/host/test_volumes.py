"""Volumes that only podman's options ask for: memory, named ones, and how what is mounted may be used."""

from __future__ import annotations

import json
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.model.spec import ContainerSpec, Mount, SandboxSpec, Volume, VolumeKind
from tests.host.byhand import Hand, shell
from tests.host.instance import Instance, checked, until

pytestmark = pytest.mark.host


@pytest.fixture(params=["crun", "runc"])
def instance(root: Path, request: pytest.FixtureRequest) -> Iterator[Instance]:
    yield from checked(Instance(root, "--runtime", request.param))


@pytest.fixture
def pod(instance: Instance) -> Hand:
    return Hand(instance)


def named(path: str, name: str, *options: str, read_only: bool = False, anonymous: bool = False) -> Mount:
    return Mount(path, Volume(name, VolumeKind.NAMED, anonymous=anonymous), read_only, options)


def tmpfs(path: str, *options: str, made_with: tuple[str, ...] = (), read_only: bool = False) -> Mount:
    return Mount(path, Volume(f"tmpfs:{path}", VolumeKind.TMPFS, options=made_with), read_only, options)


def host(path: Path, place: str, *options: str) -> Mount:
    return Mount(place, Volume(str(path), VolumeKind.HOST_PATH, host_path=str(path)), False, options)


def data(instance: Instance, name: str) -> Path:
    return instance.engine.layout.volumes / name / "_data"


def test_memory_of_a_containers_own(pod: Hand, image: str) -> None:
    """Of the size and mode that were asked for; what the image has there is in it; another container has another."""
    mounts = (
        tmpfs("/small", made_with=("mode=1770", "size=65536"), read_only=False),
        tmpfs("/etc", "nodev", "nosuid", "tmpcopyup"),
        tmpfs("/closed", "noexec", read_only=True),
    )
    one = shell("one", image, "echo mine > /small/mine; exec sleep 1000", mounts=mounts)
    pod.apply(one, shell("two", image, mounts=mounts))
    until(lambda: pod.inside("one", "/small/mine").exists(), "it has written")
    table = {row[4]: row for row in map(str.split, pod.inside("one", "/proc/1/mountinfo").read_text().splitlines())}
    assert "size=64k" in table["/small"][-1]
    assert stat.S_IMODE(pod.inside("one", "/small").stat().st_mode) == 0o1770
    assert not pod.inside("two", "/small/mine").exists()
    assert {"nodev", "nosuid"} <= set(table["/etc"][5].split(","))
    assert pod.inside("one", "/etc/passwd").read_text().startswith("root:")
    assert {"ro", "noexec"} <= set(table["/closed"][5].split(","))


def test_a_named_volume_outlives_its_pod(pod: Hand, instance: Instance, image: str) -> None:
    mount = named("/data", "db", "noexec")
    pod.apply(shell("one", image, "echo kept > /data/file", mounts=(mount,)))
    until(lambda: pod.member("one").exit, "it has written")
    pod.remove()
    assert (data(instance, "db") / "file").read_text() == "kept\n"
    other = Hand(instance, "other")
    other.apply(
        shell("two", image, "cat /data/file; echo more > /data/file", mounts=(named("/data", "db", read_only=True),))
    )
    assert other.said("two").startswith("kept\n")
    assert other.member("two").exit
    assert other.member("two").exit.code, "read-only"


def test_a_new_volume_has_what_the_image_has_there(pod: Hand, instance: Instance, image: str) -> None:
    """With its owners and modes, and once: what is deleted from it does not come back."""
    pod.apply(
        shell("one", image, mounts=(named("/etc", "conf"), named("/var/tmp", "scratch"))),
        shell("two", image, mounts=(named("/etc", "empty", "nocopy"), named("/var/tmp", "scratch"))),
    )
    assert (data(instance, "conf") / "passwd").read_text().startswith("root:")
    assert stat.S_IMODE(data(instance, "scratch").stat().st_mode) == 0o1777
    assert sorted(path.name for path in data(instance, "empty").iterdir() if path.stat().st_size) == []
    pod.remove()
    (data(instance, "conf") / "passwd").unlink()
    pod.apply(shell("one", image, mounts=(named("/etc", "conf"),)))
    assert not (data(instance, "conf") / "passwd").exists()


def test_a_volume_of_a_place_that_the_image_has_not_belongs_to_who_runs(
    pod: Hand, instance: Instance, image: str
) -> None:
    mount = named("/fresh", "own")
    pod.apply(ContainerSpec("one", image, command=("touch", "/fresh/file"), user="www-data", mounts=(mount,)))
    until(lambda: (end := pod.member("one").exit) and end.code == 0, "it may write")
    info = (data(instance, "own") / "file").stat()
    assert (info.st_uid, info.st_gid) == (33, 33)


def test_an_anonymous_volume_goes_with_its_container(pod: Hand, instance: Instance, image: str) -> None:
    """Not before: it comes along when its pod is made again."""
    one = shell("one", image, "echo x >> /data/file; exec sleep 1000", mounts=(named("/data", "a1b2", anonymous=True),))
    pod.apply(one, shell("two", image))
    until(lambda: (data(instance, "a1b2") / "file").exists(), "it has written")
    pod.apply(one, shell("two", image), sandbox=SandboxSpec(hostname="other"))
    until(lambda: (data(instance, "a1b2") / "file").read_text() == "x\nx\n", "it goes on where it was")
    pod.apply(shell("two", image))
    assert not data(instance, "a1b2").exists()
    pod.apply(one, shell("two", image))
    until(lambda: (data(instance, "a1b2") / "file").exists(), "another has been made")
    pod.apply(shell("two", image))
    until(lambda: pod.have.containers[0].name == "two" and not data(instance, "a1b2").exists(), "it goes at once")


def test_a_pod_with_users_of_its_own_sees_its_files_as_its_own(pod: Hand, instance: Instance, image: str) -> None:
    script = "stat -c %u:%g /etc/passwd; touch /etc/mine; stat -c %u:%g /etc/mine"
    one = shell("one", image, script, mounts=(named("/etc", "conf"), tmpfs("/m", "nodev", "nosuid")))
    pod.apply(one, sandbox=SandboxSpec(hostname="box", host_users=False))
    assert pod.said("one") == "0:0\n0:0\n"
    assert (data(instance, "conf") / "mine").stat().st_uid == 0


def test_mounts_are_seen_on_the_other_side_as_was_asked(pod: Hand, image: str, tmp_path: Path) -> None:
    """Slave: what the host mounts later; shared: also what the container does; private: nothing."""
    for name in ("slave", "shared", "private"):
        place = tmp_path / name
        (place / "sub").mkdir(parents=True)
        subprocess.run(["mount", "--bind", place, place], check=True, timeout=30)
        subprocess.run(["mount", "--make-shared", place], check=True, timeout=30)
    try:
        pod.apply(
            shell("slave", image, mounts=(host(tmp_path / "slave", "/m", "rslave"),)),
            shell("shared", image, mounts=(host(tmp_path / "shared", "/m", "rshared"),)),
            shell("private", image, mounts=(host(tmp_path / "private", "/m"),)),
        )
        for name in ("slave", "shared", "private"):
            subprocess.run(["mount", "-t", "tmpfs", "late", tmp_path / name / "sub"], check=True, timeout=30)
        seen = {
            name: " /m/sub " in pod.inside(name, "/proc/1/mountinfo").read_text()
            for name in ("slave", "shared", "private")
        }
        assert seen == {"slave": True, "shared": True, "private": False}
        enter = ["nsenter", "-t", str(pod.pid("shared")), "-m", "--", "mount", "-t", "tmpfs", "own", "/m"]
        subprocess.run(enter, check=True, timeout=30)
        assert f" {tmp_path}/shared rw" in Path("/proc/self/mountinfo").read_text()
        assert "own" in Path("/proc/self/mountinfo").read_text()
    finally:
        pod.remove()
        for name in ("slave", "shared", "private"):
            subprocess.run(["umount", "-R", tmp_path / name], check=False, timeout=30)


def test_the_commands(pod: Hand, instance: Instance, image: str) -> None:
    assert instance.ok("volume", "ls").split() == ["DRIVER", "VOLUME", "NAME"]
    assert instance.ok("volume", "create", "--label", "for=tests", "db") == "db\n"
    again = instance.run("volume", "create", "db")
    assert (again.returncode, again.stderr) == (
        1,
        "reconciler: cannot create volume db: there is one\nhint: --ignore takes it as it is\n",
    )
    assert instance.ok("volume", "create", "--ignore", "db") == "db\n"
    made = instance.ok("volume", "create").strip()
    assert len(made) == 64
    pod.apply(shell("one", image, mounts=(named("/etc", "db"),)))
    assert instance.ok("volume", "ls", "-q", "--filter", "dangling=true").split() == [made]
    assert (
        instance.ok("volume", "ls", "--filter", "label=for=tests", "--format", "{{.Name}} {{.Driver}}") == "db local\n"
    )
    (shown,) = json.loads(instance.ok("volume", "inspect", "db"))
    assert (shown["Mountpoint"], shown["Labels"]) == (str(data(instance, "db")), {"for": "tests"})
    assert (data(instance, "db") / "passwd").exists()
    refused = instance.run("volume", "rm", "db")
    assert refused.returncode == 1
    assert "cannot remove volume db: box/one mounts it" in refused.stderr
    assert instance.ok("volume", "prune", "--force") == f"{made}\n"
    pod.remove()
    assert instance.ok("volume", "rm", "d") == "db\n"
    assert instance.run("volume", "exists", "db").returncode == 1


def test_removal_by_force_takes_the_containers_that_mount_it(instance: Instance, image: str) -> None:
    """As podman's: those that run and those that only were made; all others go on."""
    sleep = (image, "sleep", "1000")
    instance.ok("run", "-d", "--name", "own", "-v", "db:/data", *sleep)
    instance.ok("run", "-d", "--pod", "new:both", "--name", "with", "-v", "db:/data", *sleep)
    instance.ok("run", "-d", "--pod", "both", "--name", "without", *sleep)
    instance.ok("create", "--name", "idle", "-v", "db:/data", *sleep)
    before = instance.running("both")
    refused = instance.run("volume", "rm", "db")
    assert refused.returncode == 1
    assert {"own/own", "both/with", "idle/idle"} <= set(refused.stderr.replace(",", "").split())
    assert instance.ok("volume", "rm", "-f", "-t", "0", "db") == "db\n"
    assert instance.ok("volume", "ls", "-q") == ""
    assert instance.ok("ps", "-a", "--format", "{{.Names}}").split()[:1] == ["without"]
    assert instance.running("both") == {name: ref for name, ref in before.items() if name != "with"}
    assert instance.ok("volume", "rm", "--force", "db") == ""
