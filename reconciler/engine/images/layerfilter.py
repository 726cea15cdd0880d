"""What of a layer's tar stream may reach tar, and what means something else.

A layer is a tar stream that a stranger wrote. Before tar unpacks it, every entry is looked at here: names
and hard links that lead out of the layer are refused, whiteouts (OCI image spec, "layer.md") are taken out
and remembered. tar guards its directory too; this is the first of two gates, and the one that can say why.
Pure: bytes in, bytes out.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from reconciler.model.errors import ImageProblem

BLOCK = 512
_META_LIMIT = 1 << 20
_WHITEOUT = b".wh."
_OPAQUE = b".wh..wh..opq"
_RESERVED = b".wh..wh."
_ZERO = bytes(BLOCK)
_FILE, _HARD_LINK, _SYMLINK, _DIRECTORY = b"0\x007S", b"1", b"2", b"5"
_KINDS = _FILE + b"123456"


@dataclass(slots=True)
class Found:
    """What was learned of a layer. Paths are relative bytes without ``.`` parts; ``size`` counts file contents."""

    whiteouts: list[bytes] = field(default_factory=list)
    opaque: list[bytes] = field(default_factory=list)
    lower_links: dict[bytes, bytes] = field(default_factory=dict)
    """Hard links to what this layer does not bring: name -> target."""
    size: int = 0
    entries: int = 0


@dataclass(slots=True)
class _Entry:
    name: bytes
    kind: bytes
    link: bytes
    body: int
    size: int
    end: int
    """Where its headers end in the buffer."""


class LayerFilter:
    """Feed it the uncompressed stream; it gives back the pieces that tar may see."""

    def __init__(self) -> None:
        self.found = Found()
        self._rest = b""
        self._body = 0
        self._keep = True
        self._ended = False
        self._symlinks: set[bytes] = set()
        self._brought: set[bytes] = set()
        self._safe: set[bytes] = {b""}
        self._global: dict[bytes, bytes] = {}

    def feed(self, chunk: bytes) -> list[memoryview]:
        """The parts of ``chunk`` (and of what was held back before) that are fine. Raises ImageProblem."""
        if self._ended:
            return []
        data = self._rest + chunk if self._rest else chunk
        buffer = memoryview(data)
        kept: list[memoryview] = []
        start = place = 0
        while True:
            step = min(self._body, len(data) - place)
            if not self._keep:
                kept.append(buffer[start:place])
                start = place + step
            place += step
            self._body -= step
            if self._body or len(data) - place < BLOCK:
                break
            if data[place : place + BLOCK] == _ZERO:
                self._ended = True
                break
            entry = self._entry(data, place)
            if entry is None:
                break
            self._keep = self._judge(entry)
            if not self._keep:
                kept.append(buffer[start:place])
                start = entry.end
            place = entry.end
            self._body = entry.body
        kept.append(buffer[start:place])
        self._rest = b"" if self._ended else data[place:]
        return [part for part in kept if part]

    def finish(self) -> bytes:
        """To be called at the end of the stream: the end mark for tar. Raises ImageProblem if it was cut short."""
        if self._body or self._rest:
            raise ImageProblem("the layer's tar stream is cut short")
        return _ZERO * 2

    def _entry(self, data: bytes, place: int) -> _Entry | None:
        """The entry at ``place`` with all headers that belong to it, or None while some of them are missing."""
        extended: dict[bytes, bytes] = {}
        long: dict[bytes, bytes] = {}
        begun = place
        while True:
            if place - begun > 2 * _META_LIMIT:
                raise ImageProblem("the layer holds an entry with more than 2 MiB of headers")
            header = data[place : place + BLOCK]
            if len(header) < BLOCK:
                return None
            _verify(header)
            kind, size = header[156:157], _number(header[124:136])
            place += BLOCK
            if kind not in b"xgLK":
                # as tar: extended headers win over long names, in whichever order they come
                return self._plain(data, header, place, self._global | long | extended)
            if size > _META_LIMIT:
                raise ImageProblem("the layer holds a header of more than 1 MiB")
            if len(data) < place + _padded(size):
                return None
            content = data[place : place + size]
            place += _padded(size)
            if kind == b"x":
                extended.update(_pax(content))
            elif kind == b"g":
                self._global.update(_pax(content))
            else:
                long[b"path" if kind == b"L" else b"linkpath"] = content.split(b"\0", 1)[0]

    def _plain(self, data: bytes, header: bytes, place: int, extended: dict[bytes, bytes]) -> _Entry | None:
        kind = header[156:157]
        if kind == b"S":
            more = header[482]
            while more:
                if len(data) < place + BLOCK:
                    return None
                more = data[place + 504]
                place += BLOCK
        size = _decimal(extended[b"size"]) if b"size" in extended else _number(header[124:136])
        if kind not in _KINDS:
            raise ImageProblem(f"the layer holds an entry of a kind ({kind!r}) that images may not have")
        body = _padded(size) if kind in _FILE else 0
        name = extended.get(b"GNU.sparse.name") or extended.get(b"path") or _name(header)
        if body and name.endswith(b"/"):  # a directory to tar, which would read the content as further entries
            raise ImageProblem("the layer holds a directory with content")
        link = extended.get(b"linkpath") or header[157:257].split(b"\0", 1)[0]
        real = extended.get(b"GNU.sparse.realsize") or extended.get(b"GNU.sparse.size")
        shown = _number(header[483:495]) if kind == b"S" else _decimal(real) if real else size
        return _Entry(name, kind, link, body, shown if kind in _FILE else 0, place)

    def _judge(self, entry: _Entry) -> bool:
        """Whether tar shall see this entry. Raises ImageProblem when nobody shall."""
        path = _inside(entry.name, "entry")
        self.found.entries += 1
        parent, _, base = path.rpartition(b"/")
        if parent not in self._safe:
            self._walk(parent, entry.name)
        if path.startswith(_RESERVED) or b"/" + _RESERVED in path:
            if base == _OPAQUE:
                self.found.opaque.append(parent)
            return False
        if base.startswith(_WHITEOUT):
            self._whiteout(parent, base.removeprefix(_WHITEOUT), entry.name)
            return False
        if not path and entry.kind != _DIRECTORY:
            raise ImageProblem("the layer's root is not a directory")
        self._note_links(path, entry)
        self.found.lower_links.pop(path, None)
        if entry.kind == _HARD_LINK and self._is_below(path, _inside(entry.link, "hard link")):
            return False
        if entry.kind != _DIRECTORY:
            self._brought.add(path)
        self.found.size += entry.size
        return True

    def _is_below(self, path: bytes, target: bytes) -> bool:
        """Whether a hard link leads to a layer below; then it is remembered, for tar cannot make it."""
        if target in self._brought:
            return False
        self.found.lower_links[path] = self.found.lower_links.get(target, target)
        return True

    def _note_links(self, path: bytes, entry: _Entry) -> None:
        target = b""
        if entry.kind == _HARD_LINK:
            target = _inside(entry.link, "hard link")
            self._walk(target.rpartition(b"/")[0], entry.link)
        if entry.kind == _SYMLINK or target in self._symlinks:
            self._symlinks.add(path)
            if path in self._safe:
                self._safe = {b""}
        else:
            self._symlinks.discard(path)

    def _whiteout(self, parent: bytes, hidden: bytes, name: bytes) -> None:
        if hidden in (b"", b".", b".."):
            raise ImageProblem(f"the layer's whiteout {_show(name)} names its own or its parent directory")
        self.found.whiteouts.append(parent + b"/" + hidden if parent else hidden)

    def _walk(self, directory: bytes, name: bytes) -> None:
        """No part of ``directory`` may be a symbolic link of this layer: what is written through it lies elsewhere."""
        if directory in self._safe:
            return
        parts = directory.split(b"/")
        for count in range(1, len(parts) + 1):
            prefix = b"/".join(parts[:count])
            if prefix in self._symlinks:
                raise ImageProblem(f"the layer's entry {_show(name)} passes through the symbolic link {_show(prefix)}")
            if parts[count - 1].startswith(_WHITEOUT) and not parts[count - 1].startswith(_RESERVED):
                raise ImageProblem(f"the layer's entry {_show(name)} lies below a whiteout")
            self._safe.add(prefix)


def _inside(name: bytes, what: str) -> bytes:
    """``name`` without ``.`` parts; refused when it is absolute, empty or climbs."""
    if name.startswith(b"/"):
        raise ImageProblem(f"the layer's {what} {_show(name)} is an absolute name")
    if b"\0" in name or not name:
        raise ImageProblem(f"the layer's {what} {_show(name)} is not a file name")
    if b"." not in name and b"//" not in name:
        return name.rstrip(b"/")
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise ImageProblem(f"the layer's {what} {_show(name)} leads out of the image by ..")
    return b"/".join(parts)


def _name(header: bytes) -> bytes:
    name = header[:100].split(b"\0", 1)[0]
    if header[257:263] == b"ustar\0":
        prefix = header[345:500].split(b"\0", 1)[0]
        return prefix + b"/" + name if prefix else name
    return name


def _verify(header: bytes) -> None:
    """The checksum decides where entries begin; tar searches on when it is wrong, we do not."""
    total = sum(header) - sum(header[148:156]) + 8 * 32
    if total != _number(header[148:156]):
        raise ImageProblem("the layer is not a tar stream, or a damaged one")


def _number(field_: bytes) -> int:
    """A numeric header field: octal digits, or GNU's base 256."""
    if field_[:1] in (b"\x80", b"\xff"):
        value = int.from_bytes(field_[1:], "big")
        if field_[0] == 0xFF:
            raise ImageProblem("the layer's tar stream holds a negative size")
        return value
    digits = field_.split(b"\0", 1)[0].strip()
    try:
        return int(digits, 8) if digits else 0
    except ValueError:
        raise ImageProblem("the layer is not a tar stream, or a damaged one") from None


def _decimal(text: bytes) -> int:
    if not text.isdigit():
        raise ImageProblem("the layer's tar stream holds a size that is no number")
    return int(text)


def _pax(content: bytes) -> dict[bytes, bytes]:
    """The records of an extended header, "LENGTH KEY=VALUE\\n" each (POSIX pax)."""
    records: dict[bytes, bytes] = {}
    while content:
        digits, _, _ = content.partition(b" ")
        length = int(digits) if digits.isdigit() else 0
        record = content[len(digits) + 1 : length - 1]
        key, equals, value = record.partition(b"=")
        if not equals or length > len(content) or content[length - 1 : length] != b"\n":
            raise ImageProblem("the layer's tar stream holds a damaged extended header")
        records[key] = value
        content = content[length:]
    return records


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _show(name: bytes) -> str:
    return repr(name.decode(errors="backslashreplace"))
