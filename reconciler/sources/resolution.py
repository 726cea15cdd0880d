"""What a source says of a key. Apart from how folders come to it, as commands by hand ask no folder."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.model.desired import Desired
from reconciler.model.observed import Instant


@dataclass(frozen=True, slots=True)
class Resolution:
    """``again_at``: when a fresh look may say something else, although nothing happened. ``gone``: the source does
    not define the key any more (and only care keeps the pod), so another source may have it. ``foreign``: its pod is
    a source's that is not looked after here, which tells of it itself. ``losing``: an object that it refers to is gone,
    which is not believed yet."""

    desired: Desired
    again_at: Instant | None = None
    gone: bool = False
    foreign: bool = False
    losing: bool = False
