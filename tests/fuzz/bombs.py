"""Texts that are small and mean much: aliases of aliases, merges of merges, depth, width, long words."""

from __future__ import annotations

import random


def bomb(chance: random.Random) -> bytes:
    return chance.choice((_laughs, _merges, _deep, _wide, _long, _recursive, _many_documents, _keys))(chance).encode()


def _laughs(chance: random.Random) -> str:
    levels, width = chance.choice((3, 9, 30, 90)), chance.choice((2, 9, 40))
    rows = ["a0: &a0 [" + ", ".join(["lol"] * width) + "]"]
    for level in range(1, levels):
        inner = ", ".join([f"*a{level - 1}"] * width)
        rows.append(f"a{level}: &a{level} " + (f"[{inner}]" if chance.random() < 0.7 else f"{{x: [{inner}]}}"))
    return _pod("\n".join(rows), f"*a{levels - 1}")


def _merges(chance: random.Random) -> str:
    levels, width = chance.choice((3, 9, 30)), chance.choice((2, 9, 100))
    rows = ["m0: &m0 {" + ", ".join(f"k{n}: v" for n in range(width)) + "}"]
    for level in range(1, levels):
        inner = ", ".join([f"*m{level - 1}"] * width)
        rows.append(f"m{level}: &m{level} {{<<: [{inner}], n{level}: 1}}")
    return _pod("\n".join(rows), f"*m{levels - 1}")


def _deep(chance: random.Random) -> str:
    depth = chance.choice((50, 95, 101, 1000, 20_000))
    opened, closed = chance.choice(
        (("[", "]"), ("{a: ", "}"), ('{"a":', "}"), ("- ", ""), ("? ", ""), ("!!seq [", "]"))
    )
    return _pod("", opened * depth + "1" + closed * chance.choice((0, depth, depth - 1)))


def _wide(chance: random.Random) -> str:
    count = chance.choice((100, 3000, 20_000))
    one = chance.choice(("1", "{}", "[]", "{name: a, image: b}", "a", "~", "{name: a, containerPort: 80}"))
    return _pod("", "[" + ", ".join([one] * count) + "]")


def _long(chance: random.Random) -> str:
    piece = chance.choice(
        ("x", "9", "é", "\U0001f600", "a/", "$(A)", "$$", "..", "-", "a b ", "\\n", "1_", "{", ":", "a: ")
    )
    text = piece * chance.choice((300, 5000, 100_000))
    quote = chance.choice(("", '"', "'", "|\n    "))
    return _pod("", f"{quote}{text}{quote.strip('|' + chr(10) + ' ')}")


def _recursive(chance: random.Random) -> str:
    return _pod(
        "",
        chance.choice(("&a [*a]", "&a {a: *a}", "&a {<<: *a}", "&a {*a : *a}", "&a [&b [*a, *b]]", "{? &a [1] : *a}")),
    )


def _many_documents(chance: random.Random) -> str:
    one = chance.choice(("---\n", "--- a\n", "...\n", "---\nkind: Pod\n", _pod("", "[]") + "---\n", "--- !!map {}\n"))
    return one * chance.choice((2, 100, 1500))


def _keys(chance: random.Random) -> str:
    count = chance.choice((10, 1000, 20_000))
    name = chance.choice(("a", "k{n}", "? [{n}]", "{n}", "*a", "'{n}'", "<<"))
    return "\n".join(f"{name.replace('{n}', str(n))} : {n}" for n in range(count))


_PLACES = ("command", "args", "env", "ports", "volumeMounts", "resources", "securityContext", "image", "name")


def _pod(before: str, value: str) -> str:
    """A pod that has ``value`` for the environment of its container, behind what it refers to."""
    place = _PLACES[len(value) % len(_PLACES)]
    head = f"{before}\n" if before else ""
    rest = f"spec:\n  containers:\n  - name: a\n    image: b\n    {place}: {value}\n"
    return f"{head}apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\n{rest}"
