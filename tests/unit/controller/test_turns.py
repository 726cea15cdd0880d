"""The last word on a source counts, whoever gave it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reconciler.controller.turns import DOWN, UP, Turns
from reconciler.model.errors import Overtaken
from reconciler.model.key import SourceId

ONE, OTHER = SourceId("dir:/one"), SourceId("dir:/other")


def test_a_later_contrary_word_counts(tmp_path: Path) -> None:
    first = Turns(tmp_path, [ONE], UP)
    first.check()
    second = Turns(tmp_path, [ONE], DOWN)
    second.check()
    with pytest.raises(Overtaken, match=rf"cannot go on with apply: `down` of /one \(pid {os.getpid()}\) came later"):
        first.check()


def test_who_wants_the_same_is_no_rival(tmp_path: Path) -> None:
    first, second = Turns(tmp_path, [ONE], UP), Turns(tmp_path, [ONE], UP)
    first.check()
    second.check()


def test_an_earlier_word_means_nothing_to_a_later_command(tmp_path: Path) -> None:
    Turns(tmp_path, [ONE], DOWN)
    Turns(tmp_path, [ONE], UP).check()


def test_words_are_about_one_source(tmp_path: Path) -> None:
    first = Turns(tmp_path, [ONE, OTHER], UP)
    Turns(tmp_path, [SourceId("dir:/third")], DOWN)
    first.check()
    Turns(tmp_path, [OTHER], DOWN)
    with pytest.raises(Overtaken, match="/other"):
        first.check()


@pytest.mark.parametrize("found", [b"", b"{", b"[]", b'{"number": "x"}', b"\0" * 80])
def test_a_damaged_word_is_before_all_others(found: bytes, tmp_path: Path) -> None:
    first = Turns(tmp_path, [ONE], UP)
    (file,) = tmp_path.iterdir()
    file.write_bytes(found)
    first.check()
    Turns(tmp_path, [ONE], UP).check()


def test_a_place_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    Turns(tmp_path / "file" / "below", [ONE], DOWN).check()
