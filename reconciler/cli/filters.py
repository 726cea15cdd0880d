"""``--filter KEY=VALUE`` of ``ps`` and ``pod ps``, as podman has it: values of one key are alternatives (but for
labels, which must all be there), and what stands under several keys must all be so.

Pure, over rows. Ids match by their beginning, names as regular expressions found anywhere in them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from reconciler.cli.moments import read
from reconciler.cli.rows import ContainerRow, PodRow
from reconciler.model.errors import InvalidInput, NotFound

Values = Sequence[str]
Row = TypeVar("Row", ContainerRow, PodRow)
Keeps = Callable[[Row], bool]

CONTAINER_STATES = {
    "created": "created",
    "configured": "created",
    "initialized": "created",
    "running": "running",
    "paused": "paused",
    "exited": "exited",
    "stopped": "exited",
    "stopping": "stopping",
    "removing": "removing",
    "unknown": "unknown",
}
"""Podman's words for the state of a container, and what it is here."""
POD_STATES = ("created", "running", "degraded", "paused", "stopped", "exited", "dead", "error")


def containers(filters: Iterable[str], rows: Sequence[ContainerRow], now: float) -> list[ContainerRow]:
    """The ``rows`` that all ``filters`` let through. Raises InvalidInput, NotFound for a filter that cannot be used."""
    makers: dict[str, Callable[[Values], Keeps[ContainerRow]]] = {
        "id": lambda values: lambda row: _starts(row.id, values),
        "name": _container_names,
        "label": lambda values: lambda row: _labelled(row.labels, values),
        "label!": lambda values: lambda row: not _labelled(row.labels, values),
        "status": lambda values: _container_states(values),
        "ancestor": lambda values: lambda row: any(_descends(row, value) for value in values),
        "before": lambda values: _made_around(rows, values, before=True),
        "since": lambda values: _made_around(rows, values, before=False),
        "exited": _exit_codes,
        "pod": lambda values: lambda row: _names_pod(row, values),
        "network": lambda values: lambda row: bool({*row.networks} & {*values}),
        "volume": lambda values: lambda row: any(_mounts(row, value) for value in values),
        "until": lambda values: _until(values, now),
    }
    return _kept(rows, filters, makers)


def pods(filters: Iterable[str], rows: Sequence[PodRow], now: float) -> list[PodRow]:
    """The same for pods."""
    makers: dict[str, Callable[[Values], Keeps[PodRow]]] = {
        "id": lambda values: lambda row: _starts(row.id, values),
        "name": _pod_names,
        "label": lambda values: lambda row: _labelled(row.labels, values),
        "label!": lambda values: lambda row: not _labelled(row.labels, values),
        "status": _pod_states,
        "ctr-ids": lambda values: lambda row: any(_starts(member.id, values) for member in row.members),
        "ctr-names": _any_member(_container_names),
        "ctr-number": _numbers,
        "ctr-status": _any_member(_container_states),
        "network": lambda values: lambda row: bool({*row.networks} & {*values}),
        "until": lambda values: _until(values, now),
    }
    return _kept(rows, filters, makers)


def overrides_all(filters: Iterable[str]) -> bool:
    """Whether containers that do not run are meant, too, because their state is asked for."""
    return any(text.startswith("status=") for text in filters)


def _kept(
    rows: Sequence[Row], filters: Iterable[str], makers: Mapping[str, Callable[[Values], Keeps[Row]]]
) -> list[Row]:
    wanted: dict[str, list[str]] = {}
    for text in filters:
        key, equals, value = text.partition("=")
        if not equals:
            raise InvalidInput(f"cannot filter by {text!r}: it is not KEY=VALUE", hint=_known(makers))
        if key not in makers:
            why = "containers here have no health check" if key == "health" else "there is no such filter"
            raise InvalidInput(f"cannot filter by {key!r}: {why}", hint=_known(makers))
        wanted.setdefault(key, []).append(value)
    kept = list(rows)
    for key, values in wanted.items():
        keeps = makers[key](values)
        kept = [row for row in kept if keeps(row)]
    return kept


def _known(makers: Mapping[str, object]) -> str:
    return f"there are: {', '.join(makers)}"


def _starts(identity: str, values: Values) -> bool:
    return any(identity.startswith(value.lower()) for value in values)


def _patterns(key: str, values: Values) -> list[re.Pattern[str]]:
    try:
        return [re.compile(value) for value in values]
    except re.error as error:
        raise InvalidInput(f"cannot filter by {key} {values[-1]!r}: it is no regular expression: {error}") from None


