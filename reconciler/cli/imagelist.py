"""Which images `image ls` and `image prune` mean, in which order, and how podman would show them."""

from __future__ import annotations

import fnmatch
import re
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reconciler.cli.maps import Map, Time
from reconciler.cli.table import ago, size

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from reconciler.engine.images.image import Image
    from reconciler.engine.images.images import Images

ORDERS = ("created", "id", "repository", "size", "tag")
_NAMES = ("repository", "tag")

_SECONDS = {"s": 1, "m": 60, "h": 3600}
_DURATION = re.compile(r"(?:\d+[smh])+")


def completed(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names of images that begin so, for a shell; whatever is in the way, a shell gets no answer."""
    from click.shell_completion import CompletionItem

    from reconciler.engine.images.images import Images
    from reconciler.engine.layout import Layout
    from reconciler.model.clock import SystemClock
    from reconciler.model.errors import ReconcilerError

    try:
        root = ctx.find_root().params.get("root")
        images = Images(Layout.at(Path(root) if root else None).images, SystemClock()).list()
    except (ReconcilerError, OSError):
        return []
    names = [name for image in images for name in image.names]
    names += [name.removeprefix("localhost/") for name in names if incomplete and name.startswith("localhost/")]
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def chosen(images: Images, filters: Sequence[str]) -> list[Image]:
    """The images that all ``filters`` let through, the newest first. Raises click.UsageError for a wrong filter."""
    kept = list(images.list())
    for text in filters:
        name, equals, value = text.partition("=")
        make = _FILTERS.get(name)
        if make is None or not equals:
            known = ", ".join(_FILTERS)
            raise click.UsageError(f"there is no filter {text!r}: it is NAME=VALUE, with a name of {known}")
        keeps = make(images, value)
        kept = [image for image in kept if keeps(image)]
    return kept


Keeps = Callable[["Image"], bool]


def _dangling(_images: Images, value: str) -> Keeps:
    if value not in ("true", "false"):
        raise click.UsageError(f"filter dangling: {value!r} is neither true nor false")
    return lambda image: bool(image.names) is (value == "false")


def _reference(_images: Images, value: str) -> Keeps:
    """podman's: a pattern over the whole name, or its end, with the tag or without."""

    def matches(name: str) -> bool:
        repository = split(name)[0]
        ends = [part for text in (name, repository) for part in _ends(text)]
        return any(fnmatch.fnmatchcase(end, value) for end in ends)

    return lambda image: any(map(matches, image.names))


def _ends(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[n:]) for n in range(len(parts))]


def _label(images: Images, value: str) -> Keeps:
    wanted, equals, text = value.partition("=")

    def keeps(image: Image) -> bool:
        labels = images.inspect(image.id)["Labels"] or {}
        return wanted in labels and (not equals or labels[wanted] == text)

    return keeps


def _before(images: Images, value: str) -> Keeps:
    limit = _created(_known(images, value))
    return lambda image: _created(image) < limit


def _since(images: Images, value: str) -> Keeps:
    limit = _created(_known(images, value))
    return lambda image: _created(image) > limit


def _until(_images: Images, value: str) -> Keeps:
    limit = _moment(value)
    return lambda image: _created(image) < limit


def _id(_images: Images, value: str) -> Keeps:
    return lambda image: image.id.startswith(value.removeprefix("sha256:"))


_FILTERS: dict[str, Callable[[Images, str], Keeps]] = {
    "dangling": _dangling,
    "reference": _reference,
    "label": _label,
    "before": _before,
    "since": _since,
    "until": _until,
    "id": _id,
}


def _known(images: Images, reference: str) -> Image:
    from reconciler.model.errors import NotFound

    image = images.get(reference)
    if image is None:
        raise NotFound(f"cannot compare with image {reference}: it is not here")
    return image


def _moment(text: str) -> float:
    """So long ago (24h, 1h30m), a Unix time, or a date as RFC 3339 has it."""
    if _DURATION.fullmatch(text):
        return time.time() - sum(int(n) * _SECONDS[unit] for n, unit in re.findall(r"(\d+)([smh])", text))
    if text.isdigit():
        return float(text)
    found = _parsed(text)
    if found is None:
        raise click.UsageError(f"filter until: {text!r} is neither a duration such as 24h nor a date")
    return found


