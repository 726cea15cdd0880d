"""Event: one line of history about one object."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class EventType(StrEnum):
    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True)
class Event:
    """``about`` is a key as text (``default/web``), a path, or an image (``image/REFERENCE``); repeated events are
    counted, not repeated."""

    about: str
    type: EventType
    reason: str
    message: str
    first_wall: float
    last_wall: float
    count: int = 1
    seq: int = 0
