"""Which ids of the machine a pod's user namespace gets."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.engine import users
from reconciler.model.errors import HostUnfit

TWO = ((1 << 20, 2 * 65536),)


@given(st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=4, max_size=4), st.integers(1, 40))
def test_no_two_pods_have_an_id_in_common(tag: str, count: int) -> None:
    taken: set[int] = set()
    for _ in range(count):
        taken.add(users.choose(((100_000, 41 * 65536),), taken, tag))
    ordered = sorted(taken)
    assert len(ordered) == count
    assert all(b - a >= 65536 for a, b in itertools.pairwise(ordered))
    assert ordered[0] >= 100_000 and ordered[-1] + 65536 <= 100_000 + 41 * 65536


def test_instances_begin_at_different_places() -> None:
    whole = (users.FALLBACK,)
    assert len({users.choose(whole, set(), tag) for tag in ("abcd", "bcde", "cdef", "2345")}) == 4


def test_when_none_is_free_it_is_told_what_helps() -> None:
    taken = {users.choose(TWO, set(), "abcd")}
    taken.add(users.choose(TWO, taken, "abcd"))
    with pytest.raises(HostUnfit, match="none of the 2 ranges of 65536 ids is free") as refused:
        users.choose(TWO, taken, "abcd")
    assert "userns_ids" in refused.value.hint


def test_a_range_that_overlaps_by_one_id_is_taken() -> None:
    assert users.choose(TWO, {(1 << 20) - 65535}, "abcd") == (1 << 20) + 65536


@pytest.fixture
def subids(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Path, Path]:
    paths = (tmp_path / "subuid", tmp_path / "subgid")
    monkeypatch.setattr(users, "SUBIDS", paths)
    return paths


def test_the_setting_wins(subids: tuple[Path, Path]) -> None:
    assert users.ranges("100000:65536") == ((100000, 65536),)


@pytest.mark.parametrize("text", ["0:65536", "100000:65535", "4294900000:70000"])
def test_a_setting_that_cannot_be_meant_is_refused(text: str, subids: tuple[Path, Path]) -> None:
    with pytest.raises(HostUnfit, match=f"cannot use userns_ids {text}"):
        users.ranges(text)


def test_ids_that_were_given_to_containers_or_the_kubelet_are_ours(subids: tuple[Path, Path]) -> None:
    for path in subids:
        path.write_text("me:100000:65536\ncontainers:2147483648:1000000\nnonsense\n")
    assert users.ranges(None) == ((2147483648, 1000000),)
    subids[1].write_text("containers:5:1000000\n")
    assert users.ranges(None) == (users.FALLBACK,)


def test_ids_that_others_have_are_left_to_them(subids: tuple[Path, Path]) -> None:
    begin, count = users.FALLBACK
    assert users.ranges(None) == (users.FALLBACK,)
    subids[1].write_text(f"me:{begin + 70000}:10\nyou:{begin + count - 5}:100\n")
    (first, before), (second, after) = users.ranges(None)
    assert (first, before) == (begin, 70000)
    assert (second, second + after) == (begin + 70010, begin + count - 5)


def test_the_first_closed_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    for path in (tmp_path, tmp_path / "a", tmp_path / "a/b"):
        path.chmod(0o711)
    (tmp_path / "a").chmod(0o710)
    found = users.closed(tmp_path / "a/b")
    assert found is not None and (found == tmp_path / "a" or found in tmp_path.parents)
