"""Manifests read less strictly (``--strictness warn`` and ``ignore``): what is not known, or not supported, is left out
and the rest is checked as ever, so what is missing then is an error. Pure.

With it goes what would mean something else: a volume that no source is left of, with its mounts (it would be an empty
directory), and a variable whose value was to come from what is not supported (it would be empty).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from reconciler.kube.cluster import drop_volumes
from reconciler.kube.problem import Flaw, Path, Reason
from reconciler.model.strictness import Strictness

Check = Callable[[Any], tuple[list[Flaw], bool]]
"""What is wrong with a document, and whether that is all."""

Lost = frozenset[Path]
"""Items of lists that are to go with what was left out of them."""

LEFT_OUT = " (left out)"

ROUNDS = 4
"""How often a document is checked again: a check may end before it has found all, and nobody means a manifest with
hundreds of unknown fields."""

_REFUSED = (Reason.UNKNOWN_FIELD, Reason.NOT_SUPPORTED)


def check_without(document: Any, check: Check, strictness: Strictness) -> tuple[list[Flaw], bool, Lost]:
    """What ``check`` finds, and whether that is all. Unless ``strictness`` is strict, what is not known or not
    supported is taken out of the document, in place, and told as ``strictness`` has it; ``drop`` takes what is lost."""
    left_out: list[Flaw] = []
    lost: Lost = frozenset()
    found, whole = check(document)
    if strictness is Strictness.STRICT:
        return found, whole, lost
    for _ in range(ROUNDS):
        refused = [flaw for flaw in found if _is_refused(flaw)]
        if not prune(document, refused):
            break
        left_out += refused
        lost |= _lost_with(refused, document)
        found, whole = check(document)
    return [*soften(left_out, strictness), *heard(found, strictness)], whole, lost


def soften(flaws: Iterable[Flaw], strictness: Strictness) -> list[Flaw]:
    """The flaws of what is left out, as ``strictness`` has them."""
    if strictness is Strictness.STRICT:
        return list(flaws)
    if strictness is Strictness.IGNORE:
        return []
    return [replace(flaw, message=flaw.message + LEFT_OUT, warning=True) for flaw in flaws]


def prune(document: Any, flaws: Iterable[Flaw]) -> bool:
    """Take out, in place, what has a flaw, so that what looks next finds the right type or nothing; whether there was
    anything to take out."""
    pruned = False
    for flaw in flaws:
        if flaw.reason is Reason.MISSING_FIELD or not flaw.at:
            continue
        parent, last = _at(document, flaw.at[:-1]), flaw.at[-1]
        if isinstance(parent, list) and isinstance(last, int) and last < len(parent):
            parent[last], pruned = None, True
        elif isinstance(parent, dict) and last in parent:
            del parent[last]
            pruned = True
    return pruned


def drop(pod: dict[str, Any], lost: Lost) -> None:
    """Take out of a pod, in place, what is lost: when nothing is looked up by its place any more."""
    volumes = [_at(pod, path) for path in lost if path[:2] == ("spec", "volumes")]
    drop_volumes(pod, frozenset(volume["name"] for volume in volumes))
    for path in sorted((path for path in lost if path[:2] != ("spec", "volumes")), reverse=True):
        del _at(pod, path[:-1])[path[-1]]


def _is_refused(flaw: Flaw) -> bool:
    return flaw.reason in _REFUSED and not flaw.warning


def heard(flaws: Iterable[Flaw], strictness: Strictness) -> list[Flaw]:
    """Without the warnings of what has no effect, where nobody wants to hear of it."""
    quiet = strictness is Strictness.IGNORE
    return [flaw for flaw in flaws if not (quiet and flaw.warning and flaw.reason in _REFUSED)]


def _lost_with(refused: Iterable[Flaw], document: Any) -> Lost:
    """The volumes and variables of which nothing but the name is left. A variable keeps its place as an empty one."""
    lost = set()
    for flaw in refused:
        match flaw.at:
            case ("spec", "volumes", int(), _, *_):
                path = flaw.at[:3]
            case ("spec", str(), int(), "env", int(), "valueFrom", *_):
                path = flaw.at[:5]
            case _:
                continue
        item = _at(document, path)
        if isinstance(item, dict) and item.get("valueFrom") == {}:
            del item["valueFrom"]
        if isinstance(item, dict) and item.keys() == {"name"}:
            lost.add(path)
    return frozenset(lost)


def _at(document: Any, path: Path) -> Any:
    """The value at ``path``, or None."""
    for part in path:
        try:
            document = document[part]
        except (KeyError, IndexError, TypeError):
            return None
    return document
