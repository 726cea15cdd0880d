"""What the files of a projected volume are made of: values that name objects and fields, and hold no content.

configMap, secret, downwardAPI and projected volumes of Kubernetes all are lists of these.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from reconciler.model.cost import Cost, costs


class SourceKind(StrEnum):
    CONFIG_MAP = "configMap"
    SECRET = "secret"
    DOWNWARD = "downwardAPI"


@dataclass(frozen=True, slots=True)
class File:
    """One file, at ``path`` in the volume: what an object has under ``key``; or of the pod itself, ``field`` (a path as
    ``metadata.labels``) or ``resource`` (as ``limits.cpu``) of its ``container``, in units of ``divisor``:
    bytes, or thousandths of a core (0: one byte, one core). ``mode`` None is the volume's."""

    path: str = costs(Cost.CONTAINER)
    key: str = costs(Cost.CONTAINER, "")
    field: str = costs(Cost.CONTAINER, "")
    resource: str = costs(Cost.CONTAINER, "")
    container: str = costs(Cost.CONTAINER, "")
    divisor: int = costs(Cost.CONTAINER, 0)
    mode: int | None = costs(Cost.CONTAINER, None)


@dataclass(frozen=True, slots=True)
class VolumeSource:
    """``name`` of the object, "" for the pod itself (DOWNWARD). ``files`` () of an object: each of its keys under its
    own name. ``optional``: what is not there is left out."""

    kind: SourceKind = costs(Cost.CONTAINER)
    name: str = costs(Cost.CONTAINER, "")
    files: tuple[File, ...] = costs(Cost.CONTAINER, ())
    optional: bool = costs(Cost.CONTAINER, False)
