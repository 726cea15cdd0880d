"""Good manifests as accidents leave them: flipped bytes, lines lost, doubled or swapped, ends cut off. Whatever comes
of it is told as a problem of the file (or is a manifest), never as a mistake of ours, and quickly."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.kube import Loaded, load
from reconciler.kube.problem import Reason

MANIFESTS = Path(__file__).resolve().parents[3] / "manifests"
SECONDS = 1.0
"""Of the processor's time for one manifest; usually it takes a thousandth of one."""


def flipped(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def lost(data: bytes, chance: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    del lines[chance.randrange(len(lines))]
    return b"".join(lines)


def doubled(data: bytes, chance: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    at = chance.randrange(len(lines))
    return b"".join([*lines[: at + 1], lines[at], *lines[at + 1 :]])


def swapped(data: bytes, chance: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    a, b = chance.randrange(len(lines)), chance.randrange(len(lines))
    lines[a], lines[b] = lines[b], lines[a]
    return b"".join(lines)


def cut(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data))]


def indented(data: bytes, chance: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    at = chance.randrange(len(lines))
    lines[at] = chance.choice([b" ", b"  ", b"\t", b"- ", b"? ", b"&a ", b"*a ", b"!!map ", b"<<: "]) + lines[at]
    return b"".join(lines)


@pytest.mark.parametrize("mutate", [flipped, lost, doubled, swapped, cut, indented])
def test_an_accident_is_a_problem_of_the_file(mutate: Callable[[bytes, random.Random], bytes]) -> None:
    chance = random.Random(mutate.__name__)
    originals = [path.read_bytes() for path in sorted(MANIFESTS.glob("*.yaml"))]
    assert len(originals) >= 3
    for number in range(340):
        data = mutate(originals[number % len(originals)], chance)
        began = time.thread_time()
        loaded = load("a.yaml", data)
        assert time.thread_time() - began < SECONDS, data
        told(loaded, data)


def told(loaded: Loaded, data: bytes) -> None:
    """The problems are a user's, each in one printable line with a place."""
    assert isinstance(loaded, Loaded)
    for problem in loaded.problems:
        assert problem.reason is not Reason.INTERNAL, (problem, data)
        assert problem.line >= 1, (problem, data)
        assert str(problem).isprintable(), (problem, data)
    if not loaded.complete or loaded.keys_in_error:
        assert loaded.problems, data
