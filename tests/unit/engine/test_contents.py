"""What stands in a projected volume, and how it is swapped."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.engine import effects, swap
from reconciler.engine.contents import Content, NotThere, files_of
from reconciler.engine.swap import Owners
from reconciler.model.downward import PodFacts, quoted, text_of
from reconciler.model.key import Key
from reconciler.model.projection import File, SourceKind, VolumeSource
from reconciler.model.spec import ContainerSpec, PodSpec, Resources, Volume, VolumeKind

MIB = 1 << 20
APP = ContainerSpec("app", "i", resources=Resources(cpu_request=250, memory_limit=64 * MIB))
POD = PodSpec(
    Key("ns", "web"), containers=(APP,), labels=(("a", "1"), ("b", 'x"y')), annotations=(("k/n", "two\nlines"),)
)
FACTS = PodFacts(POD, uid="u-1", cpus=4000, memory=8 << 30)


def field(path: str) -> File:
    return File("f", field=path)


def resource(name: str, divisor: int = 0) -> File:
    return File("f", resource=name, container="app", divisor=divisor)


TOLD = {
    "the name": (field("metadata.name"), "web"),
    "the namespace": (field("metadata.namespace"), "ns"),
    "the uid": (field("metadata.uid"), "u-1"),
    "labels, sorted, as Go quotes": (field("metadata.labels"), 'a="1"\nb="x\\"y"'),
    "annotations": (field("metadata.annotations"), 'k/n="two\\nlines"'),
    "one label": (field("metadata.labels['a']"), "1"),
    "one annotation, as it is": (field("metadata.annotations['k/n']"), "two\nlines"),
    "a label that is not there": (field("metadata.labels['z']"), ""),
    "a request, in whole cores": (resource("requests.cpu"), "1"),
    "a request in thousandths": (resource("requests.cpu", 1), "250"),
    "a limit that is not set is the machine's": (resource("limits.cpu"), "4"),
    "memory in bytes": (resource("limits.memory"), str(64 * MIB)),
    "memory, rounded up": (resource("limits.memory", 10 * MIB), "7"),
    "no request": (resource("requests.memory"), "0"),
}


@pytest.mark.parametrize(("file", "text"), TOLD.values(), ids=TOLD.keys())
def test_a_file_tells(file: File, text: str) -> None:
    assert text_of(file, FACTS) == text


@pytest.mark.parametrize(
    ("text", "as_go_has_it"),
    [("a", '"a"'), ("\t", '"\\t"'), ("\x01", '"\\x01"'), ("\\", '"\\\\"'), ("é", '"é"'), ("\u200b", '"\\u200b"')],
)
def test_quoting(text: str, as_go_has_it: str) -> None:
    assert quoted(text) == as_go_has_it


OBJECTS = {("ConfigMap", "c"): {"a": b"A", "b": b"B"}, ("Secret", "s"): {"b": b"secret"}}


def found(*sources: VolumeSource, mode: int = 0o644) -> dict[str, Content]:
    volume = Volume("v", VolumeKind.PROJECTED, sources=sources, default_mode=mode)
    return files_of(volume, lambda kind, name: OBJECTS.get((kind, name)), FACTS)


CONFIG, SECRET = VolumeSource(SourceKind.CONFIG_MAP, "c"), VolumeSource(SourceKind.SECRET, "s")


def test_all_keys_are_files_and_the_later_source_counts() -> None:
    assert found(CONFIG, SECRET) == {"a": Content(b"A", 0o644), "b": Content(b"secret", 0o644)}
    assert found(SECRET, CONFIG)["b"].data == b"B"


def test_some_keys_at_places_and_with_modes_of_their_own() -> None:
    items = (File("d/x", key="a", mode=0o400), File("y", key="b"))
    assert found(VolumeSource(SourceKind.CONFIG_MAP, "c", items), mode=0o600) == {
        "d/x": Content(b"A", 0o400),
        "y": Content(b"B", 0o600),
    }


def test_what_is_not_there_is_an_error_unless_it_is_optional() -> None:
    missing = VolumeSource(SourceKind.SECRET, "none")
    with pytest.raises(NotThere, match='cannot write volume v: secret "none" not found'):
        found(missing)
    no_key = VolumeSource(SourceKind.CONFIG_MAP, "c", (File("x", key="z"),))
    with pytest.raises(NotThere, match="configmap references non-existent config key: z"):
        found(no_key)
    optional = [VolumeSource(s.kind, s.name, s.files, optional=True) for s in (missing, no_key)]
    assert found(*optional) == {}


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


MINE = Owners(os.geteuid(), os.getegid())


def seen(top: Path) -> dict[str, str]:
    """Every file that a container sees, through the links."""
    found = {}
    for name in sorted(path.name for path in top.iterdir() if not path.name.startswith("..")):
        start = top / name
        paths = [p for p in start.rglob("*") if p.is_file()] if start.is_dir() else [start]
        found |= {str(path.relative_to(top)): path.read_text() for path in paths}
    return found


def contents(**files: str) -> dict[str, Content]:
    return {path.replace("__", "/"): Content(text.encode(), 0o640) for path, text in files.items()}


def test_a_volume_is_laid_out_as_the_kubelet_does_it(volume: int, tmp_path: Path) -> None:
    swap.write(volume, contents(a="1", d__b="2", d__e__c="3"), MINE)
    assert seen(tmp_path) == {"a": "1", "d/b": "2", "d/e/c": "3"}
    assert {str((tmp_path / name).readlink()) for name in ("a", "d")} == {"..data/a", "..data/d"}
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o755
    version = (tmp_path / "..data").readlink()
    swap.write(volume, contents(a="1", d__b="2", d__e__c="3"), MINE)
    assert (tmp_path / "..data").readlink() == version, "nothing changed"
    swap.write(volume, contents(a="new", x="9"), MINE)
    assert seen(tmp_path) == {"a": "new", "x": "9"}
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        ["..data", str((tmp_path / "..data").readlink()), "a", "x"]
    )
    swap.write(volume, {}, MINE)
    assert seen(tmp_path) == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_fs_group_may_read(volume: int, tmp_path: Path) -> None:
    files = {"a": Content(b"1", 0o400), "d/b": Content(b"2", 0o644)}
    swap.write(volume, files, Owners(0, 33, shared=True))
    info = {path: (tmp_path / path).stat() for path in (".", "a", "d", "d/b")}
    assert {path: (i.st_gid, f"{stat.S_IMODE(i.st_mode):o}") for path, i in info.items()} == {
        ".": (33, "2750"), "a": (33, "440"), "d": (33, "2755"), "d/b": (33, "644")
    }  # fmt: skip
    swap.write(volume, files, Owners(0, 44, shared=True))
    assert (tmp_path / "a").stat().st_gid == 44


class Killed(Exception):
    """In place of the process' end."""


