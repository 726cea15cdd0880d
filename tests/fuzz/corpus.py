"""What is mutated: the example manifests, an export of kubectl's, and a few that say one of everything."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]


@dataclass(frozen=True, slots=True)
class Seed:
    """A manifest that is good; ``trees`` are its documents as plain values, of text that PyYAML can read."""

    name: str
    text: bytes
    trees: tuple[Any, ...]


@cache
def seeds() -> tuple[Seed, ...]:
    paths = [*(CHECKOUT / "manifests").glob("*.yaml"), CHECKOUT / "tests/unit/kube/export.yaml", *HERE.glob("corpus/*")]
    return tuple(_seed(path) for path in sorted(paths))


def _seed(path: Path) -> Seed:
    import yaml

    text = path.read_bytes()
    documents = [json.loads(text)] if path.suffix == ".json" else list(yaml.load_all(text, yaml.CSafeLoader))
    # Anything that JSON has no word for (a time, bytes) is what a reader of another kind than ours makes of it.
    plain = tuple(json.loads(json.dumps(document, default=str)) for document in documents)
    return Seed(path.name, text, plain)
