"""Which files a look finds, what it says of those it cannot see, and what it asks to be watched."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from reconciler.model.key import SourceId
from reconciler.sources.links import trail
from reconciler.sources.memory import Memory, keep, place_of, recall
from reconciler.sources.names import is_manifest
from reconciler.sources.reading import LARGEST, read
from reconciler.sources.tree import look
from tests.unit.sources.manifests import key, pod


@pytest.mark.parametrize(
    "name", ["web.yaml", "web.yml", "web.json", "WEB.YAML", "a b.yaml", "4913.yaml", "web.tmp.yaml"]
)
def test_is_a_manifest(name: str) -> None:
    assert is_manifest(name)


@pytest.mark.parametrize(
    "name",
    [
        ".web.yaml", ".web.yaml.swp", "web.yaml~", "#web.yaml#", "#web.yaml", ".#web.yaml", "4913", "web.yaml.bak",
        "web.yaml.orig", "web.yaml.rej", "web.yaml.tmp", "web.yaml.rpmnew", "web.yaml.dpkg-old", "~$web.yaml", "..data",
        "web", "README.md", "yaml", ".yaml", "web.yaml.swx", "web.yaml#",
    ],
)  # fmt: skip
def test_is_the_trace_of_an_editor_or_no_manifest(name: str) -> None:
    assert not is_manifest(name)


def test_it_looks_into_every_directory_but_hidden_ones(tmp_path: Path) -> None:
    for name in ("web.yaml", "team/a.yml", "team/deep/b.json", ".git/c.yaml", "..data/d.yaml", "team/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert list(look(str(tmp_path)).files) == ["team/a.yml", "team/deep/b.json", "web.yaml"]


def test_a_kubernetes_volume_shows_its_visible_names(tmp_path: Path) -> None:
    version = tmp_path / "..2026_01"
    version.mkdir()
    (version / "web.yaml").touch()
    (tmp_path / "..data").symlink_to("..2026_01")
    (tmp_path / "web.yaml").symlink_to("..data/web.yaml")
    tree = look(str(tmp_path))
    assert list(tree.files) == ["web.yaml"]
    assert {"..data", "web.yaml"} <= tree.watch[str(tmp_path)].names
    assert "web.yaml" in tree.watch[str(version)].names


def test_links_that_form_a_loop_end(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "up").symlink_to("..")
    (tmp_path / "self.yaml").symlink_to("self.yaml")
    (tmp_path / "web.yaml").touch()
    tree = look(str(tmp_path))
    assert list(tree.files) == ["web.yaml"]
    assert list(tree.unreadable) == ["self.yaml"]


def test_what_is_reachable_twice_is_listed_once_under_its_real_name(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "web.yaml").touch()
    (tmp_path / "also").symlink_to("real")
    (tmp_path / "also.yaml").symlink_to("real/web.yaml")
    assert list(look(str(tmp_path)).files) == ["real/web.yaml"]


def test_a_linked_directory_elsewhere_is_followed_and_watched(tmp_path: Path) -> None:
    folder, other = tmp_path / "folder", tmp_path / "other"
    folder.mkdir()
    other.mkdir()
    (other / "web.yaml").touch()
    (folder / "linked").symlink_to(other)
    tree = look(str(folder))
    assert list(tree.files) == ["linked/web.yaml"]
    assert tree.watch[str(folder / "linked")].visible
    assert "other" in tree.watch[str(tmp_path)].names


def test_special_files_are_named_and_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    tree = look(str(tmp_path))
    assert tree.unreadable == {"pipe.yaml": "it is not a regular file"}
    state = read(str(tmp_path / "pipe.yaml"), "pipe.yaml")
    assert "not a regular file" in state.loaded.problems[0].message


def test_directories_too_deep_are_named(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d"] * 80)
    deep.mkdir(parents=True)
    tree = look(str(tmp_path))
    assert len(tree.unreadable) == 1
    assert "deep" in next(iter(tree.unreadable.values()))


def test_the_parents_are_watched_for_the_folder_itself(tmp_path: Path) -> None:
    tree = look(str(tmp_path / "missing" / "folder"))
    assert tree.identity is None
    assert "missing" in tree.watch[str(tmp_path)].names
    assert "no such file" in tree.problem


def test_the_trail_names_every_link_on_the_way(tmp_path: Path) -> None:
    (tmp_path / "v1").mkdir()
    (tmp_path / "current").symlink_to("v1")
    (tmp_path / "v1" / "web.yaml").touch()
    (tmp_path / "web.yaml").symlink_to("current/web.yaml")
    place = str(tmp_path)
    found = trail(f"{place}/web.yaml")
    assert found[-3:] == ((place, "web.yaml"), (place, "current"), (f"{place}/v1", "web.yaml"))


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "web.yaml"
    file.touch()
    os.truncate(file, LARGEST * 5)
    problem = read(str(file), "web.yaml").loaded.problems[0]
    assert problem.reason == "TooLarge"
    assert str(LARGEST) in problem.message


def test_a_file_read_while_it_is_new_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "web.yaml"
    file.write_text(pod("web"))
    in_a_moment = time.time_ns() + 10**9
    os.utime(file, ns=(in_a_moment, in_a_moment))
    assert read(str(file), "web.yaml").again, "its stamp cannot tell a change within the same tick"
    os.utime(file, (1, 1))
    assert not read(str(file), "web.yaml").again


def test_a_file_that_is_read_again_is_compiled_once(tmp_path: Path) -> None:
    file, other = tmp_path / "web.yaml", tmp_path / "other.yaml"
    for one in (file, other):
        one.write_text(pod("web"))
        in_a_moment = time.time_ns() + 10**9
        os.utime(one, ns=(in_a_moment, in_a_moment))
    first = read(str(file), "web.yaml")
    os.utime(file, (1, 1))
    second = read(str(file), "web.yaml", before=first)
    assert second.loaded is first.loaded
    assert (second.again, second.content) == (False, b"")
    file.write_text(pod("db"))
    assert [pod.spec.key.name for pod in read(str(file), "web.yaml", before=first).loaded.pods] == ["db"]
    assert read(str(other), "other.yaml", before=first).loaded is not first.loaded, "its problems would name the other"
    os.truncate(file, LARGEST * 5)
    assert read(str(file), "web.yaml", before=first).loaded.problems[0].reason == "TooLarge"


def test_a_memory_is_what_was_kept(tmp_path: Path) -> None:
    memory = Memory((1, 2), {key("web"): "web.yaml", key("db", "prod"): "x/db.yaml"}, {"": 1, "x": 3})
    file = place_of(tmp_path / "sources", SourceId("dir:/x"))
    keep(file, SourceId("dir:/x"), memory)
    assert recall(file) == memory
    assert [p.name for p in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", '{"identity": 3}', '{"identity": null, "paths": [["x"]], "devices": {}}']
)
def test_a_damaged_memory_is_an_empty_one(damage: str, tmp_path: Path) -> None:
    file = tmp_path / "memory.json"
    file.write_text(damage)
    assert recall(file) == Memory()
    assert recall(tmp_path / "missing") == Memory()