@pytest.mark.parametrize("call", ["mkdir", "open", "symlink", "rename", "unlink", "rmtree"])
def test_killed_anywhere_it_shows_one_version_and_the_next_one_goes_on(
    call: str, volume: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first, second… of each of its calls: what is seen is all old or all new; the next write is as if
    nothing had been."""
    old, new = contents(a="1", b="1", gone="1"), contents(a="2", b="2", more__x="2")
    module = swap.shutil if call == "rmtree" else os
    real, after = getattr(module, call), 0
    while True:
        swap.write(volume, old, MINE)
        left = [after]

        def stop(*args: object, left: list[int] = left, **kwargs: object) -> object:
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return real(*args, **kwargs)

        monkeypatch.setattr(module, call, stop)
        try:
            swap.write(volume, new, MINE)
        except Killed:
            killed = True
        else:
            killed = False
        monkeypatch.setattr(module, call, real)
        assert {(tmp_path / name).read_text() for name in ("a", "b")} in ({"1"}, {"2"})
        swap.write(volume, new, MINE)
        assert seen(tmp_path) == {"a": "2", "b": "2", "more/x": "2"}
        assert len([p for p in tmp_path.iterdir() if p.name.startswith("..")]) == 2
        if not killed:
            break
        after += 1
    assert after, "it was killed at least once"


def test_the_swap_is_an_effect() -> None:
    assert "files.swap" in effects.points()
