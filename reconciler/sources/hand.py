"""Pods made by hand as a source of desired state: what commands asked for, a small file for each pod.

A command writes the file under the pod's lock before anything is done about it, and whoever looks after the pod reads
it: the command itself, a controller, the next command. A pod whose file is lost is left as it is; one that is to go
says so in its file, which is deleted after it. Nothing is kept in memory but whose pods are recorded.
"""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from reconciler.model.desired import Absent, Present, RunState, Unknown, Wish
from reconciler.model.errors import InvalidInput, TryLater
from reconciler.model.key import HAND, ContainerId, Key, SourceId
from reconciler.model.login import Logins
from reconciler.model.objects import SECRET, FindObject, Object, ObjectId
from reconciler.model.references import references
from reconciler.model.service import Service
from reconciler.model.spec import SPEC_VERSION, PodSpec
from reconciler.model.typed import decoder
from reconciler.sources.atomic import read_bytes, replace_file
from reconciler.sources.resolution import Resolution

if TYPE_CHECKING:
    from reconciler.kube import Problem

NAMES = ".names"
"""Beside the namespaces: a link for each name of a pod or a container, to the pod that has it. Podman has one space of
names for both."""

CODES = ".codes"
"""The exit codes of containers that were removed when they ended, for the command that waits for one."""

CODES_KEPT = 300.0
"""Seconds."""


@dataclass(frozen=True, slots=True)
class HandMember:
    """What is wanted of a member beyond its spec. ``remove``: it goes when it has ended (--rm). ``command``: the words
    by which it was made."""

    name: str
    wish: Wish = field(default_factory=Wish)
    remove: bool = False
    command: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HandSecret:
    """As version 2 kept the passwords of a Secret."""

    name: str
    logins: Logins = field(repr=False)
    said: float = 0.0


@dataclass(frozen=True, slots=True)
class HandObject:
    """An object that came in the manifest of a pod that refers to it. ``said``: when that was played, as seconds since
    the epoch."""

    value: Object
    said: float = 0.0


@dataclass(frozen=True, slots=True)
class HandPod:
    """A pod as commands want it. ``solo``: it is there for its one container only. ``going``: it is to be removed, its
    containers with ``grace`` seconds to stop. ``command``: the words by which it was made. ``objects``, those that it
    was played with, are forgotten with it; ``secrets`` are those of a file that an older version wrote."""

    spec: PodSpec
    run: RunState = RunState.RUNNING
    members: tuple[HandMember, ...] = ()
    solo: bool = False
    going: bool = False
    grace: float | None = None
    command: tuple[str, ...] = ()
    secrets: tuple[HandSecret, ...] = ()
    objects: tuple[HandObject, ...] = ()
    version: int = SPEC_VERSION

    def everything(self) -> tuple[HandObject, ...]:
        """The objects that it was played with, those of an older version, too."""
        older = (HandObject(Object(SECRET, self.key.namespace, s.name, logins=s.logins), s.said) for s in self.secrets)
        return (*self.objects, *older)

    @property
    def key(self) -> Key:
        return self.spec.key

    @property
    def containers(self) -> frozenset[str]:
        """The names of its containers, of those that are leaving and of a named infra container, too."""
        infra = (self.spec.sandbox.infra_name,) if self.spec.sandbox.infra_name else ()
        return frozenset((*(c.name for c in self.spec.everyone), *(m.name for m in self.members), *infra))

    @property
    def names(self) -> frozenset[str]:
        """What nobody else made by hand may be called: its own name and those of its containers."""
        return self.containers | {self.key.name}

    def member(self, name: str) -> HandMember:
        """What is wanted of a member; the default for one of which nobody asked for anything."""
        return next((m for m in self.members if m.name == name), HandMember(name))

    def with_member(self, member: HandMember) -> HandPod:
        """The same with this said of a member."""
        others = tuple(m for m in self.members if m.name != member.name)
        return replace(self, members=(*others, member))

    def without(self, name: str, grace: float | None = None) -> HandPod:
        """The same without a member, which has ``grace`` seconds to stop."""
        init, members = (tuple(c for c in some if c.name != name) for some in (self.spec.init, self.spec.containers))
        leaving = HandMember(name, Wish(RunState.STOPPED, grace=grace))
        return replace(self.with_member(leaving), spec=replace(self.spec, init=init, containers=members))


