"""``$(NAME)`` in env values, command and args, by the kubelet's rules (third_party/forked/golang/expansion).

``$$`` writes one ``$``, so ``$$(NAME)`` stays ``$(NAME)``; a name without a value stays as it was written; an
opening without an end is literal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

_REFERENCE = re.compile(r"\$(?:(\$)|\(([^)]*)\))", re.DOTALL)
_NEEDS_ESCAPE = re.compile(r"\$(?=[$(])")


LONGEST = 128 * 1024 - 1
"""Bytes that Linux passes in one argument or variable (execve(2): MAX_ARG_STRLEN)."""


def expand(text: str, values: Mapping[str, str]) -> str:
    """``text`` with every reference to a name in ``values`` replaced, once (values are not expanded again).

    Raises ValueError where the result is longer than a process can be given.
    """
    size, at, parts = 0, 0, []
    for match in _REFERENCE.finditer(text) if "$" in text else ():
        value = "$" if match[1] else values.get(match[2], match[0])
        parts += [text[at : match.start()], value]
        at = match.end()
        size += len(value)
        if size > LONGEST:
            break
    result = "".join([*parts, text[at:]])
    if len(result.encode()) > LONGEST:
        raise ValueError("is longer than 128 KiB, the most that a process can be given in one string")
    return result


def names_in(text: str) -> set[str]:
    """The names that ``text`` refers to."""
    return {match[2] for match in _REFERENCE.finditer(text) if match[2] is not None}


def expand_env(env: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Variables in order of writing: each sees those before it; of two with one name the later wins."""
    values: dict[str, str] = {}
    for name, text in env:
        values[name] = expand(text, values)
    return values


def expand_strictly(text: str, values: Mapping[str, str]) -> str:
    """``expand``, but a name without a value is an error (subPathExpr; kubelet: ExpandContainerVolumeMounts).

    Raises ValueError.
    """
    for match in _REFERENCE.finditer(text):
        if match[1] is None and match[2] not in values:
            raise ValueError(f'missing value for "{match[2]}"')
    return expand(text, values)


def known_env(container: Mapping[str, Any]) -> dict[str, str] | None:
    """The variables of a container where all of them stand in the manifest; None where some come from elsewhere."""
    env = [entry for entry in container.get("env", ()) if isinstance(entry, dict) and "name" in entry]
    if container.get("envFrom") or any("valueFrom" in entry for entry in env):
        return None
    try:
        return expand_env((entry["name"], entry.get("value", "")) for entry in env)
    except ValueError:
        return None  # told where it stands


def escape(text: str) -> str:
    """Text that ``expand`` turns into ``text`` again, whatever the variables are."""
    return _NEEDS_ESCAPE.sub("$$", text)
