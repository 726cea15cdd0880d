"""``$(NAME)`` in env values, command and args, by the kubelet's rules (third_party/forked/golang/expansion).

``$$`` writes one ``$``, so ``$$(NAME)`` stays ``$(NAME)``; a name without a value stays as it was written; an
opening without an end is literal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_REFERENCE = re.compile(r"\$(?:(\$)|\(([^)]*)\))", re.DOTALL)
_NEEDS_ESCAPE = re.compile(r"\$(?=[$(])")


def expand(text: str, values: Mapping[str, str]) -> str:
    """``text`` with every reference to a name in ``values`` replaced, once (values are not expanded again)."""
    if "$" not in text:
        return text
    return _REFERENCE.sub(lambda m: "$" if m[1] else values.get(m[2], m[0]), text)


def expand_env(env: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Variables in order of writing: each sees those before it; of two with one name the later wins."""
    values: dict[str, str] = {}
    for name, text in env:
        values[name] = expand(text, values)
    return values


def escape(text: str) -> str:
    """Text that ``expand`` turns into ``text`` again, whatever the variables are."""
    return _NEEDS_ESCAPE.sub("$$", text)
