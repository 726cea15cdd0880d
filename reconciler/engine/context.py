"""What every part of the engine works with, put together once in each process."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.engine.layout import Layout
from reconciler.engine.records import Cache
from reconciler.engine.store import events
from reconciler.engine.store.tx import Store
from reconciler.model.clock import Clock, SystemClock
from reconciler.model.events import EventType

if TYPE_CHECKING:
    from reconciler.engine.images.images import Images
    from reconciler.engine.monitors import Monitors
    from reconciler.engine.oci.host import HostCapabilities
    from reconciler.engine.runtime import Choice, Runtime


@dataclass(frozen=True, slots=True)
class Settings:
    """What a user may choose: the instance's root, the OCI runtime by name, a monitor program by path."""

    root: Path | None = None
    runtime: str | None = None
    conmon: Path | None = None


@dataclass
class Context:
    """The parts are made when first asked for: a command that only looks pays for no runtime probe."""

    settings: Settings
    layout: Layout
    clock: Clock = field(default_factory=SystemClock)
    cache: Cache = field(default_factory=Cache)

    @cached_property
    def store(self) -> Store:
        return Store(self.layout.database)

    @cached_property
    def images(self) -> Images:
        from reconciler.engine.images.images import Images
        from reconciler.engine.observe import users_of

        def emit(about: str, kind: EventType, reason: str, message: str) -> None:
            events.emit(self.store, self.clock, about, kind, reason, message)

        return Images(self.layout.images, self.clock, emit=emit, in_use=lambda image: users_of(self, image))

    @cached_property
    def monitors(self) -> Monitors:
        from reconciler.engine import cgroups
        from reconciler.engine.monitors import Monitors

        tag = self.layout.tag
        return Monitors(self.layout, self.settings.conmon, lambda pid: cgroups.enter_monitors(tag, pid))

    @cached_property
    def choice(self) -> Choice:
        """Which OCI runtime is used, and why not the other.

        Raises HostUnfit when none works.
        """
        from reconciler.engine import runtime

        return runtime.choose(self.layout, self.settings.runtime)

    @property
    def facts(self) -> HostCapabilities:
        """What this machine lets us give to containers, under the chosen runtime."""
        return self.choice.facts

    @property
    def runtime(self) -> Runtime:
        return self.choice.runtime
