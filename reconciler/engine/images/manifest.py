"""Manifests, lists of them, and configs: a stranger's JSON, read into values that the rest may rely on.

The shapes are those of OCI's image-spec and of docker's schema 2. As Go's decoder has it, with which podman and
containerd read them: null is as good as nothing, a value of another kind than it should be is refused, what nobody
asks for may be anything. Each refusal is one sentence that says where and what. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from reconciler.model.errors import ImageProblem

Json = dict[str, Any]
Refuse = Callable[[str], ImageProblem]
"""Makes the error that names the image, from the cause."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_SHOWN = 80
"""Characters of a stranger's text that a message shows."""


@dataclass(frozen=True, slots=True)
class Part:
    """One JSON object of a document; its methods read one field of it each, and raise what ``refuse`` makes."""

    content: Json
    document: str
    refuse: Refuse
    path: str = ""

    def text(self, key: str) -> str:
        """ "" where there is none."""
        value = self.content.get(key)
        return "" if value is None else self._text(key, value)

    def texts(self, key: str) -> tuple[str, ...]:
        return tuple(self._text(f"{key}[{n}]", item) for n, item in enumerate(self._list(key)))

    def words(self, key: str) -> tuple[str, ...]:
        """A list of texts, or one alone (docker: strslice)."""
        alone = self.content.get(key)
        return (self.text(key),) if isinstance(alone, str) else self.texts(key)

    def count(self, key: str) -> int:
        """A whole number, 0 or more; 0 where there is none."""
        value = self.content.get(key)
        if value is None:
            return 0
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._wrong(key, value, "a whole number")
        if value < 0:
            raise self.refuse(f"{self._place(key)} is less than nothing: {value}")
        return value

    def digest(self, key: str) -> str:
        return self._digest(key, self.content.get(key))

    def digests(self, key: str) -> tuple[str, ...]:
        return tuple(self._digest(f"{key}[{n}]", item) for n, item in enumerate(self._list(key)))

    def part(self, key: str) -> Part:
        """An object within; an empty one where there is none."""
        value = self.content.get(key)
        return self._part(key, {} if value is None else value)

    def parts(self, key: str) -> tuple[Part, ...]:
        return tuple(self._part(f"{key}[{n}]", item) for n, item in enumerate(self._list(key)))

    def texts_by_name(self, key: str) -> dict[str, str]:
        """An object whose values are texts; null ones are left out."""
        part = self.part(key)
        return {name: part.text(name) for name, value in part.content.items() if value is not None}

    def _list(self, key: str) -> list[Any]:
        value = self.content.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self._wrong(key, value, "a list")
        return value

    def _part(self, key: str, value: object) -> Part:
        if not isinstance(value, dict):
            raise self._wrong(key, value, "an object")
        return Part(value, self.document, self.refuse, f"{self.path}{key}.")

    def _text(self, key: str, value: object) -> str:
        if not isinstance(value, str):
            raise self._wrong(key, value, "a string")
        if "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
            raise self.refuse(f"{self._place(key)} holds what no text can: {_brief(value)}")
        return value

    def _digest(self, key: str, value: object) -> str:
        if value is None:
            raise self.refuse(f"{self._place(key)} is missing")
        text = self._text(key, value)
        if not _DIGEST.fullmatch(text):
            raise self.refuse(f"{self._place(key)} is not a sha256 digest: {_brief(text)}")
        return text

    def _wrong(self, key: str, value: object, wanted: str) -> ImageProblem:
        return self.refuse(f"{self._place(key)} is {_kind(value)}, not {wanted}")

    def _place(self, key: str) -> str:
        return f"{_plain(self.path + key)} in {self.document}"


@dataclass(frozen=True, slots=True)
class Blob:
    """What a manifest says of one layer. ``size`` in bytes."""

    media: str
    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """``content`` is all of it, ``media`` its own media type ("" where it does not say), ``config`` a digest."""

    content: Json
    media: str
    config: str
    layers: tuple[Blob, ...]
    annotations: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listed:
    """One manifest in a list of them, and for what it is."""

    entry: Part
    system: str
    architecture: str
    variant: str

    @property
    def digest(self) -> str:
        return self.entry.digest("digest")


@dataclass(frozen=True, slots=True)
class Config:
    """What an image's config says of its containers."""

    content: Part
    diff_ids: tuple[str, ...]
    created: str
    entrypoint: tuple[str, ...]
    cmd: tuple[str, ...]
    env: tuple[str, ...]
    user: str
    working_dir: str
    stop_signal: str
    labels: dict[str, str]
    history: tuple[Json, ...]


def document(raw: bytes, name: str, refuse: Refuse) -> Part:
    """Any document; ``name`` is how messages call it."""
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError):
        raise refuse(f"{name} is not JSON") from None
    if not isinstance(content, dict):
        raise refuse(f"{name} is {_kind(content)}, not an object")
    return Part(content, name, refuse)


def is_list(top: Part) -> bool:
    """Whether it lists manifests, instead of being one. Refuses other versions than 2 (docker's old one is 1)."""
    version = top.count("schemaVersion")
    if version not in (0, 2):
        raise top.refuse(f"schemaVersion in {top.document} is {version}, not 2")
    return top.content.get("manifests") is not None


def manifest(raw: bytes, refuse: Refuse) -> Manifest:
    top = document(raw, "its manifest", refuse)
    if is_list(top):
        raise refuse("its manifest is a list of manifests, and was in one")
    layers = (Blob(p.text("mediaType"), p.digest("digest"), p.count("size")) for p in top.parts("layers"))
    annotations = top.texts_by_name("annotations")
    return Manifest(top.content, top.text("mediaType"), top.part("config").digest("digest"), tuple(layers), annotations)


def listed(entries: Iterable[Part]) -> tuple[Listed, ...]:
    """The manifests in a list of them."""
    found = ((entry, entry.part("platform")) for entry in entries)
    return tuple(Listed(entry, p.text("os"), p.text("architecture"), p.text("variant")) for entry, p in found)


def config(raw: bytes, refuse: Refuse) -> Config:
    top = document(raw, "its config", refuse)
    inner = top.part("config")
    return Config(
        content=top,
        diff_ids=top.part("rootfs").digests("diff_ids"),
        created=top.text("created"),
        entrypoint=inner.words("Entrypoint"),
        cmd=inner.words("Cmd"),
        env=inner.texts("Env"),
        user=inner.text("User"),
        working_dir=inner.text("WorkingDir"),
        stop_signal=inner.text("StopSignal"),
        labels=inner.texts_by_name("Labels"),
        history=tuple(step.content for step in top.parts("history")),
    )


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
        case _:
            return "an object"


def _plain(text: str) -> str:
    return text if text.isprintable() and len(text) <= _SHOWN else _brief(text)


def _brief(text: str) -> str:
    return ascii(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
