"""What Go templates make of values: ``--format`` of listings and of inspect.

Pure. A plain dict is Go's struct: a field that it has not is an error. A ``Map`` is Go's map: a missing key is
``<no value>``. A value that is a function is asked when a template first wants it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from reconciler.cli.maps import Map, Time
from reconciler.cli.template_syntax import Call, If, Literal, Nodes, Path, Pipe, Range, Show, Text, refused
from reconciler.cli.template_syntax import parse as parse  # part of this interface

NO_VALUE = "<no value>"


def render(nodes: Nodes, value: object) -> str:
    """What the template makes of ``value``. Raises InvalidInput where it asks for what is not there."""
    return _render(nodes, value, value)


def _render(nodes: Nodes, dot: object, root: object) -> str:
    return "".join(_shown(node, dot, root) for node in nodes)


def _shown(node: Text | Show | If | Range, dot: object, root: object) -> str:
    match node:
        case Text(text):
            return text
        case Show(pipe):
            return go_text(_value(pipe, dot, root))
        case If(pipe, then, otherwise):
            return _render(then if _value(pipe, dot, root) else otherwise, dot, root)
        case Range(pipe, body, otherwise):
            items = _elements(_value(pipe, dot, root))
            return "".join(_render(body, item, root) for item in items) if items else _render(otherwise, dot, root)


def _elements(value: object) -> list[object]:
    if value is None:
        return []
    if isinstance(value, Mapping):
        return [value[key] for key in sorted(value)]
    if isinstance(value, (list, tuple)):
        return list(value)
    raise refused(f"range needs a list, and {go_text(value)!r} is none")


def _value(pipe: Pipe, dot: object, root: object) -> object:
    given: tuple[object, ...] = ()
    for step in pipe:
        if isinstance(step, Call):
            arguments = [_operand_value(argument, dot, root) for argument in step.arguments]
            given = (_call(step.function, [*arguments, *given]),)
        else:
            given = (_operand_value(step, dot, root),)
    return given[0]


def _operand_value(operand: Path | Literal, dot: object, root: object) -> object:
    if isinstance(operand, Literal):
        return operand.value
    value = root if operand.absolute else dot
    for name in operand.names:
        value = _field(value, name)
    return value


def _field(value: object, name: str) -> object:
    if value is None or (isinstance(value, Map) and name not in value):
        return None
    if not isinstance(value, Mapping):
        raise refused(f"can't evaluate field {name} of {go_text(value)!r}")
    if name == "ID" and name not in value:  # what Go's field is called that is Id in JSON
        name = "Id"
    if name not in value:
        raise refused(f"can't evaluate field {name}", ", ".join(sorted(value, key=str.lower)))
    found = value[name]
    return found() if callable(found) else found


def _call(function: str, given: Sequence[object]) -> object:
    try:
        return _CALLS[function](*given)
    except (TypeError, ValueError, LookupError):
        values = ", ".join(repr(go_text(value)) for value in given)
        raise refused(f"{function} cannot be used with {values or 'nothing'}") from None


def _join(value: object, separator: object) -> str:
    """A list in one line. What is text already stays as it is: some fields are lists elsewhere and text in a table."""
    if not isinstance(separator, str):
        raise TypeError
    return value if isinstance(value, str) else separator.join(map(go_text, _elements(value)))


def _index(value: object, *keys: object) -> object:
    for key in keys:
        if isinstance(value, Mapping) and isinstance(key, str):
            value = value.get(key, "")
        elif isinstance(value, (list, tuple)) and isinstance(key, int):
            value = value[key]
        elif value is not None:
            raise TypeError
    return "" if value is None else value


def as_json(value: object, *, indent: int | None = None) -> str:
    """As Go writes it: no spaces where it stands in one line, and no character as a number that can be read."""
    separators = None if indent else (",", ":")
    return json.dumps(_asked(value), ensure_ascii=False, indent=indent, separators=separators)


def _asked(value: object) -> object:
    if callable(value):
        return _asked(value())
    if isinstance(value, Time):
        return value.json()
    if isinstance(value, Mapping):
        return {key: _asked(of) for key, of in value.items()}
    return [_asked(of) for of in value] if isinstance(value, (list, tuple)) else value


_CALLS: dict[str, Callable[..., object]] = {
    "json": as_json,
    "join": _join,
    "upper": lambda value: go_text(value).upper(),
    "lower": lambda value: go_text(value).lower(),
    "index": _index,
}


def go_text(value: object) -> str:
    """A value as Go prints it: ``[a b]``, ``map[k:v]``, ``{a b}`` for a struct."""
    if callable(value):
        return go_text(value())
    match value:
        case None:
            return NO_VALUE
        case bool():
            return "true" if value else "false"
        case Map():
            return f"map[{' '.join(f'{key}:{go_text(value[key])}' for key in sorted(value))}]"
        case Mapping():
            return f"{{{' '.join(map(go_text, value.values()))}}}"
        case list() | tuple():
            return f"[{' '.join(map(go_text, value))}]"
        case _:
            return str(value)


def heading(nodes: Nodes, known: Mapping[str, str]) -> str:
    """The line above what ``table`` shows: each action's field by its name in ``known``, else as it is called."""
    return "".join(_heading(node, known) for node in nodes)


def _heading(node: Text | Show | If | Range, known: Mapping[str, str]) -> str:
    match node:
        case Text(text):
            return text
        case If(_, then, otherwise):
            return heading(then or otherwise, known)
        case Show(pipe) | Range(pipe, _, _):
            steps = (of for step in pipe for of in (step.arguments if isinstance(step, Call) else (step,)))
            names = next((step.names for step in steps if isinstance(step, Path)), ())
            return known.get(names[-1], names[-1].upper()) if names else ""
