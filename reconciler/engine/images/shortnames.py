"""Short names: which registries a name without one means, by this machine's registries.conf.

As containers-registries.conf(5) has it: an alias decides alone, else the unqualified-search-registries are asked
in their order. Where neither is written, a short name means what it means to Kubernetes and docker: the default
registry. A file that cannot be read counts as absent here; skopeo, which reads it too, says so at the pull.
Looked up at every observation, therefore read again only when a file changed. Any thread may ask.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from reconciler.engine.files import Stamp, stamp
from reconciler.engine.images.reference import LOCAL, Reference, parse
from reconciler.model.errors import ImageProblem

_SYSTEM, _USER = "/etc/containers", "~/.config/containers"
_FILE, _DIRECTORY = "registries.conf", "registries.conf.d"


@dataclass(frozen=True, slots=True)
class ShortNames:
    """``aliases``: short name -> whole repository; ``search``: registries to look in, first first."""

    aliases: dict[str, str] = field(default_factory=dict)
    search: tuple[str, ...] = ()

    def registries(self, reference: Reference) -> tuple[Reference, ...]:
        """Where to fetch ``reference`` from, best first; never empty."""
        if reference.registry:
            return (reference.full(),)
        alias = self.aliases.get(reference.path, "")
        if alias:
            registry, _, path = alias.partition("/")
            return (replace(reference, registry=registry, path=path).full(),)
        return tuple(replace(reference, registry=name).full() for name in self.search) or (reference.full(),)

    def candidates(self, reference: Reference) -> tuple[Reference, ...]:
        """The full names that it may mean among the images that are here, best first."""
        if reference.registry:
            return (reference.full(),)
        here = replace(reference.full(), registry=LOCAL, path=reference.path)
        return tuple(dict.fromkeys((here, *self.registries(reference), reference.full())))


def short_names() -> ShortNames:
    """What this machine's files say now."""
    chosen = os.environ.get("CONTAINERS_REGISTRIES_CONF")
    user = os.path.expanduser(_USER)  # noqa: PTH111 (a fifth of what pathlib takes; this is asked at each look)
    own = [chosen] if chosen else [f for f in (f"{user}/{_FILE}", f"{_SYSTEM}/{_FILE}") if os.path.exists(f)][:1]  # noqa: PTH110
    dropped = [file for place in (_SYSTEM, user) for file in _dropped(f"{place}/{_DIRECTORY}")]
    return _read(tuple((file, stamp(file)) for file in (*own, *dropped)))


def _dropped(directory: str) -> list[str]:
    try:
        return sorted(f"{directory}/{name}" for name in os.listdir(directory) if name.endswith(".conf"))  # noqa: PTH208
    except OSError:
        return []


@lru_cache(maxsize=4)
def _read(files: tuple[tuple[str, Stamp | None], ...]) -> ShortNames:
    """Later files overrule earlier ones: aliases one by one, the search list as a whole."""
    aliases: dict[str, str] = {}
    search: tuple[str, ...] = ()
    for file, _ in files:
        try:
            said = tomllib.loads(Path(file).read_text())
        except (OSError, ValueError):
            continue
        listed, named = said.get("unqualified-search-registries"), said.get("aliases")
        if isinstance(listed, list):
            search = tuple(str(name) for name in listed if _usable(f"{name}/x"))
        if isinstance(named, dict):
            aliases |= {short: str(whole) for short, whole in named.items() if whole == "" or _usable(whole)}
    return ShortNames(aliases, search)


def _usable(repository: object) -> bool:
    """Whether it is a repository with its registry."""
    try:
        return bool(parse(str(repository)).registry)
    except ImageProblem:
        return False
