"""The words of Go templates that ``--format`` knows, and a template read into them.

Pure. What Go has beside them (variables, its other functions, definitions) is refused by name, so that no template
works by halves.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from reconciler.model.errors import InvalidInput

FUNCTIONS = ("json", "join", "upper", "lower", "index")
_KEYWORDS = ("if", "else", "end", "range")
_KNOWN = f"{{{{.FIELD.FIELD}}}}, {', '.join(FUNCTIONS)}, if, else, range, end; in front of all, table or json"


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Path:
    """``.A.B``; ``absolute``: from ``$``, the value that the template was given, also inside a range."""

    names: tuple[str, ...]
    absolute: bool = False

    def __str__(self) -> str:
        return ("$" if self.absolute else "") + "".join(f".{name}" for name in self.names) or "."


@dataclass(frozen=True, slots=True)
class Literal:
    value: str | int


@dataclass(frozen=True, slots=True)
class Call:
    function: str
    arguments: tuple[Path | Literal, ...]


Pipe = tuple[Path | Literal | Call, ...]
"""Steps from left to right; what one gives is the last argument of the next."""


@dataclass(frozen=True, slots=True)
class Show:
    pipe: Pipe


@dataclass(frozen=True, slots=True)
class If:
    pipe: Pipe
    then: Nodes
    otherwise: Nodes


@dataclass(frozen=True, slots=True)
class Range:
    pipe: Pipe
    body: Nodes
    otherwise: Nodes

    @property
    def over_all(self) -> bool:
        """``{{range .}}``: over the value that the template was given."""
        return self.pipe in ((Path(()),), (Path((), absolute=True),))


Nodes = tuple[Text | Show | If | Range, ...]


def refused(what: str, known: str = _KNOWN) -> InvalidInput:
    """The error for a template that asks for what there is not; ``known`` is what there is."""
    return InvalidInput(f"cannot use --format: {what}", hint=f"there are: {known}")


_TOKEN = re.compile(
    r"""(?P<space>\s+)|(?P<end>-?\}\})|(?P<variable>\$\w+)|(?P<path>\$?(?:\.\w+)+|\$|\.)|(?P<pipe>\|)"""
    r"""|(?P<number>\d+)|(?P<word>\w+)|(?P<string>"(?:\\.|[^"\\\n])*"|`[^`]*`)|(?P<comment>/\*.*?\*/)""",
    re.DOTALL,
)

Token = tuple[str, str]
"""Its kind and its text."""


def parse(template: str) -> Nodes:
    """A template, with ``\\t`` and ``\\n`` in its text read as podman reads them. Raises InvalidInput."""
    return _nodes(list(_items(template)), 0, closing=())[0]


Item = Text | list[Token]


def _items(template: str) -> Iterator[Item]:
    """Text and the tokens of actions, in turn, with what ``{{-`` and ``-}}`` trim cut away."""
    at, trim = 0, False
    while at < len(template):
        begin = template.find("{{", at)
        text = template[at:] if begin < 0 else template[at:begin]
        trims_before = begin >= 0 and re.match(r"\{\{-\s", template[begin:]) is not None
        text = text.lstrip() if trim else text
        if text := _escapes(text.rstrip() if trims_before else text):
            yield Text(text)
        if begin < 0:
            return
        tokens, at, trim = _tokens(template, begin + (3 if trims_before else 2))
        if tokens and tokens[0][0] != "comment":
            yield tokens
        elif not tokens:
            raise refused("there is an empty {{}}")


def _escapes(text: str) -> str:
    return text.replace("\\t", "\t").replace("\\n", "\n")


def _tokens(template: str, at: int) -> tuple[list[Token], int, bool]:
    """An action's tokens, where it ends, and whether it trims what follows."""
    found: list[Token] = []
    while match := _TOKEN.match(template, at):
        at, kind = match.end(), str(match.lastgroup)
        if kind == "end":
            return found, at, match[0].startswith("-")
        if kind == "variable":
            raise refused(f"variables such as {match[0]} are not supported")
        if kind != "space":
            found.append((kind, match[0]))
    if at >= len(template):
        raise refused("a {{ is never closed by }}")
    raise refused(f"{template[at]!r} is not supported inside {{{{}}}}" + _about_names(found, template[at]))


def _about_names(found: list[Token], stop: str) -> str:
    after_path = bool(found) and found[-1][0] == "path" and stop in "-/"
    return ': keys such as this are had by {{index .Labels "KEY"}}' if after_path else ""


def _nodes(items: list[Item], at: int, closing: tuple[str, ...]) -> tuple[Nodes, int]:
    """What stands up to one of the words ``closing``, and the place of that word."""
    found: list[Text | Show | If | Range] = []
    while at < len(items):
        item = items[at]
        if isinstance(item, Text):
            found.append(item)
            at += 1
            continue
        word = item[0][1] if item[0][0] == "word" else ""
        if word in closing:
            return tuple(found), at
        if word in ("if", "range"):
            node, at = _block(word, item[1:], items, at + 1)
            found.append(node)
        elif word in _KEYWORDS:
            raise refused(f"there is a {{{{{word}}}}} without an if or range before it")
        else:
            found.append(Show(_pipe(item)))
            at += 1
    if closing:
        raise refused("an if or range is never closed by {{end}}")
    return tuple(found), at


def _block(word: str, head: list[Token], items: list[Item], at: int) -> tuple[If | Range, int]:
    pipe = _pipe(head)
    body, at = _nodes(items, at, closing=("else", "end"))
    last = items[at]
    assert isinstance(last, list)
    otherwise: Nodes = ()
    if last[0][1] == "else" and len(last) > 1:
        if word != "if" or last[1] != ("word", "if"):
            raise refused(f"{{{{else {last[1][1]} …}}}} is not supported here")
        nested, at = _block("if", last[2:], items, at + 1)  # its end is ours, too
        return If(pipe, body, (nested,)), at
    if last[0][1] == "else":
        otherwise, at = _nodes(items, at + 1, closing=("end",))
    return (If if word == "if" else Range)(pipe, body, otherwise), at + 1


def _pipe(tokens: list[Token]) -> Pipe:
    steps: list[list[Token]] = [[]]
    for token in tokens:
        if token[0] == "pipe":
            steps.append([])
        else:
            steps[-1].append(token)
    return tuple(_step(step, first=place == 0) for place, step in enumerate(steps))


def _step(tokens: list[Token], *, first: bool) -> Path | Literal | Call:
    if not tokens:
        raise refused("a value is missing")
    kind, text = tokens[0]
    if kind == "word" and text not in ("true", "false", "nil"):
        if text not in FUNCTIONS:
            raise refused(f'"{text}" is not supported')
        return Call(text, tuple(map(_operand, tokens[1:])))
    if len(tokens) > 1:
        raise refused(f"{text} takes no argument ({tokens[1][1]})")
    if not first:
        raise refused(f"{text} cannot stand behind a |")
    return _operand(tokens[0])


def _operand(token: Token) -> Path | Literal:
    kind, text = token
    match kind:
        case "path":
            return Path(tuple(text.lstrip("$").split(".")[1:]) if text not in ("$", ".") else (), text.startswith("$"))
        case "number":
            return Literal(int(text))
        case "string":
            return Literal(text[1:-1] if text.startswith("`") else _unquoted(text))
        case _:
            raise refused(f'"{text}" is not supported as a value')


def _unquoted(text: str) -> str:
    try:
        return str(json.loads(text))
    except ValueError:
        raise refused(f"{text} is not a string as JSON has it") from None
