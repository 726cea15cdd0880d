"""How strictly manifests are read. Not safe or unsafe: what cannot be read is an error in each of the three."""

from __future__ import annotations

from enum import StrEnum


class Strictness(StrEnum):
    """What a field is that nobody knows, or that is not supported: an error (its pod's new version does not start); a
    warning, and the pod runs without it; or nothing that is worth a word."""

    STRICT = "strict"
    WARN = "warn"
    IGNORE = "ignore"
