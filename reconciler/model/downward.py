"""What a pod's files and variables tell of the pod itself (the downward API): by field, by resource. Pure.

Kubernetes' forms: pkg/fieldpath, pkg/api/v1/resource.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from reconciler.model.projection import File, SourceKind
from reconciler.model.spec import Pairs, PodSpec, Resources, Volume


@dataclass(frozen=True, slots=True)
class PodFacts:
    """What the pod may tell of itself. ``cpus`` in thousandths and ``memory`` in bytes are the machine's, for limits
    that are not set."""

    spec: PodSpec
    uid: str = ""
    cpus: int = 1000
    memory: int = 0


def told(volume: Volume, facts: PodFacts) -> Pairs:
    """What of a volume's files says something of the pod, path and text: what a change of the pod may change."""
    files = (f for source in volume.sources if source.kind is SourceKind.DOWNWARD for f in source.files)
    return tuple((f.path, text_of(f, facts)) for f in files)


def stamp(pairs: Pairs) -> str:
    """A short name for what is said, another one for anything else."""
    text = "\0".join(f"{len(one)} {one}" for pair in pairs for one in pair)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def text_of(file: File, facts: PodFacts) -> str:
    """What the file of a DOWNWARD source says."""
    return field(file.field, facts) if file.field else _resource(file, facts)


_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['(.*)'\]")


def field(path: str, facts: PodFacts) -> str:
    """A field by its path. Raises ValueError for one that a volume cannot tell."""
    spec = facts.spec
    if match := _SUBSCRIPT.fullmatch(path):
        return dict(_pairs(spec, match[1])).get(match[2], "")
    match path:
        case "metadata.name":
            return spec.key.name
        case "metadata.namespace":
            return spec.key.namespace
        case "metadata.uid":
            return facts.uid
        case "metadata.labels" | "metadata.annotations":
            pairs = sorted(_pairs(spec, path.removeprefix("metadata.")))
            return "\n".join(f"{key}={quoted(value)}" for key, value in pairs)
    raise ValueError(f"no field of a pod: {path}")


def _pairs(spec: PodSpec, name: str) -> Pairs:
    return spec.labels if name == "labels" else spec.annotations


_ESCAPES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}
_ESCAPES |= {'"': '\\"', "\\": "\\\\"}


def quoted(text: str) -> str:
    """As Go's %q writes it (fieldpath: FormatMap)."""
    return '"' + "".join(map(_quoted, text)) + '"'


def _quoted(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if char.isprintable():
        return char
    number = ord(char)
    return f"\\x{number:02x}" if number < 0x80 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _resource(file: File, facts: PodFacts) -> str:
    """Rounded up to whole units (ConvertResourceCPUToString); a limit that is not set is the machine's, a request the
    limit."""
    container = facts.spec.container(file.container)
    resources = container.resources if container is not None else Resources()
    wanted, _, name = file.resource.partition(".")
    if name == "cpu":
        limit = resources.cpu_limit or facts.cpus
        amount = limit if wanted == "limits" else resources.cpu_request or 0
    elif name == "memory":
        limit = resources.memory_limit or facts.memory
        amount = limit if wanted == "limits" else resources.memory_request or 0
    else:
        amount = 0
    unit = file.divisor or (1000 if name == "cpu" else 1)
    return str(-(-amount // unit))