def _parsed(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(re.sub(r"\.(\d{6})\d*", r".\1", text.replace("Z", "+00:00")))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).timestamp()
    except (ValueError, OverflowError):  # no date, or one before the first year
        return None


def _created(image: Image) -> float:
    return _parsed(image.created) or 0.0


def ordered(images: Iterable[Image], by: str) -> list[Image]:
    """By one of ``ORDERS``, as podman sorts: time and size the largest first."""
    match by:
        case "id":
            return sorted(images, key=lambda image: image.id)
        case "size":
            return sorted(images, key=lambda image: image.size, reverse=True)
        case "repository" | "tag":
            place = _NAMES.index(by)
            return sorted(images, key=lambda image: min(name[place] for name in shown_names(image.names)))
        case _:
            return sorted(images, key=_created, reverse=True)


def rows(images: Iterable[Image], by: str, short: slice, *, digests: bool) -> list[tuple[str, ...]]:
    """One for each name."""
    found = [
        (*name, *((image.digest,) if digests else ()), image.id[short], _age(image), size(image.size))
        for image in ordered(images, by)
        for name in shown_names(image.names)
    ]
    return sorted(found, key=lambda row: row[_NAMES.index(by)]) if by in _NAMES else found


HEADINGS = {"ID": "IMAGE ID", "Id": "IMAGE ID", "CreatedAt": "CREATED AT", "CreatedSince": "CREATED"}
_UNSAID: dict[str, Any] = {"User": "", "WorkingDir": "", "StopSignal": "", "Env": [], "Entrypoint": [], "Cmd": []}
_MAPS = ("Labels", "Annotations", "ExposedPorts", "Volumes")


def fields(images: Iterable[Image], by: str, short: slice) -> list[dict[str, Any]]:
    """What templates may ask of them, by podman's names: one for each name, as rows."""
    found = [
        {
            "Repository": repository,
            "Tag": tag,
            "ID": image.id[short],
            "Id": image.id[short],
            "Digest": image.digest,
            "Created": _age(image),
            "CreatedSince": _age(image),
            "CreatedAt": Time(_created(image)),
            "Size": size(image.size),
            "VirtualSize": size(image.size),
            "Names": list(image.names),
        }
        for image in ordered(images, by)
        for repository, tag in shown_names(image.names)
    ]
    return sorted(found, key=lambda one: one[by.capitalize()]) if by in _NAMES else found


def whole(told: dict[str, Any]) -> dict[str, Any]:
    """What ``inspect`` tells of an image, for templates: what was left out as empty can be asked for, too."""
    config = {**_UNSAID, **{key: Map() for key in _MAPS}, **told["Config"]}
    return _with_maps({**told, "Config": _with_maps(config)})


def _with_maps(told: dict[str, Any]) -> dict[str, Any]:
    return {key: Map(value or {}) if key in _MAPS else value for key, value in told.items()}


def as_podman(images: Images, image: Image) -> dict[str, Any]:
    """One image under the keys of ``podman images --format json``."""
    told = images.inspect(image.id)
    return {
        "Id": image.id,
        "ParentId": "",
        "RepoTags": told["RepoTags"] or None,
        "RepoDigests": told["RepoDigests"],
        "Size": image.size,
        "SharedSize": 0,
        "VirtualSize": image.size,
        "Labels": told["Labels"],
        "Containers": len(images.users(image.id)),
        "Names": list(image.names),
        "Digest": image.digest,
        "History": list(image.names),
        "Created": int(_created(image)),
        "CreatedAt": datetime.fromtimestamp(int(_created(image)), UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def shown_names(names: Sequence[str]) -> list[tuple[str, str]]:
    """What `image ls` shows of an image: its tags, else where its digests are from, else ``<none>``."""
    tags = [split(name) for name in names if "@" not in name]
    return tags or list(dict.fromkeys(split(name) for name in names)) or [("<none>", "<none>")]


def split(name: str) -> tuple[str, str]:
    """Repository and tag; a reference by digest has the tag ``<none>``."""
    if "@" in name:
        return name.partition("@")[0], "<none>"
    repository, colon, tag = name.rpartition(":")
    return (repository, tag) if colon and "/" not in tag else (name, "<none>")


def _age(image: Image) -> str:
    return ago(time.time() - _created(image)) if _created(image) else ""
