"""A JSON reader that keeps positions. The standard library's keeps none, and YAML refuses some JSON.

Not recursive: a deep text ends at the builder's bound, not at the interpreter's.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from enum import Enum, auto
from typing import NamedTuple

from reconciler.kube.document import Builder, Fatal
from reconciler.kube.problem import Flaw, Reason
from reconciler.kube.scalars import LONGEST_NUMBER, Scalar

_TOKEN = re.compile(
    r'(?P<punct>[\[\]{}:,])|(?P<string>"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*")'
    r"|(?P<number>-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?)|(?P<word>true|false|null)"
)
_SPACE = re.compile(r"[ \t\r\n]*")
_WORDS: dict[str, Scalar] = {"true": True, "false": False, "null": None}


class _Want(Enum):
    VALUE = auto()
    VALUE_OR_END = auto()
    NAME = auto()
    NAME_OR_END = auto()
    COLON = auto()
    COMMA_OR_END = auto()


_NEED = {
    _Want.VALUE: "a value",
    _Want.VALUE_OR_END: "a value or ]",
    _Want.NAME: "a field name in double quotes",
    _Want.NAME_OR_END: "a field name in double quotes, or }",
    _Want.COLON: "a colon",
    _Want.COMMA_OR_END: "a comma or the closing bracket",
}


class _Token(NamedTuple):
    kind: str
    text: str
    line: int
    column: int


def read_json(text: str, builder: Builder) -> None:
    """Feed ``builder`` with the values of ``text``, one document each. Raises Fatal where the text is not JSON."""
    want = _Want.VALUE
    closers: list[str] = []
    for token in _tokens(text):
        if not closers and want is _Want.VALUE:
            if token.kind == "end":
                return
            builder.begin_document(token.line)
        want = _step(token, want, closers, builder)
        if not closers:
            want = _Want.VALUE


def _step(token: _Token, want: _Want, closers: list[str], builder: Builder) -> _Want:
    """Take one token; the answer is what must come next."""
    values = want in (_Want.VALUE, _Want.VALUE_OR_END)
    names = want in (_Want.NAME, _Want.NAME_OR_END)
    ends = want in (_Want.VALUE_OR_END, _Want.NAME_OR_END, _Want.COMMA_OR_END)
    if ends and closers and token.text == closers[-1] and token.kind == "punct":
        closers.pop()
        builder.close()
        return _Want.COMMA_OR_END
    if values and token.text == "{" and token.kind == "punct":
        closers.append("}")
        builder.open_map(token.line, token.column)
        return _Want.NAME_OR_END
    if values and token.text == "[" and token.kind == "punct":
        closers.append("]")
        builder.open_list(token.line, token.column)
        return _Want.VALUE_OR_END
    if values and token.kind in ("string", "number", "word"):
        builder.scalar(_value(token), "" if token.kind == "string" else token.text, token.line, token.column)
        return _Want.COMMA_OR_END
    if names and token.kind == "string":
        builder.scalar(_value(token), "", token.line, token.column)
        return _Want.COLON
    if want is _Want.COLON and token.text == ":":
        return _Want.VALUE
    if want is _Want.COMMA_OR_END and token.text == ",":
        return _Want.NAME if closers[-1] == "}" else _Want.VALUE
    shown = {"end": "the text ends here", "string": "found a string", "number": "found a number"}.get(
        token.kind, f"found {token.text!r}"
    )
    raise Fatal(Flaw(f"not JSON: wanted {_NEED[want]}, {shown}", Reason.INVALID_YAML, (), token.line, token.column))


def _value(token: _Token) -> Scalar:
    if token.kind == "string":
        return str(json.loads(token.text)) if "\\" in token.text else token.text[1:-1]
    if token.kind == "word":
        return _WORDS[token.text]
    if len(token.text) > LONGEST_NUMBER:
        return token.text
    return int(token.text) if token.text.lstrip("-").isdigit() else float(token.text)


def _tokens(text: str) -> Iterator[_Token]:
    starts = [0, *(m.end() for m in re.finditer("\n", text))]
    at = 0
    while True:
        space = _SPACE.match(text, at)
        at = space.end() if space else at
        line = bisect_right(starts, at) - 1
        column = at - starts[line]
        if at == len(text):
            yield _Token("end", "", line, column)
            return
        match = _TOKEN.match(text, at)
        if match is None:
            raise Fatal(Flaw(f"not JSON: {_context(text, at)}", Reason.INVALID_YAML, (), line, column))
        yield _Token(match.lastgroup or "", match.group(), line, column)
        at = match.end()


def _context(text: str, at: int) -> str:
    if text[at] == '"':
        return "a string that does not end, or holds a raw line break or a bad escape"
    return "cannot read what stands here; a string wants double quotes"
