"""Images in memory, as garbage collection asks for them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from reconciler.model.stock import ImagePolicy, Space, Stock, StockedImage


class FakeStock:
    """A disk of ``capacity`` bytes on which ``others`` and the images lie. ``refused``: ids that somebody holds in the
    moment they are to go; ``transfers``: whether somebody has images brought."""

    capacity = 1000
    others = 0
    policy = ImagePolicy()
    transfers = False

    def __init__(self) -> None:
        self.stocked: list[StockedImage] = []
        self.refused: set[str] = set()
        self.asked: list[frozenset[str]] = []

    def stock(self, wanted: Callable[[], Collection[str]]) -> Stock:
        names = wanted()
        self.asked.append(frozenset(names))
        images = tuple(replace(image, held=image.held or image.name in names) for image in self.stocked)
        return Stock(images, self.space(), self.policy)

    def drop_image(self, image: StockedImage, wanted: Callable[[], Collection[str]]) -> bool:
        if image.id in self.refused or image.name in wanted():
            return False
        self.stocked = [one for one in self.stocked if one.id != image.id]
        return True

    def sweep_images(self) -> Space | None:
        return None if self.transfers else self.space()

    def space(self) -> Space:
        used = self.others + sum(image.size for image in self.stocked)
        return Space(self.capacity, max(0, self.capacity - used))
