"""The files by which pods are left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.model.errors import TryLater
from reconciler.model.key import Key
from reconciler.sources.suspended import Suspensions

WEB, DOTS = Key("default", "web"), Key("other", "a.b.c")


@pytest.fixture
def suspensions(tmp_path: Path) -> Suspensions:
    return Suspensions(tmp_path / "suspended")


def test_a_word_is_kept_and_taken_back(suspensions: Suspensions) -> None:
    assert suspensions.since(WEB) is None
    assert suspensions.suspend(WEB, 12.5)
    again = Suspensions(suspensions.directory)
    assert (again.since(WEB), again.since(DOTS)) == (12.5, None)
    assert suspensions.resume(WEB)
    assert again.since(WEB) is None


def test_said_twice_the_first_counts(suspensions: Suspensions) -> None:
    assert suspensions.suspend(WEB, 1.0)
    assert not suspensions.suspend(WEB, 2.0)
    assert suspensions.since(WEB) == 1.0
    assert suspensions.resume(WEB)
    assert not suspensions.resume(WEB)


def test_all_of_them(suspensions: Suspensions) -> None:
    assert suspensions.keys() == set()
    for key in (WEB, DOTS):
        suspensions.suspend(key, 1.0)
    (suspensions.directory / ".half-written").write_text("")
    assert suspensions.keys() == {WEB, DOTS}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"since": "then"}', "\xff"])
def test_that_the_file_is_there_is_what_counts(suspensions: Suspensions, text: str) -> None:
    suspensions.suspend(WEB, 1.0)
    (file,) = suspensions.directory.iterdir()
    file.write_bytes(text.encode("latin-1"))
    assert suspensions.since(WEB) == 0.0


def test_what_cannot_be_read_or_written_is_told(suspensions: Suspensions) -> None:
    suspensions.directory.write_text("in the way")
    for ask in (lambda: suspensions.since(WEB), lambda: suspensions.suspend(WEB, 1.0), lambda: suspensions.resume(WEB)):
        with pytest.raises(TryLater, match="default/web"):
            ask()