class HandSource:
    """See the module. ``directory``: where the files are, ``<namespace>/<name>.json`` (``Layout.hand``)."""

    id = HAND

    def __init__(self, directory: Path) -> None:
        self.path = str(directory)
        self._directory = directory
        self._lock = threading.Lock()
        self._owned: set[Key] = set()

    # --- the files ---------------------------------------------------------------------------------------------

    def read(self, key: Key) -> HandPod | None:
        """The pod as it is wanted; None where nobody asked for it.

        Raises TryLater where its file cannot be read.
        """
        try:
            return decoder(HandPod).decode(read_bytes(self._place(key)))
        except FileNotFoundError:
            return None
        except OSError as e:
            raise TryLater(f"cannot read what is wanted of pod {key}: {e.strerror}") from e
        except msgspec.MsgspecError as e:
            raise TryLater(f"cannot read what is wanted of pod {key}: {self._file(key)} is damaged ({e})") from e

    def write(self, pod: HandPod) -> None:
        """Want the pod so. For holders of its lock.

        Raises TryLater where it cannot be written.
        """
        try:
            replace_file(self._file(pod.key), msgspec.json.encode(pod))
        except OSError as e:
            raise TryLater(f"cannot write down what is wanted of pod {pod.key}: {e.strerror}") from e

    def forget(self, key: Key) -> None:
        """The pod is gone: nothing is wanted of it any more, and its names are free."""
        pod = self.read(key)
        for name in pod.names if pod else ():
            self.release(name, key)
        self._file(key).unlink(missing_ok=True)

    def all(self) -> tuple[HandPod, ...]:
        """Every pod that can be read."""
        return tuple(pod for key in sorted(self._keys()) if (pod := self._read_or_none(key)))

    def _read_or_none(self, key: Key) -> HandPod | None:
        try:
            return self.read(key)
        except TryLater:
            return None

    # --- names of pods and containers --------------------------------------------------------------------------------

    def claim(self, name: str, key: Key) -> bool:
        """Take a name for ``key`` or a container of it; False where it is taken (``holder``).

        Raises TryLater where it cannot be written.
        """
        link = self._directory / NAMES / name
        try:
            if not link.parent.is_dir():
                self._make_names(link.parent)
            link.symlink_to(_pointing_to(key))
        except FileExistsError:
            return False
        except OSError as e:
            raise TryLater(f"cannot write down the name {name}: {e.strerror}") from e
        return True

    def _make_names(self, place: Path) -> None:
        """The directory of names, with those of the pods that were made before it was lost. Beside its place, and
        renamed when whole: somebody else may do that as well, and whoever has all of them first puts it there."""
        beside = place.with_name(f"{NAMES}.new")
        beside.mkdir(parents=True, exist_ok=True, mode=0o700)
        with suppress(FileNotFoundError):  # another has put it in its place
            for pod in self.all():
                for name in pod.names if pod.spec.keep else ():  # what was played shares the names of nobody
                    with suppress(FileExistsError):
                        (beside / name).symlink_to(_pointing_to(pod.key))
            with suppress(FileExistsError):
                _rename_to_empty(beside, place)

    def holder(self, name: str) -> Key | None:
        """The pod that has this name, or a container of this name, or had claimed it."""
        try:
            namespace, _, pod = str((self._directory / NAMES / name).readlink()).partition("/")
        except OSError:
            return None
        return Key(namespace, pod)

    def release(self, name: str, key: Key) -> None:
        """Give up a name that ``key`` has."""
        if self.holder(name) == key:
            (self._directory / NAMES / name).unlink(missing_ok=True)

    # --- exit codes of what is gone ----------------------------------------------------------------------------

    def leave_code(self, container: ContainerId, code: int) -> None:
        """Say how a container ended that is about to be removed, and forget what was said long ago."""
        place = self._directory / CODES
        with suppress(OSError):  # a full disk must not keep it from being removed
            replace_file(place / container, str(code).encode())
            old = time.time() - CODES_KEPT
            for file in place.iterdir():
                if file.stat().st_mtime < old:
                    file.unlink(missing_ok=True)

    def code_of(self, container: ContainerId) -> int | None:
        """How a container ended that is gone; None where nobody knows."""
        try:
            return int((self._directory / CODES / container).read_text())
        except (OSError, ValueError):
            return None

    def asked_for(self, key: Key) -> bool:
        """Whether there is a word about the pod."""
        return self._file(key).exists()

    # --- a source ----------------------------------------------------------------------------------------------

    def keys(self) -> set[Key]:
        """Every key that was asked for, or that has a pod made by hand."""
        return {*self._keys(), *self.owned}

    def path_of(self, key: Key) -> str:
        return str(self._file(key))

    def problems(self) -> tuple[Problem, ...]:
        """Commands have told of theirs."""
        return ()

    def find(self, user: Key, kind: str, name: str) -> Object | None:
        """An object as the pod was played with it; else as it was played last, with whichever pod of the namespace."""

        def among(pod: HandPod) -> list[HandObject]:
            return [one for one in pod.everything() if (one.value.kind, one.value.name) == (kind, name)]

        own = self._read_or_none(user)
        if own is not None and (found := among(own)):
            return found[0].value
        found = [one for pod in self.all() if pod.key.namespace == user.namespace for one in among(pod)]
        return max(found, key=lambda one: one.said).value if found else None

    def is_lost(self, user: Key, kind: str, name: str) -> bool:  # noqa: ARG002 (see wanted.Source)
        """What a command forgets is forgotten at once."""
        return False

    def objects_for(self, user: Key, _owner: SourceId | None) -> FindObject:
        """How its objects are looked up for a pod."""
        return lambda kind, name: self.find(user, kind, name)

    def services_for(self, user: Key) -> tuple[Service, ...]:
        """The Services that a pod was played with."""
        own = self._read_or_none(user)
        return tuple(one.value.service for one in own.objects if one.value.service) if own else ()

    def images(self) -> set[str]:
        """The references of all images of the pods that can be read."""
        return {reference for pod in self.all() for reference in pod.spec.images}

    def users_of(self, objects: Collection[ObjectId]) -> set[Key]:
        """The pods that refer to one of these objects."""
        return {
            pod.key
            for pod in self.all()
            if any((kind, pod.key.namespace, name) in objects for kind, name in references(pod.spec))
        }

    def adopt(self, keys: Collection[Key]) -> None:
        with self._lock:
            self._owned.update(keys)

    def own(self, key: Key) -> None:
        with self._lock:
            self._owned.add(key)

    def disown(self, key: Key) -> None:
        with self._lock:
            self._owned.discard(key)

    @property
    def owned(self) -> frozenset[Key]:
        with self._lock:
            return frozenset(self._owned)

    def _owns(self, key: Key) -> bool:
        with self._lock:
            return key in self._owned

    def resolve(self, key: Key) -> Resolution:
        """What was asked for. A pod without a word about it is kept: no controller prunes what was made by hand."""
        try:
            pod = self.read(key)
        except TryLater as error:
            return Resolution(Unknown(error.message))
        if pod is None and self._owns(key):
            lost = f"what was wanted of it is lost; `reconciler pod rm {key.name}` removes it"
            return Resolution(Unknown(lost))
        if pod is None:
            return Resolution(Absent("nobody asked for it"), gone=True)
        if pod.going:
            return Resolution(Absent("a command asked for it", pod.grace))
        return Resolution(Present(pod.spec, HAND, pod.run, wishes=tuple((m.name, m.wish) for m in pod.members)))

    def _keys(self) -> set[Key]:
        return {
            Key(file.parent.name, file.name.removesuffix(".json"))
            for file in self._directory.glob("*/*.json")
            if not file.name.startswith(".") and not file.parent.name.startswith(".")
        }

    def _place(self, key: Key) -> str:
        return f"{self.path}/{key.namespace}/{key.name}.json"

    def _file(self, key: Key) -> Path:
        return Path(self._place(key))


def _pointing_to(key: Key) -> str:
    return f"{key.namespace}/{key.name}"


def _rename_to_empty(directory: Path, place: Path) -> None:
    """Raises FileExistsError where there is something."""
    try:
        directory.rename(place)
    except OSError as e:
        raise (FileExistsError(*e.args) if e.errno == errno.ENOTEMPTY else e) from e


def refuse_name(name: str, holder: HandPod) -> InvalidInput:
    """The error for a name that ``holder`` has."""
    of = holder.key.name
    remove = f"choose another, or remove that one: reconciler {'pod ' * (name == of and not holder.solo)}rm {name}"
    if name == of:
        whose, hint = "a container of its own" if holder.solo else "a pod", remove
    elif name == holder.spec.sandbox.infra_name:
        whose, hint = f"the infra container of pod {of}", "choose another"
    else:
        whose, hint = f"a container of pod {of}", remove
    return InvalidInput(f'cannot use the name "{name}": it is in use by {whose}', hint=hint)
