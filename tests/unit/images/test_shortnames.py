"""Which registries a short name means."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.engine.images import shortnames
from reconciler.engine.images.reference import DEFAULT_REGISTRY, parse
from reconciler.engine.images.shortnames import ShortNames, short_names

Write = Callable[[str, str], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """A machine without settings, and a way to write some: below "system" or "user"."""
    monkeypatch.setattr(shortnames, "_SYSTEM", tmp_path / "system")
    monkeypatch.setattr(shortnames, "_USER", tmp_path / "user")
    monkeypatch.delenv("CONTAINERS_REGISTRIES_CONF", raising=False)

    def write(name: str, content: str) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)

    return write


def candidates(text: str, names: ShortNames) -> list[str]:
    return [str(candidate) for candidate in names.candidates(parse(text))]


def test_without_settings_it_means_the_local_image_first_then_the_default_registry() -> None:
    nothing = ShortNames()
    assert candidates("busybox:1", nothing) == ["localhost/busybox:1", f"{DEFAULT_REGISTRY}/library/busybox:1"]
    assert candidates("team/app", nothing) == ["localhost/team/app:latest", f"{DEFAULT_REGISTRY}/team/app:latest"]


def test_an_alias_decides_where_to_fetch_from() -> None:
    names = ShortNames({"app": "r.test:5000/team/app"}, ("s.test",))
    assert [str(r) for r in names.registries(parse("app:2"))] == ["r.test:5000/team/app:2"]
    assert candidates("app:2", names)[:2] == ["localhost/app:2", "r.test:5000/team/app:2"]


def test_search_registries_are_asked_in_their_order() -> None:
    names = ShortNames(search=("s.test", DEFAULT_REGISTRY))
    found = [str(r) for r in names.registries(parse("app"))]
    assert found == ["s.test/app:latest", f"{DEFAULT_REGISTRY}/library/app:latest"]


def test_a_full_name_means_itself() -> None:
    names = ShortNames({"x": "r.test/y"}, ("s.test",))
    assert candidates("localhost/x:1", names) == ["localhost/x:1"]
    assert [str(r) for r in names.registries(parse("q.test/x"))] == ["q.test/x:latest"]


def test_files_are_read_as_they_overrule_each_other_and_again_when_they_change(write: Write) -> None:
    assert short_names() == ShortNames()
    write("system/registries.conf", 'unqualified-search-registries = ["a.test"]\n[aliases]\nx = "a.test/x"\n')
    assert short_names() == ShortNames({"x": "a.test/x"}, ("a.test",))
    write("system/registries.conf.d/1.conf", '[aliases]\nx = "b.test/x"\ny = "b.test/y"\n')
    assert short_names() == ShortNames({"x": "b.test/x", "y": "b.test/y"}, ("a.test",))
    write("user/registries.conf", 'unqualified-search-registries = ["c.test"]')
    assert short_names() == ShortNames({"x": "b.test/x", "y": "b.test/y"}, ("c.test",))
    write("user/registries.conf.d/1.conf", '[aliases]\nx = ""\n')
    assert [str(r) for r in short_names().registries(parse("x"))] == ["c.test/x:latest"]


def test_the_environment_names_another_file(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("system/registries.conf", 'unqualified-search-registries = ["a.test"]')
    write("own.conf", 'unqualified-search-registries = ["b.test"]')
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(tmp_path / "own.conf"))
    assert short_names().search == ("b.test",)


@pytest.mark.parametrize(
    "content",
    ["[[[", "unqualified-search-registries = 5", '[aliases]\nx = "no registry"\ny = 5', "aliases = 3", "\xff"],
)
def test_what_makes_no_sense_is_as_if_it_were_absent(write: Write, content: str) -> None:
    write("system/registries.conf", content)
    assert short_names() == ShortNames()
