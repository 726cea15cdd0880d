"""What stands in the files of a projected volume, from the objects that it names and from the pod itself. Pure.

Kubernetes' rules: pkg/volume/{configmap,secret,downwardapi,projected}.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

from reconciler.model.downward import PodFacts, text_of
from reconciler.model.errors import TryLater
from reconciler.model.key import Key
from reconciler.model.projection import File, SourceKind, VolumeSource
from reconciler.model.spec import PodSpec, Volume

KINDS = {SourceKind.CONFIG_MAP: "ConfigMap", SourceKind.SECRET: "Secret"}
_KEYS = {SourceKind.CONFIG_MAP: "config", SourceKind.SECRET: "secret"}

GROUP_MAY = 0o440
"""What the pod's fsGroup is given of a file (kubelet: roMask of volume_linux.go)."""


class Content(NamedTuple):
    data: bytes
    mode: int


Files = dict[str, Content]
"""By path in the volume."""

DataOf = Callable[[str, str], Mapping[str, bytes] | None]
"""The data of an object of the pod's namespace, by kind (ConfigMap, Secret) and name; None where there is none."""


class NotThere(TryLater):
    """An object or a key of it that is not optional is not there."""


def files_of(volume: Volume, data_of: DataOf, facts: PodFacts) -> Files:
    """Every file of a projected volume, those of later sources in place of earlier ones' of the same path.

    Raises NotThere.
    """
    found: Files = {}
    for source in volume.sources:
        if source.kind is SourceKind.DOWNWARD:
            found |= {f.path: _content(volume, f, text_of(f, facts).encode()) for f in source.files}
        else:
            found |= _of_object(volume, source, data_of)
    return found


def _of_object(volume: Volume, source: VolumeSource, data_of: DataOf) -> Files:
    kind = KINDS[source.kind]
    data = data_of(kind, source.name)
    if data is None:
        if source.optional:
            return {}
        raise NotThere(f'cannot write volume {volume.name}: {kind.lower()} "{source.name}" not found')
    if not source.files:
        return {key: Content(value, volume.default_mode) for key, value in data.items()}
    found: Files = {}
    for file in source.files:
        if file.key in data:
            found[file.path] = _content(volume, file, data[file.key])
        elif not source.optional:
            what = f"references non-existent {_KEYS[source.kind]} key: {file.key}"
            raise NotThere(f"cannot write volume {volume.name}: {kind.lower()} {what}")
    return found


def _content(volume: Volume, file: File, data: bytes) -> Content:
    return Content(data, volume.default_mode if file.mode is None else file.mode)


def of_objects(volume: Volume, data_of: DataOf) -> Mapping[str, bytes]:
    """What stands in its files that comes from objects, as what to tell it by. Raises NotThere."""
    objects = tuple(source for source in volume.sources if source.kind is not SourceKind.DOWNWARD)
    found = files_of(replace(volume, sources=objects), data_of, _NOBODY)
    return {path: b"%o " % content.mode + content.data for path, content in found.items()}


_NOBODY = PodFacts(PodSpec(Key("", "")))
"""For sources that say nothing of a pod."""
