"""``-e``, ``--env-file`` and the proxies: the variables of a container.

A file is read as podman reads it: a variable to a line, whatever stands behind the first ``=`` is its value (quotes
and blanks too), lines that begin with ``#`` are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from reconciler.model.errors import InvalidInput

Environment = Mapping[str, str]

PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy")
"""What is handed on to every container, in capitals too (podman: --http-proxy)."""

_BLANKS = " \t"


def variables(words: Iterable[str], files: Iterable[tuple[str, str]], ours: Environment) -> dict[str, str]:
    """What the options say together: ``files`` (name and text) in their order, then ``words`` of ``-e``.

    ``NAME`` alone is taken from ``ours``, and left out where it is not there; ``PREFIX*`` takes all that begin so.
    Raises InvalidInput.
    """
    found: dict[str, str] = {}
    for name, text in files:
        for number, line in lines(text):
            found |= _variable(line, ours, f"{name}, line {number}", in_file=True)
    for word in words:
        found |= _variable(word, ours, f"-e {word!r}", in_file=False)
    return found


def proxies(ours: Environment) -> dict[str, str]:
    """The proxies by which we reach the world."""
    names = (name for proxy in PROXIES for name in (proxy, proxy.upper()))
    return {name: ours[name] for name in names if ours.get(name)}


def lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines of a file that say something, numbered, without blanks before and a carriage return behind."""
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        said = line.removesuffix("\r").lstrip(_BLANKS)
        if said and not said.startswith("#"):
            yield number, said


def _variable(text: str, ours: Environment, where: str, *, in_file: bool) -> dict[str, str]:
    name, equals, value = text.partition("=")
    if not name:
        raise InvalidInput(f"cannot set a variable ({where}): it has no name", hint="write NAME=VALUE")
    if in_file and any(blank in name for blank in _BLANKS):
        hint = "write NAME=VALUE, without export or blanks around ="
        raise InvalidInput(f"cannot set a variable ({where}): {name!r} has blanks in its name", hint=hint)
    if "\0" in text:
        raise InvalidInput(f"cannot set variable {name} ({where}): it holds a NUL character")
    if equals:
        return {name: value}
    if name.endswith("*"):
        return {n: v for n, v in ours.items() if n.startswith(name[:-1])}
    return {name: ours[name]} if name in ours else {}
