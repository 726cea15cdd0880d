"""A tree of nodes that know where they stand, and the builder that makes it from parser events.

Both the YAML and the JSON reader feed this builder, so its bounds hold for both: on depth, on the number of
nodes, and on what aliases expand to (an alias bomb of a few lines means billions of nodes). Nothing here
recurses deeper than ``MAX_DEPTH``. A builder belongs to one thread; finished trees are only read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from reconciler.kube.problem import Flaw, Path, Reason
from reconciler.kube.scalars import Scalar

MAX_DEPTH = 100
MAX_NODES = 200_000

MERGE = "<<"


@dataclass(slots=True)
class Node:
    """``value``: a scalar, a list of nodes, or a dict of names to entries. ``text`` is a plain scalar as written.

    ``size`` counts the nodes below it with aliases expanded, and ``depth`` the levels, itself included.
    """

    value: Any
    line: int
    column: int
    text: str = ""
    size: int = 1
    depth: int = 1

    @property
    def is_map(self) -> bool:
        return isinstance(self.value, dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """A field of a mapping: where its name stands, and its value."""

    line: int
    column: int
    node: Node


@dataclass(slots=True)
class Document:
    """One document of a file. ``root`` may be partial where ``broken``: the text ended or failed within it."""

    index: int
    line: int
    root: Node | None = None
    flaws: list[Flaw] = field(default_factory=list)
    broken: bool = False


class _Use(Enum):
    """What becomes of the value that follows a field name."""

    FIELD = auto()
    MERGE = auto()
    DROP = auto()


@dataclass(slots=True)
class _Frame:
    """A mapping or list that is not finished; ``names_field``: it stands where a field name should."""

    node: Node
    anchor: str | None
    names_field: bool = False
    key: str | None = None
    use: _Use = _Use.FIELD
    key_line: int = 0
    key_column: int = 0
    merges: list[Node] = field(default_factory=list)


class Fatal(Exception):
    """The rest of the text cannot be read, or must not be."""

    def __init__(self, flaw: Flaw) -> None:
        super().__init__(flaw.message)
        self.flaw = flaw


class Builder:
    """Makes documents from events in the order of the text. ``documents`` grows as they begin."""

    def __init__(self) -> None:
        self.documents: list[Document] = []
        self._stack: list[_Frame] = []
        self._anchors: dict[str, Node | None] = {}
        self._made = 0

    def begin_document(self, line: int) -> None:
        self.documents.append(Document(len(self.documents), line))
        self._anchors = {}
        self._stack = []

    def fail(self, flaw: Flaw) -> None:
        """End the current document (begun or not) with a flaw, keeping what was read of it."""
        if not self.documents:
            self.begin_document(max(flaw.line, 0))
        document = self.documents[-1]
        document.broken = True
        document.flaws.append(flaw)
        while self._stack:
            self._finish(self._stack.pop())

    def open_map(self, line: int, column: int, anchor: str | None = None) -> None:
        self._open({}, line, column, anchor)

    def open_list(self, line: int, column: int, anchor: str | None = None) -> None:
        self._open([], line, column, anchor)

    def close(self) -> None:
        self._finish(self._stack.pop())

    def scalar(
        self, value: Scalar, text: str, line: int, column: int, anchor: str | None = None, plain: bool = False
    ) -> None:
        """Add a scalar; ``plain`` means unquoted, so that ``<<`` can be a merge key."""
        self._count(line, column)
        if isinstance(value, str) and (hurt := unusable(value)):
            self.flaw(hurt, Reason.INVALID_VALUE, line, column)
            value = ""
        if self._wants_key():
            self._name(value, text, line, column, plain)
            return
        node = Node(value, line, column, text)
        if anchor:
            self._anchors[anchor] = node
        self._add(node)

    def alias(self, name: str, line: int, column: int) -> None:
        """Add what an anchor stands for."""
        self._count(line, column)
        target = self._anchors.get(name)
        if target is None:
            cause = "stands for something it is part of" if name in self._anchors else "has no anchor before it"
            text = f"the alias (*…) {cause}; a string that begins with * wants quotes"  # it may be a password
            self.flaw(text, Reason.INVALID_YAML, line, column)
            target = Node(None, line, column)
        if self._wants_key():
            value = "" if isinstance(target.value, (dict, list)) else target.value
            self._name(value or None, target.text, line, column, plain=False)
            return
        if len(self._stack) + target.depth > MAX_DEPTH:
            raise Fatal(_too_deep(line, column))
        self._add(target)
        if sum(frame.node.size for frame in self._stack) > MAX_NODES:
            text = f"the document expands to more than {MAX_NODES} values through its aliases"
            raise Fatal(Flaw(text, Reason.TOO_LARGE, self._path(), line, column))

    def flaw(self, message: str, reason: Reason, line: int, column: int) -> None:
        """Note something wrong that reading can go on after."""
        self.documents[-1].flaws.append(Flaw(message, reason, self._path(), line, column))

    def _open(self, value: Any, line: int, column: int, anchor: str | None) -> None:
        self._count(line, column)
        if len(self._stack) >= MAX_DEPTH:
            raise Fatal(_too_deep(line, column))
        names_field = self._wants_key()
        if names_field:
            self.flaw("a field name must be a string", Reason.INVALID_YAML, line, column)
        if anchor:
            self._anchors[anchor] = None
        self._stack.append(_Frame(Node(value, line, column), anchor, names_field))

    def _finish(self, frame: _Frame) -> None:
        for source in frame.merges:
            _merge(frame.node, source)
        if frame.anchor:
            self._anchors[frame.anchor] = frame.node
        if frame.names_field:
            self._stack[-1].key, self._stack[-1].use = "", _Use.DROP
        else:
            self._add(frame.node)

    def _add(self, node: Node) -> None:
        if not self._stack:
            self.documents[-1].root = node
            return
        frame = self._stack[-1]
        parent = frame.node
        parent.size += node.size
        parent.depth = max(parent.depth, node.depth + 1)
        if isinstance(parent.value, list):
            parent.value.append(node)
            return
        if frame.use is _Use.MERGE:
            self._note_merge(frame, node)
        elif frame.use is _Use.FIELD:
            parent.value[frame.key] = Entry(frame.key_line, frame.key_column, node)
        frame.key = None

    def _note_merge(self, frame: _Frame, node: Node) -> None:
        sources = node.value if isinstance(node.value, list) else [node]
        if all(source.is_map for source in sources):
            frame.merges.extend(sources)
        else:
            self.flaw("<< needs a mapping or a list of mappings", Reason.INVALID_YAML, node.line, node.column)

    def _wants_key(self) -> bool:
        return bool(self._stack) and self._stack[-1].node.is_map and self._stack[-1].key is None

    def _name(self, value: Scalar, text: str, line: int, column: int, plain: bool) -> None:
        frame = self._stack[-1]
        frame.key_line, frame.key_column = line, column
        if isinstance(value, int) and not isinstance(value, bool):
            value = text
        if not isinstance(value, str):
            self.flaw(f"a field name must be a string: put {text or 'it'} in quotes", Reason.INVALID_YAML, line, column)
            frame.key, frame.use = "", _Use.DROP
            return
        frame.key, frame.use = value, _Use.FIELD
        if plain and value == MERGE:
            frame.use = _Use.MERGE
        elif value in frame.node.value:
            first = frame.node.value[value].line + 1
            frame.use = _Use.DROP
            self.flaw(f"written twice (first in line {first})", Reason.INVALID_YAML, line, column)

    def _count(self, line: int, column: int) -> None:
        self._made += 1
        if self._made > MAX_NODES:
            raise Fatal(Flaw(f"the file holds more than {MAX_NODES} values", Reason.TOO_LARGE, (), line, column))

    def _path(self) -> Path:
        parts: list[str | int] = []
        for frame in self._stack:
            if isinstance(frame.node.value, list):
                parts.append(len(frame.node.value))
            elif frame.key:
                parts.append(frame.key)
        return tuple(parts)


def plain(node: Node) -> Any:
    """The tree as dicts, lists and scalars. A field set to null is left out: null means "not set" in Kubernetes."""
    if isinstance(node.value, dict):
        return {k: plain(e.node) for k, e in node.value.items() if e.node.value is not None}
    if isinstance(node.value, list):
        return [plain(n) for n in node.value]
    return node.value


def locate(root: Node, path: Path, on_key: bool = False) -> tuple[int, int]:
    """Line and column (from 0) of the value at ``path``, or of its name; of the nearest parent where it is absent."""
    line, column = root.line, root.column
    for entry_line, entry_column, node in _walk(root, path):
        line, column = (entry_line, entry_column) if on_key else (node.line, node.column)
    return line, column


def node_at(root: Node, path: Path) -> Node | None:
    """The node at ``path``, or None."""
    steps = list(_walk(root, path))
    if len(steps) < len(path):
        return None
    return steps[-1][2] if steps else root


def unusable(text: str) -> str:
    """Why a string cannot reach a process or a file, or ""."""
    if "\x00" in text:
        return "must not contain a NUL character"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "contains half of a surrogate pair"
    return ""


def _walk(root: Node, path: Path) -> Iterator[tuple[int, int, Node]]:
    node = root
    for part in path:
        if isinstance(part, int):
            if not isinstance(node.value, list) or part >= len(node.value):
                return
            node = node.value[part]
            yield node.line, node.column, node
        else:
            if not isinstance(node.value, dict) or part not in node.value:
                return
            entry: Entry = node.value[part]
            node = entry.node
            yield entry.line, entry.column, node


def _merge(into: Node, source: Node) -> None:
    for key, entry in source.value.items():
        into.value.setdefault(key, entry)


def _too_deep(line: int, column: int) -> Flaw:
    return Flaw(f"nested more than {MAX_DEPTH} levels deep", Reason.TOO_LARGE, (), line, column)
