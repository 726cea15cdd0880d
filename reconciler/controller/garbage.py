"""Garbage collection: images that nobody needs, when they are too many or too old, and what is left of dead containers.

At the kubelet's pace (pkg/kubelet: ImageGCPeriod, ContainerGCPeriod). Of dead containers the plan leaves no more than
one each, the last, until its successor runs; what is collected here is what killed processes left (``tidy``).

One thread. It decides nothing (``plan.stock``), and whatever it removes is looked at again under the image store's
locks, so nobody has to wait for it or to be careful.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from reconciler.controller.health import Health
from reconciler.controller.log import Log
from reconciler.controller.wanted import Wanted
from reconciler.model.clock import Clock
from reconciler.model.errors import ReconcilerError
from reconciler.model.events import EventType
from reconciler.model.interfaces import PodEngine
from reconciler.model.stock import Space, Stock, StockedImage
from reconciler.plan.stock import expired, in_turn, is_full, missing, percent

IMAGES_EACH, REMAINS_EACH = 300.0, 60.0
"""Seconds between two looks."""
FIRST = 2.0
"""Seconds after the start: what runs is taken over first."""
AGAIN = 30.0
"""Seconds after which images are looked at again where somebody had some brought just then."""

ABOUT = "images"
"""What events are about that are not about one image."""

_NORMAL, _WARNING = EventType.NORMAL, EventType.WARNING


@dataclass(frozen=True, slots=True)
class Collector:
    """What is needed to collect images. ``wanted``: the references that pods name which are wanted."""

    engine: PodEngine
    clock: Clock
    log: Log
    wanted: Callable[[], frozenset[str]]
    progress: Callable[[], None] = lambda: None

    def images(self) -> bool:
        """Remove the images that are to go; False where that has to be tried again soon.

        1. Those that nobody has needed for too long. 2. Where the disk is full, what belongs to no image. 3. Where it
        still is, one image after the other. 4. Tell what could not be freed. Raises ReconcilerError.
        """
        stock = self.engine.stock(self.wanted)
        now = self.clock.wall()
        old = expired(stock, now)
        self._remove(old, "nothing has needed it for longer than gc_max_age")
        if stock.space.capacity <= 0:
            self._tell(_WARNING, "InvalidDiskCapacity", "invalid capacity 0 on image filesystem")
            return True
        if not is_full(stock.space, stock.policy):
            return True
        return self._free(without(stock, old), now)

    def _free(self, stock: Stock, now: float) -> bool:
        """Until the disk says that it is enough, or the sizes of what was removed do: some file systems tell late what
        is free (btrfs), and images share layers. So it is looked at again where it is not."""
        space = self.engine.sweep_images()
        if space is None:
            return False
        wanted, freed = missing(space, stock.policy), 0
        for image in in_turn(stock, now):
            if not missing(space, stock.policy):
                return True
            if freed >= wanted:
                return False
            if self._remove((image,), f"the disk is {percent(stock.space)} % full, and nothing needs it"):
                freed += image.size
            space = self.engine.sweep_images()
            if space is None:
                return False
        if short := missing(space, stock.policy):
            self._tell_short(space, wanted, short)
        return True

    def _remove(self, images: tuple[StockedImage, ...], why: str) -> int:
        """How many are gone."""
        gone = 0
        for image in images:
            if self.engine.drop_image(image, self.wanted):
                gone += 1
                self.log.info("image removed", image=image.name, cause=why)
                self._tell(_NORMAL, "ImageRemoved", f"Removed: {why}", f"image/{image.name}")
            self.progress()
        return gone

    def _tell_short(self, space: Space, wanted: int, short: int) -> None:
        """In the kubelet's words."""
        said = (
            "Failed to garbage collect required amount of images. Attempted to free"
            f" {wanted} bytes, but only found {max(0, wanted - short)} bytes eligible to free."
        )
        self.log.warning("the disk of images stays full", percent=percent(space), cause=said)
        self._tell(_WARNING, "FreeDiskSpaceFailed", said)

    def failed(self, error: ReconcilerError) -> None:
        """Tell that images could not be collected."""
        self.log.warning("cannot collect images", cause=error.message)
        self._tell(_WARNING, "ImageGCFailed", error.message)

    def _tell(self, type_: EventType, reason: str, message: str, about: str = ABOUT) -> None:
        with suppress(ReconcilerError):  # a full disk; the log has it
            self.engine.emit(about, type_, reason, message)


def without(stock: Stock, images: tuple[StockedImage, ...]) -> Stock:
    gone = {image.id for image in images}
    return replace(stock, images=tuple(image for image in stock.images if image.id not in gone))


class Housekeeper:
    """The thread. ``start`` and ``stop`` once."""

    def __init__(self, engine: PodEngine, wanted: Wanted, clock: Clock, log: Log, health: Health) -> None:
        self._engine, self._clock, self._log, self._health = engine, clock, log, health
        self._collector = Collector(engine, clock, log, wanted.images, health.progress)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="garbage", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._health.must_live(self._thread)

    def stop(self) -> None:
        """Begin nothing more, and wait for what is under way."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        images = self._clock.now() + FIRST
        remains = self._clock.now() + REMAINS_EACH
        while not self._stop.wait(max(0.0, min(images, remains) - self._clock.now())):
            with self._health.at("collecting garbage"):
                if self._clock.now() >= images:
                    images = self._clock.now() + (IMAGES_EACH if self._images() else AGAIN)
                if self._clock.now() >= remains:
                    self._remains()
                    remains = self._clock.now() + REMAINS_EACH

    def _images(self) -> bool:
        try:
            return self._collector.images()
        except ReconcilerError as error:
            self._collector.failed(error)
        except Exception:  # whatever it is, it must be tried again
            self._log.error("image collection failed unexpectedly", exc_info=True)
        return True

    def _remains(self) -> None:
        try:
            self._engine.tidy(names=False)
        except ReconcilerError as error:
            self._log.warning("cannot tidy up", cause=error.message)
        except Exception:  # the same
            self._log.error("tidying up failed unexpectedly", exc_info=True)
