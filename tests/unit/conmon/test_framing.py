"""Requests to the zygote: packed, cut into packets, unpacked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conmon import framing
from conmon.framing import PACKET, Request

WORD = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=10)
NAME = st.text(st.characters(exclude_characters="\0=", codec="utf-8"), min_size=1, max_size=10)
NUMBER = st.integers(0, 1000)


@given(
    st.lists(WORD, max_size=6),
    st.dictionaries(NAME, WORD, max_size=4),
    WORD,
    st.lists(NUMBER, max_size=4),
    st.lists(st.tuples(NUMBER, st.integers(-1, 2**62), st.integers(-1, 2**62)), max_size=3),
)
def test_what_is_packed_is_unpacked(
    argv: list[str], env: dict[str, str], cwd: str, targets: list[int], rlimits: list[tuple[int, int, int]]
) -> None:
    request = Request(argv, env, cwd, targets, rlimits)
    assert vars(framing.unpack(framing.pack(request))) == vars(request)


def test_arguments_that_are_not_utf8_survive() -> None:
    word = b"\xff\xfe".decode(errors="surrogateescape")
    assert framing.unpack(framing.pack(Request([word], {}, "/", [], []))).argv == [word]


@pytest.mark.parametrize("cut", [0, 1, 5, -1, -4])
def test_a_request_cut_short_is_refused(cut: int) -> None:
    body = framing.pack(Request(["a", "b"], {"X": "y"}, "/", [3], [(7, 1, 2)]))
    with pytest.raises(ValueError):
        framing.unpack(body[:cut])


@pytest.mark.parametrize(
    ("size", "fds", "packets"),
    [(0, 0, 1), (1, 2, 1), (PACKET, 2, 1), (PACKET + 1, 2, 2), (3 * PACKET, 2, 3), (5000, 250, 1), (5000, 1003, 5)],
)
def test_packets(size: int, fds: int, packets: int) -> None:
    """No packet is empty but the only one: an empty one reads as the end."""
    body, numbers = os.urandom(size), list(range(fds))
    made = framing.packets(body, numbers)
    assert len(made) == packets
    assert b"".join(packet for packet, _ in made) == body
    assert [fd for _, some in made for fd in some] == numbers
    assert all(len(packet) <= PACKET and len(some) <= framing.MOST_FDS for packet, some in made)
    assert packets == 1 or all(packet for packet, _ in made)


def test_greeting() -> None:
    assert framing.read_greeting(framing.greeting("1-2-3", 17)) == ("1-2-3", 17)


@pytest.mark.parametrize("packet", [b"", b"hello 1 2", b"conmon 1", b"conmon 1 x", b"\xff"])
def test_not_a_greeting(packet: bytes) -> None:
    with pytest.raises(ValueError):
        framing.read_greeting(packet)


def test_version_changes_with_any_source_file(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "a.py").write_text("1")
    before = framing.version(str(tmp_path))
    assert framing.version(str(tmp_path)) == before
    (tmp_path / "logs" / "b.py").write_text("2")
    after = framing.version(str(tmp_path))
    replacement = tmp_path / "new"
    replacement.write_text("3")
    replacement.rename(tmp_path / "a.py")
    assert len({before, after, framing.version(str(tmp_path))}) == 3
