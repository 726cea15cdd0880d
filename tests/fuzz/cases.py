"""The inputs: one for each number of a run's seed, the same each time and on each machine."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any

from reconciler.model.strictness import Strictness
from tests.fuzz import bombs, text, trees
from tests.fuzz.corpus import Seed, seeds


@dataclass(frozen=True, slots=True)
class Case:
    """A file of a folder, and how it is read. ``original``: the manifest that it was, "" for none. ``beside``: another
    file of the same folder, with what ``data`` may refer to."""

    name: str
    data: bytes
    strictness: Strictness = Strictness.STRICT
    original: str = ""
    beside: str = ""
    in_folder: bool = False


def case(seed: int, number: int) -> Case:
    """Input ``number`` of run ``seed``."""
    chance = random.Random(f"{seed}:{number}")
    start, other = _pick(chance), _pick(chance)
    data, suffix = _data(start, other, chance)
    return Case(
        name=f"mutated.{suffix}",
        data=data,
        strictness=chance.choice(tuple(Strictness)),
        original=start.name,
        beside=other.name,
        in_folder=chance.random() < 0.02,
    )


def _pick(chance: random.Random) -> Seed:
    """Small ones more often: they are as good at most things, and quicker."""
    some = chance.choices(seeds(), k=4)
    return min(some, key=lambda seed: len(seed.text))


def _data(start: Seed, other: Seed, chance: random.Random) -> tuple[bytes, str]:
    suffix = "json" if start.name.endswith("json") and chance.random() < 0.8 else "yaml"
    what = chance.random()
    if what < 0.5:
        return text.mutated(start.text, other.text, chance), suffix
    if what < 0.52:
        return bombs.bomb(chance), suffix
    if what < 0.8:
        made = [trees.mutated(tree, chance) if chance.random() < 0.7 else tree for tree in start.trees]
    else:
        made = [trees.grown(chance)]
    written = _written(made, suffix, chance)
    if chance.random() < 0.1:
        written = text.mutated(written, other.text, chance)
    return written, suffix


def _written(documents: list[Any], suffix: str, chance: random.Random) -> bytes:
    if chance.random() < 0.2 and suffix == "yaml":
        try:
            return _yaml(documents)
        except (UnicodeEncodeError, RecursionError):
            pass  # half of a surrogate pair, or too deep for PyYAML: JSON has a way to write that
    escaped = chance.random() < 0.7
    parts = [json.dumps(document, ensure_ascii=escaped) for document in documents]
    between = "\n" if suffix == "json" else "\n---\n"
    return between.join(parts).encode(errors="surrogatepass")


def _yaml(documents: list[Any]) -> bytes:
    import yaml

    return yaml.dump_all(documents, Dumper=yaml.CSafeDumper, allow_unicode=True, width=1000).encode()
