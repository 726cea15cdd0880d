"""Problem: one thing that is wrong with a manifest, with the place where a person finds it.

Values only; safe to share between threads.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from reconciler.model.key import Key

Path = tuple[str | int, ...]
"""Where a value stands in its document: ``("spec", "containers", 0, "image")``."""

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")


class Reason(StrEnum):
    """The kind of a problem, as a word for events and tests."""

    INVALID_YAML = "InvalidYAML"
    INVALID_UTF8 = "InvalidUTF8"
    TOO_LARGE = "TooLarge"
    UNKNOWN_FIELD = "UnknownField"
    NOT_SUPPORTED = "NotSupported"
    MISSING_FIELD = "MissingField"
    WRONG_TYPE = "WrongType"
    INVALID_VALUE = "InvalidValue"
    DUPLICATE_POD = "DuplicatePod"
    INTERNAL = "InternalError"


@dataclass(frozen=True, slots=True)
class Problem:
    """``line`` and ``column`` count from 1; ``field`` is "" where the problem is not one of a field.

    ``key`` is the pod it concerns, where that could be read. ``severity`` is ``error`` (this pod's new
    version does not start) or ``warning`` (it does).
    """

    path: str
    line: int
    column: int
    field: str
    message: str
    reason: str
    key: Key | None = None
    severity: str = "error"

    @property
    def is_error(self) -> bool:
        return self.severity == "error"

    def __str__(self) -> str:
        """One line: the place, as far as there is one (an unreadable file has none inside), then what is wrong."""
        places = [self.path, *(str(number) for number in (self.line, self.column) if number)]
        what = f"{self.field}: {self.message}" if self.field else self.message
        told = what if self.is_error else f"warning: {what}"
        return told if self.path and not self.line and self.path in what else f"{':'.join(places)}: {told}"


@dataclass(frozen=True, slots=True)
class Flaw:
    """A problem on its way: positions count from 0, and file and key are not known yet.

    ``line`` -1 means "look ``at`` up in the document"; ``on_key`` then asks for the place of the field's
    name rather than of its value.
    """

    message: str
    reason: Reason
    at: Path = ()
    line: int = -1
    column: int = 0
    on_key: bool = False
    warning: bool = False


def one_line(text: str, most: int) -> str:
    """Text of a stranger's file, fit for a log: at most ``most`` characters, and none that a terminal obeys."""
    text = text if len(text) <= most else text[: most - 3] + "..."
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def field_path(path: Path) -> str:
    """Write a path as Kubernetes does: ``spec.containers[0].image``, ``metadata.labels[example.org/a]``."""
    text = ""
    for part in path:
        if isinstance(part, int) or not _PLAIN.match(part):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text
