"""Mutations of a manifest's text: bytes, lines, and pieces of other manifests."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.fuzz.words import NAMES, QUANTITIES, TEXTS, TOKENS

Mutation = Callable[[bytes, bytes, random.Random], bytes]
"""Of a text; the second is another manifest to take from."""

LARGEST = 200_000
"""Bytes that repeating may come to."""


def flip(data: bytes, other: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def set_bytes(data: bytes, other: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        changed[chance.randrange(len(changed))] = chance.choice((0, 9, 10, 13, 27, 32, 34, 39, 127, 133, 192, 255))
    return bytes(changed)


def truncate(data: bytes, other: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] if chance.random() < 0.8 else data[at:]


def cut(data: bytes, other: bytes, chance: random.Random) -> bytes:
    start, end = _span(data, chance)
    return data[:start] + data[end:]


def repeat(data: bytes, other: bytes, chance: random.Random) -> bytes:
    start, end = _span(data, chance)
    most = LARGEST // max(end - start, 1)
    times = min(chance.choice((2, 2, 3, 10, 100, 2000)), most)
    return data[:start] + data[start:end] * times + data[end:]


def splice(data: bytes, other: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data))] + other[chance.randrange(len(other)) :]


def transplant(data: bytes, other: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    start, end = _span(other, chance)
    return data[:at] + other[start:end] + data[at:]


def insert(data: bytes, other: bytes, chance: random.Random) -> bytes:
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(data) + 1)
        data = data[:at] + chance.choice(TOKENS) + data[at:]
    return data


def lines(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """Lines lost, doubled, swapped, moved, indented."""
    rows = data.splitlines(keepends=True)
    for _ in range(chance.randint(1, 3)):
        a, b = chance.randrange(len(rows)), chance.randrange(len(rows))
        match chance.randrange(6):
            case 0 if len(rows) > 1:
                del rows[a]
            case 1:
                rows.insert(b, rows[a])
            case 2:
                rows[a], rows[b] = rows[b], rows[a]
            case 3:
                rows[a] = (
                    chance.choice((b" ", b"  ", b"\t", b"- ", b"? ", b"&a ", b"*a ", b"<<: ", b"!!map ")) + rows[a]
                )
            case 4:
                rows[a] = rows[a].removeprefix(b"  ")
            case _:
                theirs = other.splitlines(keepends=True)
                rows.insert(b, chance.choice(theirs))
    return b"".join(rows)


def values(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """What stands behind a colon, replaced."""
    rows = data.splitlines(keepends=True)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(rows))
        name, colon, _ = rows[at].partition(b": ")
        if colon:
            word = chance.choice(chance.choice((NAMES, QUANTITIES, TEXTS)))
            rows[at] = name + colon + (chance.choice(TOKENS) if chance.random() < 0.4 else word.encode()) + b"\n"
    return b"".join(rows)


ALL: tuple[Mutation, ...] = (
    flip, set_bytes, truncate, cut, repeat, splice, transplant, insert, insert, lines, lines, values, values,
)  # fmt: skip


def mutated(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """A manifest after one to three accidents."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        data = chance.choice(ALL)(data or b"a", other, chance)
    return data[: 2 * LARGEST]


def _span(data: bytes, chance: random.Random) -> tuple[int, int]:
    start = chance.randrange(len(data))
    return start, min(len(data), start + chance.choice((1, 2, 8, 40, 200, 2000)))
