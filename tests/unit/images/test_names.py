"""Tagging, pruning, inspecting: the index alone decides."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reconciler.engine.images.disk import Disk
from reconciler.engine.images.images import Images
from reconciler.engine.images.index import Index, Name, Record
from reconciler.model.errors import ImageProblem, NotFound
from tests.fakes.clock import FakeClock
from tests.unit.images.test_removal import ONE, TWO, put, unused

THREE = "3" * 64


def names(images: Images, id_: str) -> set[str]:
    found = images.get(id_)
    assert found is not None
    return set(found.names)


def test_a_tag_is_one_more_name_and_a_short_one_is_of_this_machine(tmp_path: Path) -> None:
    put(Disk(tmp_path), ONE, "r.test/app:1")
    images = Images(tmp_path, FakeClock())
    assert images.tag("r.test/app:1", "live", "r.test/app:2") == ("localhost/live:latest", "r.test/app:2")
    assert names(images, ONE) == {"r.test/app:1", "localhost/live:latest", "r.test/app:2"}
    assert images.get("live") == images.get(ONE[:12])


def test_a_moved_tag_leaves_the_old_image_without_a_name(tmp_path: Path) -> None:
    put(Disk(tmp_path), ONE, "localhost/app:1")
    put(Disk(tmp_path), TWO, "localhost/b:1")
    images = Images(tmp_path, FakeClock())
    images.tag("b:1", "app:1")
    assert names(images, ONE) == set() and names(images, TWO) == {"localhost/app:1", "localhost/b:1"}


def test_a_name_that_the_image_has_keeps_what_is_known_of_it(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    with disk.lock("index"):
        Index(disk).add(Record(ONE, (Name("r.test/app:1", True, 5.0),), (), f"sha256:{ONE}", (), 1))
    images = Images(tmp_path, FakeClock())
    images.tag(ONE, "r.test/app:1")
    assert Index(disk).pulled("r.test/app:1")


@pytest.mark.parametrize("name", ["r.test/app@sha256:" + "a" * 64, "Upper", "a:b:c"])
def test_what_is_no_name_is_refused_and_changes_nothing(tmp_path: Path, name: str) -> None:
    put(Disk(tmp_path), ONE, "localhost/app:1")
    images = Images(tmp_path, FakeClock())
    with pytest.raises(ImageProblem, match="cannot use image reference"):
        images.tag("app:1", "fine", name)
    assert names(images, ONE) == {"localhost/app:1"}


@pytest.mark.parametrize("verb", ["tag", "inspect", "save"])
def test_an_image_that_is_not_here_is_told(tmp_path: Path, verb: str) -> None:
    arguments = {"tag": ("x",), "inspect": (), "save": (tmp_path / "x.tar",)}[verb]
    with pytest.raises(NotFound, match=f"^cannot {verb} image nothing: it is not here$"):
        getattr(Images(tmp_path / "images", FakeClock()), verb)("nothing", *arguments)
    assert not (tmp_path / "x.tar").exists()


@pytest.mark.parametrize(("everything", "gone"), [(False, {THREE}), (True, {TWO, THREE})])
def test_prune_takes_what_has_no_name_or_all_that_is_unused(tmp_path: Path, everything: bool, gone: set[str]) -> None:
    disk, dangling = Disk(tmp_path), "4" * 64
    put(disk, ONE, "localhost/used:1", layers=("a",))
    put(disk, TWO, "r.test/app@sha256:" + "a" * 64, layers=("b",))
    put(disk, THREE, layers=("c",))
    put(disk, dangling, layers=("d",))
    users = {ONE: ("default/web/app",), dangling: ("default/old/app",)}
    images = Images(tmp_path, FakeClock())
    assert set(images.prune(everything=everything, in_use=lambda id_: users.get(id_, ()))) == gone
    assert {image.id for image in images.list()} == {ONE, TWO, THREE, dangling} - gone
    assert not disk.layer("sha256:" + "c" * 64).exists() and disk.layer("sha256:" + "d" * 64).exists()
    assert images.prune(in_use=lambda id_: users.get(id_, ())) == ()


def test_without_knowing_the_users_nothing_is_pruned(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        Images(tmp_path, FakeClock()).prune()


def test_inspect_tells_what_manifest_and_config_say(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    inner = {"Env": ["A=1"], "Cmd": ["sh"], "Labels": {"x": "y"}, "Entrypoint": None, "User": ""}
    config = {
        "architecture": "arm64", "os": "linux", "author": "me", "config": inner,
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "a" * 64]},
        "history": [{"created_by": "COPY", "created": "2020-01-01T00:00:00Z"}, {"empty_layer": True}],
    }  # fmt: skip
    put(disk, ONE, "localhost/a:1", "r.test/a@sha256:" + "b" * 64)
    images = Images(tmp_path, FakeClock(), in_use=unused)
    found = images.get(ONE)
    assert found is not None
    disk.blob(ONE).write_text(json.dumps(config))
    manifest = {"schemaVersion": 2, "config": {"digest": "sha256:" + ONE}, "annotations": {"k": "v"}}
    disk.blob(found.digest).write_text(json.dumps(manifest))
    told = images.inspect("a:1")
    assert (told["Id"], told["Digest"], told["RepoTags"]) == (ONE, found.digest, ["localhost/a:1"])
    assert told["Config"] == {"Env": ["A=1"], "Cmd": ["sh"], "Labels": {"x": "y"}}
    assert (told["Architecture"], told["Os"], told["Author"], told["Labels"]) == ("arm64", "linux", "me", {"x": "y"})
    assert told["RootFS"] == {"Type": "layers", "Layers": ["sha256:" + "a" * 64]}
    assert told["History"] == [{"created": "2020-01-01T00:00:00Z", "created_by": "COPY"}, {"empty_layer": True}]
    assert told["Annotations"] == {"k": "v"} and told["Size"] == 1


def test_a_config_that_is_gone_is_told(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    put(disk, ONE, "localhost/a:1", layers=("a",))
    disk.blob(ONE).unlink()
    with pytest.raises(ImageProblem, match=r"^cannot inspect image \w+(:1)?: [^\n]+$"):
        Images(tmp_path, FakeClock()).inspect("a:1")
