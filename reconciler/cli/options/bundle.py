"""Options that belong together, handed to a command as one value."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields
from functools import wraps
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def bundled(keyword: str, kind: type[Any], options: Iterable[Any]) -> Callable[[F], F]:
    """A decorator that adds the ``options`` (decorators of click's, in the order of the help) and hands their values to
    ``keyword`` as one ``kind``, a dataclass with a field for each."""
    names, added = {field.name for field in fields(kind)}, tuple(options)

    def decorate(f: F) -> F:
        @wraps(f)
        def call(*args: Any, **values: Any) -> Any:
            mine = {name: values.pop(name) for name in names & values.keys()}
            return f(*args, **values, **{keyword: kind(**mine)})

        for option in reversed(added):
            option(call)
        return call  # type: ignore[return-value]

    return decorate