def _container_names(values: Values) -> Keeps[ContainerRow]:
    """The name of a pod's member by itself counts as well; docker puts a slash before names."""
    patterns = _patterns("name", [value.removeprefix("/") for value in values])
    return lambda row: any(pattern.search(name) for pattern in patterns for name in (row.name, row.member))


def _pod_names(values: Values) -> Keeps[PodRow]:
    patterns = _patterns("name", values)
    return lambda row: any(pattern.search(row.name) for pattern in patterns)


def _labelled(labels: Mapping[str, str], values: Values) -> bool:
    for value in values:
        key, _, text = value.partition("=")
        if key not in labels or (text and labels[key] != text):
            return False
    return True


def _container_states(values: Values) -> Keeps[ContainerRow]:
    for value in values:
        if value not in CONTAINER_STATES:
            raise InvalidInput(
                f"cannot filter by status {value!r}: no container is ever that",
                hint=f"there are: {', '.join(CONTAINER_STATES)}",
            )
    wanted = {CONTAINER_STATES[value] for value in values}
    return lambda row: row.state in wanted or (row.stopping and "stopping" in wanted)


def _pod_states(values: Values) -> Keeps[PodRow]:
    for value in values:
        if value.lower() not in POD_STATES:
            raise InvalidInput(
                f"cannot filter by status {value!r}: no pod is ever that", hint=f"there are: {', '.join(POD_STATES)}"
            )
    wanted = {value.lower() for value in values}
    return lambda row: row.status.lower() in wanted


def _any_member(make: Callable[[Values], Keeps[ContainerRow]]) -> Callable[[Values], Keeps[PodRow]]:
    def made(values: Values) -> Keeps[PodRow]:
        keeps = make(values)
        return lambda row: any(keeps(member) for member in row.members)

    return made


def _descends(row: ContainerRow, value: str) -> bool:
    """Whether it was made from the image of a name (with its tag, or without; its end will do) or an id."""
    if len(value) >= 4 and row.image_id and row.image_id.startswith(value.removeprefix("sha256:")):
        return True
    repository, colon, tag = row.image.rpartition(":")
    names = [row.image] if not colon or "/" in tag or "@" in row.image else [row.image, repository]
    return any(name == value or name.endswith(f"/{value}") for name in names)


def _made_around(rows: Sequence[ContainerRow], values: Values, *, before: bool) -> Keeps[ContainerRow]:
    """Made before, or after, the oldest of the containers that are named."""
    limit = min(_named(rows, value).created for value in values)
    return lambda row: row.created < limit if before else row.created > limit


def _named(rows: Sequence[ContainerRow], value: str) -> ContainerRow:
    named = [row for row in rows if value in (row.name, row.member)] or [
        row for row in rows if row.id.startswith(value)
    ]
    if not named or not value:
        raise NotFound(f'cannot filter by container "{value}": there is none of that name or id')
    return max(named, key=lambda row: row.created)


def _exit_codes(values: Values) -> Keeps[ContainerRow]:
    wanted = {_number("exited", value) for value in values}
    return lambda row: row.state == "exited" and row.exit_code in wanted


def _numbers(values: Values) -> Keeps[PodRow]:
    wanted = {_number("ctr-number", value) for value in values}
    return lambda row: len(row.members) in wanted


def _number(key: str, value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise InvalidInput(f"cannot filter by {key} {value!r}: it is not a number") from None


def _names_pod(row: ContainerRow, values: Values) -> bool:
    return bool(row.pod) and any(
        value in (row.pod_name, f"{row.namespace}/{row.pod_name}") or (value and row.pod.startswith(value))
        for value in values
    )


def _mounts(row: ContainerRow, value: str) -> bool:
    """A volume by its name, by where it is from or by where it is mounted; SOURCE:TARGET says both."""
    source, colon, target = value.partition(":")
    for mount in row.mounts:
        sources = (mount.volume.name, mount.volume.named, mount.volume.host_path)
        if (source in sources and target == mount.path) if colon else source in (*sources, mount.path):
            return True
    return False


def _until(values: Values, now: float) -> Keeps[Row]:
    if len(values) != 1:
        raise InvalidInput("cannot filter by until twice: say one time")
    limit = read(values[0], now)
    if limit is None:
        raise InvalidInput(
            f"cannot filter by until {values[0]!r}: it is no time",
            hint="say a duration such as 10m, or a time such as 2026-01-02T15:04:05Z",
        )
    return lambda row: row.created < limit
