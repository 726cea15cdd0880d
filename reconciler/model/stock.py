"""What garbage collection of images decides about, and by what rules."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Space:
    """Bytes of a file system: all of it, and what is left of it to whoever is not root."""

    capacity: int
    available: int


@dataclass(frozen=True, slots=True)
class StockedImage:
    """One image that is here. ``seen``: when it was had or named last; ``used``: when it was last known to be ``held``
    (0.0: never); both as seconds since the epoch. ``held``: a container was made of it, or a pod that is recorded or
    wanted names it. ``lasting``: it has a name, and nobody gave it who could give it again."""

    id: str
    name: str
    size: int
    seen: float
    used: float = 0.0
    held: bool = False
    lasting: bool = False

    @property
    def needed(self) -> float:
        """When anybody had to do with it last."""
        return max(self.seen, self.used)


@dataclass(frozen=True, slots=True)
class ImagePolicy:
    """The kubelet's imageGCHighThresholdPercent, imageGCLowThresholdPercent, imageMinimumGCAge and imageMaximumGCAge
    (0: however old), with its defaults; ages in seconds. ``local``: whether lasting images go, too."""

    high: int = 85
    low: int = 80
    min_age: float = 120.0
    max_age: float = 0.0
    local: bool = False


@dataclass(frozen=True, slots=True)
class Stock:
    """All images, the disk that they are on, and what its owner decided."""

    images: tuple[StockedImage, ...]
    space: Space
    policy: ImagePolicy
