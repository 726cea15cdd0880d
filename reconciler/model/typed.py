"""Decoders of JSON into our types, made once for each type and by one thread at a time.

msgspec learns a type when it first decodes into it, and until it has learnt all of it, other threads find it half known
and read through null pointers: the process dies of SIGSEGV, or worse (msgspec 0.22, StructInfo and DataclassInfo are
cached before their fields are filled in, for types that hold themselves).
"""

from __future__ import annotations

import threading
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_known: dict[type[Any], msgspec.json.Decoder[Any]] = {}
_learning = threading.Lock()


def decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """A decoder into ``kind``; its ``decode`` raises msgspec.MsgspecError and may be called by any thread."""
    found = _known.get(kind)
    if found is None:
        with _learning:
            found = _known.setdefault(kind, msgspec.json.Decoder(kind))
    return found
