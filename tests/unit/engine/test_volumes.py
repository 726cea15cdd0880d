"""hostPath types as Kubernetes means them, and what is made for a container."""

from __future__ import annotations

import os
import socket
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reconciler.engine import volumes
from reconciler.model.errors import TryLater
from reconciler.model.spec import ContainerSpec, Mount, Security, Volume, VolumeKind

KINDS = ("", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket", "CharDevice", "BlockDevice")


@pytest.fixture
def there(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "dir").mkdir()
    (tmp_path / "file").touch()
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(tmp_path / "socket"))
    return {
        "directory": str(tmp_path / "dir"),
        "file": str(tmp_path / "file"),
        "socket": str(tmp_path / "socket"),
        "device": "/dev/null",
        "nothing": str(tmp_path / "nothing"),
    }


def spec(path: str, kind: str) -> ContainerSpec:
    return ContainerSpec("web", "i", mounts=(Mount("/m", Volume("v", VolumeKind.HOST_PATH, path, kind)),))


@pytest.mark.parametrize(
    ("what", "accepted"),
    [
        ("directory", {"", "Directory", "DirectoryOrCreate"}),
        ("file", {"", "File", "FileOrCreate"}),
        ("socket", {"", "Socket"}),
        ("device", {"", "CharDevice"}),
        ("nothing", {"DirectoryOrCreate", "FileOrCreate"}),
    ],
)
def test_types(there: dict[str, str], what: str, accepted: set[str]) -> None:
    assert {kind for kind in KINDS if not volumes.problems(spec(there[what], kind))} == accepted


@pytest.mark.parametrize("what", ["directory", "file", "nothing"])
def test_other_owners_are_asked_for_only_where_the_pod_has_users_of_its_own(
    there: dict[str, str], what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(volumes.owners, "refused", lambda path: asked.append(path) or True)
    wanted = spec(there[what], "" if what != "nothing" else "FileOrCreate")
    assert volumes.problems(wanted) == () and asked == []
    (problem,) = volumes.problems(wanted, own_users=True)
    said = "a file system there cannot show its files with other owners (hostUsers: false)"
    assert problem.message == f"cannot mount volume v: hostPath {there[what]}: {said}"
    assert asked == [there[what]]
    (missing,) = volumes.problems(spec(there["nothing"], ""), own_users=True)
    assert "does not exist" in missing.message and len(asked) == 1


def test_the_problem_names_container_volume_path_and_type(there: dict[str, str]) -> None:
    (problem,) = volumes.problems(spec(there["nothing"], "Directory"))
    assert (problem.container, problem.reason) == ("web", "CreateContainerConfigError")
    assert problem.message == f"cannot mount volume v: hostPath {there['nothing']} does not exist (type Directory)"
    (wrong,) = volumes.problems(spec(there["file"], "Directory"))
    assert wrong.message == f"cannot mount volume v: hostPath type check failed: {there['file']} is not a directory"
    (below,) = volumes.problems(spec(there["file"] + "/x", ""))
    assert below.message.endswith("Not a directory")


def test_what_is_to_be_made_is_made_once_whatever_the_umask(tmp_path: Path) -> None:
    empty = Mount("/e", Volume("e", VolumeKind.EMPTY_DIR))
    made = ContainerSpec("web", "i", mounts=(empty, *spec(str(tmp_path / "a/b"), "DirectoryOrCreate").mounts))
    file = spec(str(tmp_path / "f"), "FileOrCreate")
    old = os.umask(0o077)
    try:
        for _ in range(2):
            volumes.prepare(made, tmp_path / "pod")
            volumes.prepare(file, tmp_path / "pod")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "pod/volumes/e").stat().st_mode) == 0o777
    assert (tmp_path / "a/b").is_dir()
    assert (tmp_path / "f").is_file()


def test_an_empty_dir_that_is_in_use_keeps_what_its_container_made_of_it(tmp_path: Path) -> None:
    made = ContainerSpec("web", "i", mounts=(Mount("/e", Volume("e", VolumeKind.EMPTY_DIR)),))
    volumes.prepare(made, tmp_path)
    (tmp_path / "volumes/e").chmod(0o700)
    volumes.prepare(made, tmp_path)
    assert stat.S_IMODE((tmp_path / "volumes/e").stat().st_mode) == 0o700


def test_a_place_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TryLater, match=r"cannot make volume v: .*Not a directory"):
        volumes.prepare(spec(str(tmp_path / "file" / "x"), "DirectoryOrCreate"), tmp_path)


def test_the_hosts_paths_of_other_types_are_left_alone(tmp_path: Path) -> None:
    volumes.prepare(spec(str(tmp_path / "x"), "Directory"), tmp_path)
    volumes.prepare(spec(str(tmp_path / "x"), ""), tmp_path)
    assert not (tmp_path / "x").exists()


def grouped(group: int) -> ContainerSpec:
    mounts = (Mount("/e", Volume("e", VolumeKind.EMPTY_DIR)),)
    return ContainerSpec("web", "i", mounts=mounts, security=Security(fs_group=group))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_an_empty_dir_belongs_to_the_fs_group_with_all_that_is_in_it(tmp_path: Path) -> None:
    top, secret = tmp_path / "volumes/e", tmp_path / "secret"
    secret.write_text("")
    secret.chmod(0o600)
    volumes.prepare(grouped(33), tmp_path)
    assert (top.stat().st_gid, stat.S_IMODE(top.stat().st_mode)) == (33, 0o2777)
    (top / "d").mkdir(mode=0o700)
    (top / "d" / "f").touch(mode=0o640)
    (top / "d" / "link").symlink_to(secret)
    (top / "d" / "away").symlink_to(tmp_path)
    volumes.prepare(grouped(44), tmp_path)
    seen = {path.name: (path.lstat().st_gid, stat.S_IMODE(path.lstat().st_mode)) for path in top.rglob("*")}
    assert seen["d"] == (44, 0o2770)
    assert seen["f"] == (44, 0o660)
    assert seen["link"][0] == seen["away"][0] == 44
    assert (secret.stat().st_gid, stat.S_IMODE(secret.stat().st_mode)) == (0, 0o600)
    assert tmp_path.stat().st_gid == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_a_container_gave_to_another_group_stays_so(tmp_path: Path) -> None:
    volumes.prepare(grouped(33), tmp_path)
    (tmp_path / "volumes/e/f").touch(mode=0o600)
    volumes.prepare(grouped(33), tmp_path)
    assert stat.S_IMODE((tmp_path / "volumes/e/f").stat().st_mode) == 0o600


def test_members_that_are_made_at_the_same_time_have_one_directory(tmp_path: Path) -> None:
    """Else one would be left with a directory that another's has replaced: they would share nothing."""
    member = ContainerSpec("web", "i", mounts=(Mount("/e", Volume("e", VolumeKind.EMPTY_DIR)),))

    def made(pod: Path) -> int:
        volumes.prepare(member, pod)
        return (pod / "volumes/e").stat().st_ino

    with ThreadPoolExecutor(4) as crew:
        for round_ in range(100):
            pods = [tmp_path / str(round_)] * 4
            assert len(set(crew.map(made, pods))) == 1
