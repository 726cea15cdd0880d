"""What an env file says for a key, by the kubelet's rules (pkg/util/env: ParseEnv). Pure.

A line is ``KEY='VALUE'``: no space beside ``=``, the value in single quotes, in which everything is literal and lines
may end; a comment may follow. Empty lines and those that begin with ``#`` say nothing. Of ``KEY= …`` the value is
empty, as in a shell. What stands below the key is not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator

BLANK = " \t"


def value_of(text: str, key: str) -> str | None:
    """The value; None where the file does not have the key. Raises ValueError, with the line, where it is not such a
    file."""
    lines = iter(enumerate(text.replace("\r\n", "\n").split("\n"), start=1))
    for number, raw in lines:
        line = raw.lstrip(BLANK)
        if not line or line.startswith("#"):
            continue
        name, equals, rest = line.partition("=")
        if not equals:
            raise _wrong(number, "it has no '='")
        if not name or name != name.rstrip(BLANK):
            raise _wrong(number, "a name must stand right before '='")
        value = "" if rest[:1] in (" ", "\t") else _quoted(rest, number, lines)
        if name == key:
            return value
    return None


def _quoted(rest: str, number: int, lines: Iterator[tuple[int, str]]) -> str:
    """What is in the quotes, up to the line where they end."""
    if not rest.startswith("'"):
        raise _wrong(number, "a value must be in single quotes")
    parts, here, last = [], rest[1:], number
    while "'" not in here:
        parts.append(here)
        last, here = next(lines, (0, ""))
        if not last:
            raise _wrong(number, "the quote does not end")
    end, _, after = here.partition("'")
    after = after.lstrip(BLANK)
    if after and not after.startswith("#"):
        raise _wrong(last, "something follows the value")
    return "\n".join([*parts, end])


def _wrong(number: int, why: str) -> ValueError:
    return ValueError(f"line {number}: {why}")
