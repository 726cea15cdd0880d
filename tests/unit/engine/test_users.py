"""Which ids of the machine a pod's user namespace gets."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.engine import idmaps, locks, users
from reconciler.model.errors import Busy, HostUnfit

IDS = 65536
LOWER, UPPER = 1 << 20, (1 << 20) + IDS
TWO = ((LOWER, 2 * IDS),)


@given(st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=4, max_size=4), st.integers(1, 40))
def test_no_two_pods_have_an_id_in_common(tag: str, count: int) -> None:
    taken: set[users.Range] = set()
    for _ in range(count):
        taken.add((users.choose(((100_000, 41 * 65536),), taken, tag), IDS))
    ordered = sorted(first for first, _ in taken)
    assert len(ordered) == count
    assert all(b - a >= 65536 for a, b in itertools.pairwise(ordered))
    assert ordered[0] >= 100_000 and ordered[-1] + 65536 <= 100_000 + 41 * 65536


def test_instances_begin_at_different_places() -> None:
    whole = (users.FALLBACK,)
    assert len({users.choose(whole, set(), tag) for tag in ("abcd", "bcde", "cdef", "2345")}) == 4


def test_when_none_is_free_it_is_told_what_helps() -> None:
    taken = {(users.choose(TWO, set(), "abcd"), IDS)}
    taken.add((users.choose(TWO, taken, "abcd"), IDS))
    with pytest.raises(HostUnfit, match="none of the 2 ranges of 65536 ids is free") as refused:
        users.choose(TWO, taken, "abcd")
    assert "userns_ids" in refused.value.hint


@pytest.mark.parametrize(
    ("others", "first"),
    [
        pytest.param({(LOWER - 9, 9), (UPPER + IDS, 9)}, UPPER, id="beside it"),
        pytest.param({(UPPER, 1)}, LOWER, id="its first"),
        pytest.param({(UPPER + IDS - 1, 1000)}, LOWER, id="its last"),
        pytest.param({(UPPER + 7, 1)}, LOWER, id="one within"),
        pytest.param({(LOWER - 9, 10)}, UPPER, id="one of the other's"),
        pytest.param({(UPPER - 1, 2)}, None, id="one of each"),
        pytest.param({(0, 1 << 32)}, None, id="all"),
    ],
)
def test_a_range_that_somebody_has_one_id_of_is_taken(others: set[users.Range], first: int | None) -> None:
    if first is not None:
        assert users.choose(TWO, others, "abcd") == first
    else:
        with pytest.raises(HostUnfit):
            users.choose(TWO, others, "abcd")


@given(st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=4, max_size=4))
def test_the_lowest_which_podman_gives_out_are_taken_last(tag: str) -> None:
    allowed, taken = ((0, 8 * IDS),), set[users.Range]()
    for _ in range(8):
        taken.add((users.choose(allowed, taken, tag), IDS))
        assert len(taken) <= 4 or min(taken) == ((8 - len(taken)) * IDS, IDS)
    assert len(taken) == 8


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


def test_what_processes_have_is_in_use(tmp_path: Path) -> None:
    """Our own are not, nor those mapped to themselves; a process may end while it is looked at."""
    process(tmp_path / "self", "mine", "0 0 4294967295")
    process(tmp_path / "1", "mine", "0 0 4294967295")
    process(tmp_path / "20", "podman's", "0 2147483648 1024", "0 2147483650 1024")
    process(tmp_path / "21", "podman's", "0 2147483648 1024", "0 2147483650 1024")
    process(tmp_path / "30", "systemd's", "         0          0         65536\n 70000 90000 5")
    (tmp_path / "40").mkdir()
    (tmp_path / "sys").mkdir()
    found = set(idmaps.of_processes(tmp_path))
    assert found == {(2147483648, 1024), (2147483650, 1024), (90000, 5)}


def process(place: Path, namespace: str, uids: str, gids: str | None = None) -> None:
    """One in a namespace that others with its name share."""
    (place / "ns").mkdir(parents=True)
    shared = place.parent / f"namespace of {namespace}"
    shared.touch()
    (place / "ns/user").hardlink_to(shared)
    (place / "uid_map").write_text(f"{uids}\n")
    (place / "gid_map").write_text(f"{gids or uids}\n")


def test_what_podmans_containers_have_on_record_is_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lasting, passing = tmp_path / "graph/overlay-containers", tmp_path / "run/overlay-containers"
    for place in (lasting, passing):
        place.mkdir(parents=True)
    (tmp_path / "storage.conf").write_text(f'[storage]\ngraphroot = "{lasting.parent}"\nrunroot = "{passing.parent}"\n')
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", str(tmp_path / "storage.conf"))
    one = {"uidmap": [{"container_id": 0, "host_id": 5000, "size": 10}], "gidmap": None}
    odd = [{"uidmap": "x"}, {"uidmap": [7, {"host_id": "1", "size": 2}]}, 3, {"gidmap": [{"host_id": 1, "size": 2}]}]
    (lasting / "containers.json").write_text(json.dumps([one, *odd]))
    (passing / "volatile-containers.json").write_text("[{")
    assert set(idmaps.of_podman()) == {(5000, 10), (1, 2)}


def test_another_instance_is_waited_for_but_not_for_ever(tmp_path: Path) -> None:
    with (
        locks.among_instances(tmp_path, "do it"),
        pytest.raises(Busy, match=r"cannot do it: another instance .* is locked"),
        locks.among_instances(tmp_path, "do it", patience=0),
    ):
        raise AssertionError("both have it")
    with locks.among_instances(tmp_path, "do it", patience=0):
        pass
