"""Bytes to documents: YAML by libyaml's events, JSON by a reader of its own (YAML forbids what JSON allows).

``read`` takes any bytes and never raises: whatever is wrong becomes a flaw of a document, or of the file.
PyYAML is imported on use (it costs 20 ms). Several threads may read at once; nothing is shared.
"""

from __future__ import annotations

import codecs
import re
from typing import Any

from reconciler.kube.document import Builder, Document, Fatal
from reconciler.kube.json_text import read_json
from reconciler.kube.problem import Flaw, Reason
from reconciler.kube.scalars import resolve

MAX_BYTES = 10 * 1024 * 1024
"""The kubelet's own cap for a manifest (pkg/kubelet/config: maxConfigLength)."""

_TAG = "tag:yaml.org,2002:"
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")


def read(data: bytes, is_json: bool = False) -> list[Document]:
    """Every document of a file, the broken ones too. ``is_json``: the file's name says that it is JSON."""
    flaw, text = _decode(data)
    if flaw is not None:
        return [Document(0, flaw.line, None, [flaw], broken=True)]
    if is_json:
        return _build(read_json, text)
    documents = _build(_read_yaml, text)
    if documents and documents[-1].broken and text.lstrip().startswith("{"):
        # Kubernetes' decoder takes such a text for JSON, whatever the file is called.
        as_json = _build(read_json, text)
        if not any(d.broken for d in as_json):
            return as_json
    return documents


def _decode(data: bytes) -> tuple[Flaw | None, str]:
    if len(data) > MAX_BYTES:
        size = f"{len(data) / 1024 / 1024:.1f} MiB"
        return Flaw(f"the file has {size}; at most 10 MiB are read", Reason.TOO_LARGE, (), 0), ""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return Flaw("the file is UTF-16; save it as UTF-8", Reason.INVALID_UTF8, (), 0), ""
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line, column = _place(data[: error.start].decode(), error.start)
        message = f"not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}"
        return Flaw(message, Reason.INVALID_UTF8, (), line, column), ""
    if found := _CONTROL.search(text):
        line, column = _place(text, found.start())
        message = f"the control character U+{ord(found.group()):04X} is not allowed"
        return Flaw(message, Reason.INVALID_YAML, (), line, column), ""
    return None, text


def _place(text: str, offset: int) -> tuple[int, int]:
    before = text[:offset]
    return before.count("\n"), len(before) - before.rfind("\n") - 1


def _build(reader: Any, text: str) -> list[Document]:
    builder = Builder()
    try:
        reader(text, builder)
    except Fatal as fatal:
        builder.fail(fatal.flaw)
    return [d for d in builder.documents if d.root is not None or d.flaws]


def _read_yaml(text: str, builder: Builder) -> None:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        while loader.check_event():
            _feed(loader.get_event(), yaml, builder)
    except yaml.YAMLError as error:
        raise Fatal(_yaml_flaw(error, text)) from None
    finally:
        loader.dispose()


def _feed(event: Any, yaml: Any, builder: Builder) -> None:
    mark = event.start_mark
    if isinstance(event, yaml.ScalarEvent):
        _scalar(event, builder)
    elif isinstance(event, yaml.MappingStartEvent):
        builder.open_map(mark.line, mark.column, event.anchor)
        _check_tag(event, ("map",), builder)
    elif isinstance(event, yaml.SequenceStartEvent):
        builder.open_list(mark.line, mark.column, event.anchor)
        _check_tag(event, ("seq",), builder)
    elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
        builder.close()
    elif isinstance(event, yaml.AliasEvent):
        builder.alias(event.anchor, mark.line, mark.column)
    elif isinstance(event, yaml.DocumentStartEvent):
        builder.begin_document(mark.line)


def _scalar(event: Any, builder: Builder) -> None:
    text, mark, anchor = event.value, event.start_mark, event.anchor
    if event.tag is None or event.tag == "!":
        if event.implicit[0]:
            builder.scalar(resolve(text), text, mark.line, mark.column, anchor, plain=True)
        else:
            builder.scalar(text, "", mark.line, mark.column, anchor)
        return
    _check_tag(event, ("str", "int", "float", "bool", "null"), builder)
    value = text if event.tag == _TAG + "str" else resolve(text)
    builder.scalar(value, text, mark.line, mark.column, anchor)


def _check_tag(event: Any, known: tuple[str, ...], builder: Builder) -> None:
    tag = event.tag
    if tag is None or tag == "!" or tag in [_TAG + name for name in known]:
        return
    # Any other may be a password that nobody has put in quotes.
    what = f"the tag {tag.replace(_TAG, '!!')[:60]} is" if tag.startswith(_TAG) else "tags (!…) are"
    mark = event.start_mark
    text = f"{what} not supported; a string that begins with ! wants quotes"
    builder.flaw(text, Reason.INVALID_YAML, mark.line, mark.column)


def _yaml_flaw(error: Any, text: str) -> Flaw:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return Flaw(f"cannot be read as YAML: {str(error).splitlines()[0]}", Reason.INVALID_YAML, (), 0)
    lines = text.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    cause = error.problem or error.context or "the text cannot be understood"
    if "\t" in line[: mark.column + 1]:
        cause = "a tab where YAML wants spaces"
    elif error.context and error.problem:
        cause = f"{cause} {error.context}"
        start = error.context_mark
        if start is not None and start.line != mark.line:
            cause += f" (which begins in line {start.line + 1})"
    return Flaw(cause, Reason.INVALID_YAML, (), mark.line, mark.column)
