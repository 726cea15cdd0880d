"""``--label`` and ``--label-file``: free words to know a pod or a container by."""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.flags.env import lines
from reconciler.model.errors import InvalidInput
from reconciler.model.spec import Pairs


def labels(words: Iterable[str], files: Iterable[tuple[str, str]] = ()) -> Pairs:
    """``files`` (name and text) in their order, then ``words``; ``KEY`` alone has an empty value.

    Raises InvalidInput.
    """
    found: dict[str, str] = {}
    for name, text in files:
        for number, line in lines(text):
            found |= _label(line, f"{name}, line {number}")
    for word in words:
        found |= _label(word, f"--label {word!r}")
    return tuple(sorted(found.items()))


def _label(text: str, where: str) -> dict[str, str]:
    key, _, value = text.partition("=")
    if not key.strip():
        raise InvalidInput(f"cannot set a label ({where}): it has no key", hint="write KEY=VALUE")
    return {key: value}
