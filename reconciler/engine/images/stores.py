"""Images that other programs of this host have: podman's and buildah's store, and the docker daemon's.

An image that is built here needs no registry: it is found by its name (which counts as being here, as it would in a
kubelet whose runtime has it), taken over by skopeo, and taken over anew when it was built again. Only looks; asked at
every observation of a pod whose image is not ours, so podman's list is read when it changed, docker asked at most
every few seconds. Any thread may ask.
"""

from __future__ import annotations

import json
import os
import threading
import time
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from reconciler.engine.files import Stamp, stamp
from reconciler.engine.images.reference import Reference, id_prefix, parse
from reconciler.engine.images.shortnames import short_names
from reconciler.model.errors import ImageProblem

PODMAN, DOCKER = "containers-storage", "docker-daemon"
"""The names of the stores, as skopeo calls them."""

_CONFIGS = ("/etc/containers/storage.conf", "/usr/share/containers/storage.conf")
_GRAPH, _RUN = "/var/lib/containers/storage", "/run/containers/storage"
_SOCKET = "unix:///var/run/docker.sock"
_ANSWER_COUNTS = 5.0
"""Seconds for which docker's answer is believed."""


@dataclass(frozen=True, slots=True)
class Offer:
    """An image in a store of another program: its id there, the full name it is to have ("" when it was asked for by
    id), and how skopeo finds it; ``daemon`` is the address of docker's."""

    store: str
    id: str
    name: str
    source: str
    daemon: str = ""


class Stores:
    """See the module."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: dict[tuple[str, str], tuple[float, str]] = {}

    def find(self, text: str, store: str = "") -> Offer | None:
        """The image of that name or id, in any store or in the one that is named. Raises ImageProblem for what is no
        reference."""
        offers = (
            self._in_podman(text) if store != DOCKER else None,
            self._in_docker(text) if store != PODMAN else None,
        )
        return next((offer for offer in offers if offer is not None), None)

    def _in_podman(self, text: str) -> Offer | None:
        for listing, place in _listings():
            images = _read(str(listing), stamp(listing))
            for image, name in _meant(images, text):
                id_ = str(image.get("id", ""))
                return Offer(PODMAN, id_, name, f"{PODMAN}:[{place}]@{id_}")
        return None

    def _in_docker(self, text: str) -> Offer | None:
        host = os.environ.get("DOCKER_HOST") or _SOCKET
        path = host.removeprefix("unix://")
        if not host.startswith("unix://") or not os.path.exists(path):  # noqa: PTH110 (cheaper, and asked often)
            return None
        for name in _names(text):
            id_ = self._asked(path, name)
            if id_:
                return Offer(DOCKER, id_, "" if id_prefix(name) else name, f"{DOCKER}:{name}", host)
        return None

    def _asked(self, path: str, name: str) -> str:
        """The id of docker's image of that name; "" where it has none or does not answer."""
        now = time.monotonic()
        with self._lock:
            at, id_ = self._answers.get((path, name), (-_ANSWER_COUNTS, ""))
        if now - at >= _ANSWER_COUNTS:
            from reconciler.engine.images import docker

            id_ = docker.image_id(path, name)
            with self._lock:
                self._answers[path, name] = (time.monotonic(), id_)
        return id_


def _names(text: str) -> Iterator[str]:
    """What to ask docker for: the names that ``text`` may mean, or the id."""
    if len(id_prefix(text)) == 64:
        yield f"sha256:{id_prefix(text)}"
        return
    yield from (str(candidate) for candidate in short_names().candidates(parse(text)))


def _meant(images: Iterable[dict[str, Any]], text: str) -> Iterator[tuple[dict[str, Any], str]]:
    """The images that ``text`` may mean, best first, each with the name under which it was found."""
    images = list(images)
    whole = id_prefix(text)
    if len(whole) == 64:
        yield from ((image, "") for image in images if image.get("id") == whole)
        return
    for candidate in short_names().candidates(parse(text)):
        yield from ((image, str(candidate)) for image in images if _bears(image, candidate))


def _bears(image: dict[str, Any], name: Reference) -> bool:
    said = image.get("names")
    names = [str(n) for n in said] if isinstance(said, list) else []
    if str(name) in names:
        return True
    return bool(name.digest) and image.get("digest") == name.digest and any(_of(n, name) for n in names)


def _of(name: str, wanted: Reference) -> bool:
    try:
        return parse(name).repository == wanted.repository
    except ImageProblem:
        return False


def _listings() -> Iterator[tuple[Path, str]]:
    """Each list of images of podman's, and how skopeo is told of its place."""
    graph, run = podman_directories()
    for listing in graph.glob("*-images/images.json"):
        yield listing, f"{listing.parent.name.removesuffix('-images')}@{graph}+{run}"


def podman_directories() -> tuple[Path, Path]:
    """Where podman keeps what lasts, and what ends with the machine (containers-storage.conf(5))."""
    config = next((c for c in (os.environ.get("CONTAINERS_STORAGE_CONF"), *_CONFIGS) if c and Path(c).is_file()), "")
    said = _settings(config, stamp(Path(config))) if config else {}
    return Path(str(said.get("graphroot") or _GRAPH)), Path(str(said.get("runroot") or _RUN))


@lru_cache(maxsize=4)
def _settings(file: str, _stamp: Stamp | None) -> dict[str, Any]:
    try:
        storage = tomllib.loads(Path(file).read_text()).get("storage")
    except (OSError, ValueError):
        return {}
    return storage if isinstance(storage, dict) else {}


@lru_cache(maxsize=4)
def _read(file: str, _stamp: Stamp | None) -> tuple[dict[str, Any], ...]:
    """podman replaces its list as a whole; one that cannot be read has nothing."""
    try:
        images = json.loads(Path(file).read_bytes())
    except (OSError, ValueError, RecursionError):
        return ()
    return tuple(image for image in images if isinstance(image, dict)) if isinstance(images, list) else ()
