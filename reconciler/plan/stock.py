"""Which images go, because they are old or because their disk is full. Pure.

The kubelet's rules (pkg/kubelet/images/image_gc_manager.go): never one that is held; those that were not used for
longest go first; none that came only just now, whose pod may be on its way. When the disk is as full as the high mark,
it is emptied down to the low one. Beyond the kubelet: one that was loaded and has a name stays, unless the machine's
owner says otherwise, since nobody could bring it back.
"""

from __future__ import annotations

from reconciler.model.stock import ImagePolicy, Space, Stock, StockedImage


def percent(space: Space) -> int:
    """How full a disk is, as the kubelet counts it: in whole parts of what is not available."""
    return 100 - min(space.available, space.capacity) * 100 // space.capacity


def is_full(space: Space, policy: ImagePolicy) -> bool:
    """Whether images are to go. A disk of no size is none."""
    return space.capacity > 0 and percent(space) >= policy.high


def missing(space: Space, policy: ImagePolicy) -> int:
    """Bytes that are to become free to be at the low mark; 0 where it is reached."""
    return max(0, space.capacity * (100 - policy.low) // 100 - space.available)


def expired(stock: Stock, now: float) -> tuple[StockedImage, ...]:
    """Those that nobody has needed for longer than the maximum age. ``now``: seconds since the epoch."""
    oldest = stock.policy.max_age
    return tuple(image for image in in_turn(stock, now) if oldest > 0 and now - image.needed > oldest)


def in_turn(stock: Stock, now: float) -> tuple[StockedImage, ...]:
    """Those that may go, the one that was not used for longest first."""
    may = (image for image in stock.images if _may_go(image, stock.policy, now))
    return tuple(sorted(may, key=lambda image: (image.used, image.seen, image.id)))


def _may_go(image: StockedImage, policy: ImagePolicy, now: float) -> bool:
    return not image.held and (policy.local or not image.lasting) and now - image.seen >= policy.min_age
