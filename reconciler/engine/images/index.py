"""The index: which images are here, and which names they bear. One small file an image.

A name belongs to one image. Moving it writes the new owner first; should we be killed before the old one
has let go, the later claim counts. Reading is cached by the directory's time stamp and safe in threads;
writers hold the ``index`` lock.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from reconciler.engine.images.disk import Disk, remove_file, write_file
from reconciler.engine.images.image import Image
from reconciler.engine.images.reference import Reference, id_prefix, parse
from reconciler.engine.images.shortnames import ShortNames, short_names
from reconciler.engine.images.unpack import Layer
from reconciler.model.errors import ImageProblem

_JUST_NOW = 0.1
"""Seconds."""
_RACY = 50_000_000
"""Nanoseconds: a directory changed this recently may change again without a new time stamp (git's racy index)."""


@dataclass(frozen=True, slots=True)
class Name:
    """One name of an image. ``pulled``: a registry gave it under this name. ``at``: wall time, the later wins.
    ``store``: which other store of this host gave it (see ``stores``)."""

    name: str
    pulled: bool
    at: float
    store: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """All that is known of one image. ``digests`` are ``repository@sha256:…`` under which it was had."""

    id: str
    names: tuple[Name, ...]
    digests: tuple[str, ...]
    manifest: str
    layers: tuple[Layer, ...]
    size: int
    created: str = ""
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    stop_signal: str = ""

    def image(self, disk: Disk) -> Image:
        return Image(
            id=self.id,
            names=tuple(name.name for name in self.names),
            layers=tuple(disk.layer(key) / "fs" for key in _once(layer.key for layer in self.layers)),
            entrypoint=self.entrypoint,
            cmd=self.cmd,
            env=self.env,
            user=self.user,
            working_dir=self.working_dir,
            stop_signal=self.stop_signal,
            size=self.size,
            created=self.created,
            digest=self.manifest,
        )


class _Meanings:
    """Of references, with these records and short names."""

    def __init__(self, records: dict[str, Record], short: ShortNames) -> None:
        self.records = records
        self.short = short
        self.found: dict[str, Record | None] = {}
        self.names: dict[str, tuple[Name, ...]] = {}


class Index:
    """The records of one store. Any thread may ask."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._place = str(disk.index)
        self._lock = threading.Lock()
        self._stamp = -1
        self._records: dict[str, Record] = {}
        self._names: dict[str, str] = {}
        self._meanings = _Meanings(self._records, short_names())
        self._looked = time.monotonic()

    def records(self) -> dict[str, Record]:
        """By id. The dictionary is never changed once given out."""
        return self._load()[0]

    def whole(self) -> bool:
        """Whether every record could be read and has its layers: if not, nobody knows what is in use."""
        return len(self.records()) == len(list(self._disk.index.glob("*.json")))

    def find(self, text: str) -> Record | None:
        """The image that a reference, an id or a unique beginning of one means. Raises ImageProblem.

        Names come before ids, as Podman has it.
        """
        meanings = self._meant_now()
        if text not in meanings.found:
            meanings.found[text] = self._find(text)
        return meanings.found[text]

    def _meant_now(self) -> _Meanings:
        """What references were found to mean, as long as neither the records nor the short names are others: a look at
        a pod asks for each of its images."""
        records, short = self._load()[0], self._short()
        if self._meanings.records is not records or self._meanings.short is not short:
            self._meanings = _Meanings(records, short)
        return self._meanings

    def _short(self) -> ShortNames:
        """What is written about short names, as of just now: of many looks at the same time one reads it."""
        now = time.monotonic()
        if now - self._looked < _JUST_NOW:
            return self._meanings.short
        self._looked = now
        return short_names()

    def _find(self, text: str) -> Record | None:
        records, names = self._load()
        prefix = id_prefix(text)
        if len(prefix) == 64 and prefix in records:
            return records[prefix]
        named = None if text.startswith("sha256:") else self._named(parse(text), records, names)
        if named is not None or not prefix:
            return named
        matches = [record for id_, record in records.items() if id_.startswith(prefix)]
        if len(matches) > 1:
            raise ImageProblem(f"cannot tell which image {text} is: {', '.join(sorted(m.id[:12] for m in matches))}")
        return matches[0] if matches else None

    def pulled(self, text: str) -> bool:
        """Whether the image that ``text`` names here came from a registry under that name."""
        return any(name.pulled for name in self._meant(text))

    def store(self, text: str) -> str:
        """The other store of this host that the image that ``text`` names here came from under that name, or ""."""
        return next((name.store for name in self._meant(text) if name.store), "")

    def _meant(self, text: str) -> tuple[Name, ...]:
        """The names that ``text`` may mean, of the image that it does mean."""
        meanings = self._meant_now()
        if text not in meanings.names:
            meanings.names[text] = self._names_of(text)
        return meanings.names[text]

    def _names_of(self, text: str) -> tuple[Name, ...]:
        records, names = self._load()
        reference = parse(text)
        found = self._named(reference, records, names)
        wanted = {str(candidate) for candidate in short_names().candidates(reference)}
        return tuple(name for name in found.names if name.name in wanted) if found else ()

    def add(self, record: Record) -> Record:
        """Commit an image (the caller holds the index lock): its names leave whichever image had them, and those it
        had already stay with it."""
        known = self.records().get(record.id)
        if known is not None:
            mine = {name.name for name in record.names}
            names = (*record.names, *(name for name in known.names if name.name not in mine))
            record = replace(record, names=names, digests=_union(record.digests, known.digests))
        self._write(record)
        taken = {name.name for name in record.names}
        for other in self.records().values():
            if other.id != record.id and any(name.name in taken for name in other.names):
                self._write(replace(other, names=tuple(name for name in other.names if name.name not in taken)))
        return record

    def drop_name(self, record: Record, name: str) -> Record:
        """Take one name from an image (the caller holds the index lock)."""
        left = replace(record, names=tuple(n for n in record.names if n.name != name))
        self._write(left)
        return left

    def drop(self, record: Record) -> None:
        """Forget an image (the caller holds the index lock)."""
        remove_file(self._disk.record(record.id))
        self._forget_cache()

    def _write(self, record: Record) -> None:
        write_file(self._disk.record(record.id), json.dumps(asdict(record), indent=1).encode())
        self._forget_cache()

    def _forget_cache(self) -> None:
        with self._lock:
            self._stamp = -1

    def _load(self) -> tuple[dict[str, Record], dict[str, str]]:
        with self._lock:
            try:
                stamp = os.stat(self._place).st_mtime_ns  # noqa: PTH116 (at every look at a pod)
            except FileNotFoundError:
                return {}, {}
            if stamp != self._stamp:
                read = (record for record in _read_all(self._disk.index) if _complete(self._disk, record))
                self._records = {record.id: record for record in read}
                self._names = _owners(self._records.values())
                self._stamp = stamp if time.time_ns() - stamp > _RACY else -1
            return self._records, self._names

    def _named(self, reference: Reference, records: dict[str, Record], names: dict[str, str]) -> Record | None:
        for candidate in short_names().candidates(reference):
            if candidate.digest:
                found = next((r for r in records.values() if str(candidate) in r.digests), None)
            else:
                found = records.get(names.get(str(candidate), ""))
            if found is not None:
                return found
        return None


def _read_all(directory: Path) -> list[Record]:
    """Every whole record. One that cannot be read is no image: what it held can be had again."""
    records = []
    for path in sorted(directory.glob("[0-9a-f]*.json")):
        try:
            records.append(_record(json.loads(path.read_bytes())))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return records


def _record(data: dict[str, Any]) -> Record:
    data["names"] = tuple(Name(**name) for name in data["names"])
    data["layers"] = tuple(Layer(**layer) for layer in data["layers"])
    for key in ("digests", "entrypoint", "cmd", "env"):
        data[key] = tuple(data[key])
    return Record(**data)


def _complete(disk: Disk, record: Record) -> bool:
    """An image that lost a layer (by whose hand ever) is not here: the next pull or load mends it."""
    return all((disk.layer(layer.key) / "layer.json").exists() for layer in record.layers)


def _owners(records: Iterable[Record]) -> dict[str, str]:
    """Name -> id; the later claim wins."""
    claims = sorted((name.at, name.name, record.id) for record in records for name in record.names)
    return {name: id_ for _, name, id_ in claims}


def _once(keys: Iterable[str]) -> list[str]:
    """Without repetitions, which overlayfs refuses: what a layer brings counts where it comes last."""
    return list(reversed(dict.fromkeys(reversed(list(keys)))))


def _union(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *second)))
