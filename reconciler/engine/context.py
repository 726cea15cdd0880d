"""What every part of the engine works with, put together once in each process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from reconciler.engine import processes
from reconciler.engine.layout import Layout
from reconciler.engine.store.tx import Store
from reconciler.model.clock import Clock, SystemClock
from reconciler.model.key import ContainerId, Key, PodId
from reconciler.model.process import PidRef

if TYPE_CHECKING:
    from reconciler.engine.cgroups import Driver
    from reconciler.engine.choice import Choice
    from reconciler.engine.config import Config
    from reconciler.engine.hooks import Hooks
    from reconciler.engine.images.images import Images
    from reconciler.engine.living import Living
    from reconciler.engine.monitors import Monitors
    from reconciler.engine.oci.host import HostCapabilities
    from reconciler.engine.records import ContainerRecord
    from reconciler.engine.runtime import Runtime
    from reconciler.model.events import EventType
    from reconciler.model.login import Logins
    from reconciler.model.objects import ObjectsFor
    from reconciler.model.observed import Container


@dataclass(frozen=True, slots=True)
class Settings:
    """What a user may choose: the instance's root, the OCI runtime by name, a monitor program by path.

    ``ended`` are the words that monitors of containers made by hand run, with the container's id, when it has ended;
    () for none."""

    root: Path | None = None
    runtime: str | None = None
    conmon: Path | None = None
    ended: tuple[str, ...] = ()


T = TypeVar("T")


class once(Generic[T]):  # noqa: N801 (it is used as a decorator)
    """A part that the first thread to ask makes, while others wait for it: two of a kind would not know of each other.

    ``functools.cached_property`` promises that only up to Python 3.11.
    """

    def __init__(self, make: Callable[[Context], T]) -> None:
        self._make = make
        self._name = make.__name__
        self._lock = threading.RLock()

    def __get__(self, context: Context, _owner: type[Context]) -> T:
        parts = vars(context)
        if self._name not in parts:
            with self._lock:
                if self._name not in parts:
                    parts[self._name] = self._make(context)
        part: T = parts[self._name]
        return part


@dataclass
class Cache:
    """Container records and the places of pods' cgroups never change, so each is read once; ``mtu`` is the uplink's
    once it was looked up, ``counted`` when the files of a volume were counted last. ``monitors`` are processes that
    were seen to be the monitors of lives of containers; ``etc`` the stamps of pods' files of /etc, with what they
    follow from; ``alike`` what was compared last for a pod or a container, and which of the two counts, and ``seen``
    containers that live, with all that they are put together from (``observe``); ``declared`` what the firewall's table
    was last made to say (what others have done to it since is found by ``upkeep``); ``no_ipv6`` why there is none, and
    until when that is to be believed."""

    containers: dict[ContainerId, ContainerRecord] = field(default_factory=dict)
    alike: dict[str, tuple[object, object, object]] = field(default_factory=dict)
    seen: dict[ContainerId, tuple[tuple[object, ...], Container]] = field(default_factory=dict)
    cgroups: dict[PodId, str] = field(default_factory=dict)
    counted: dict[tuple[PodId, str], float] = field(default_factory=dict)
    monitors: dict[ContainerId, tuple[int, PidRef]] = field(default_factory=dict)
    etc: dict[PodId, tuple[object, str]] = field(default_factory=dict)
    mtu: int = 0
    declared: object = None
    no_ipv6: tuple[float, str] = (0.0, "")


@dataclass
class Context:
    """The parts are made when first asked for: a command that only looks pays for no runtime probe."""

    settings: Settings
    layout: Layout
    clock: Clock = field(default_factory=SystemClock)
    cache: Cache = field(default_factory=Cache)
    users_of: Callable[[str], tuple[str, ...]] = lambda _image: ()
    """Names the containers made from an image id, which keep it from being removed; given by the engine."""
    objects_for: ObjectsFor = lambda _user, _owner: lambda _kind, _name: None
    """What manifests define for pods to refer to; given by whoever reads them."""

    living: Living | None = None
    """For a program that stays."""
    tell: Callable[[Key], None] = lambda _key: None
    """Tells whoever listens that something has ended of a pod; given by the engine."""
    say: Callable[[str], None] = lambda _text: None
    """Tells the user a sentence, beside what was asked for."""

    @once
    def hooks(self) -> Hooks:
        """The hooks of containers that this process is at."""
        from reconciler.engine.hooks import Hooks

        return Hooks()

    def lives(self, ref: PidRef) -> bool:
        """Whether that very process lives; a zombie does not."""
        return self.living.has(ref) if self.living else processes.alive(ref)

    @once
    def config(self) -> Config:
        """What this machine's owner decided. Raises HostUnfit where the file is wrong."""
        from reconciler.engine import config

        return config.read(self.layout.config)

    @once
    def store(self) -> Store:
        return Store(self.layout.database)

    @once
    def images(self) -> Images:
        from reconciler.engine.images.images import Images
        from reconciler.engine.images.transfer import Access
        from reconciler.engine.store import events

        def emit(about: str, kind: EventType, reason: str, message: str) -> None:
            events.emit(self.store, self.clock, about, kind, reason, message)

        passwords = self.config.images.auth_file
        access = Access(Path(passwords) if passwords else None)
        return Images(self.layout.images, self.clock, emit=emit, in_use=self.users_of, access=access)

    @once
    def monitors(self) -> Monitors:
        from reconciler.engine.monitors import Monitors

        return Monitors(self.layout, self.settings.conmon, self.enter_monitors)

    def enter_monitors(self, pid: int) -> None:
        """Move a process to where it outlives us: out of the service's and the login session's cgroup."""
        from reconciler.engine import cgroups

        cgroups.enter_monitors(self.layout.tag, pid, self.driver[0])

    @once
    def driver(self) -> tuple[Driver, str]:
        """Who makes the cgroups of new pods, and why. Raises HostUnfit where that cannot be."""
        from reconciler.engine import cgroups

        return cgroups.choose(self.config.resources.cgroup_driver)

    @once
    def choice(self) -> Choice:
        """Which OCI runtime is used, and why not the other.

        Raises HostUnfit when none works.
        """
        from reconciler.engine import choice as choosing
        from reconciler.engine import security

        choice = choosing.choose(self.layout, self.settings.runtime)
        return replace(choice, facts=security.settle(choice.facts, self.layout, self.config.security))

    def logins(self, key: Key, secrets: Iterable[str]) -> tuple[Logins, tuple[str, ...]]:
        """All passwords of a pod's Secrets together, and the names of those that are missing, or hold none."""
        from reconciler.model.objects import SECRET

        find = self.objects_for(key, None)
        found = {name: find(SECRET, name) for name in secrets}
        missing = tuple(name for name, one in found.items() if one is None or one.logins is None)
        return tuple(login for one in found.values() if one for login in one.logins or ()), missing

    @property
    def facts(self) -> HostCapabilities:
        """What this machine lets us give to containers, under the chosen runtime."""
        return self.choice.facts

    @property
    def runtime(self) -> Runtime:
        return self.choice.runtime

    def runtime_of(self, container: ContainerId) -> Runtime:
        """The runtime that speaks for a container: the one that made it; the chosen one where that cannot be."""
        from reconciler.engine import runtime

        return runtime.maker_of(container, self.layout) or self.runtime
