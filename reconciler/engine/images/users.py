"""Users: what an image's USER (or runAsUser) means, by the image's own /etc/passwd and /etc/group.

The rules are those of runc's libcontainer user package, which docker, podman and containerd share: numbers
need no entry, names do; groups beyond the first are looked up only when the group is not given.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from reconciler.engine.images.view import Directory, LayerView
from reconciler.model.errors import ImageProblem

_ID_MAX = (1 << 31) - 1


@dataclass(frozen=True, slots=True)
class User:
    """Numbers for the process; ``home`` for HOME where the environment has none, "" to leave it to the runtime."""

    uid: int = 0
    gid: int = 0
    extra_gids: tuple[int, ...] = ()
    home: str = ""

    def with_group(self, gid: int) -> User:
        """The same user with another primary group (runAsGroup)."""
        return replace(self, gid=gid)


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    uid: int
    gid: int
    home: str


@dataclass(frozen=True, slots=True)
class _Group:
    name: str
    gid: int
    members: tuple[str, ...]


def resolve_user(view: LayerView, text: str) -> User:
    """Resolve ``user[:group]``, names or numbers; "" is root. Raises ImageProblem when the image knows no such name.

    Layers never change, and each look at a pod that is being made asks for each of its containers.
    """
    return _resolved(view.root, text)


@lru_cache(maxsize=256)
def _resolved(root: Directory, text: str) -> User:
    view = LayerView(tuple(reversed(root)))
    user, colon, group = text.partition(":")
    groups = _groups(view)
    entry = _find_user(view, user or "0")
    name, uid, gid, home = entry.name, entry.uid, entry.gid, entry.home
    if colon and group:
        return User(uid, _find_group(groups, group), (), home)
    extra = tuple(sorted({g.gid for g in groups if name and name in g.members and g.gid != gid}))
    return User(uid, gid, extra, home)


def _find_user(view: LayerView, wanted: str) -> _Entry:
    """A number is never a name: a line "1000:x:0:0" in the image's passwd would make root of user 1000."""
    number = _number(wanted)
    for entry in _users(view):
        if entry.name == wanted if number is None else entry.uid == number:
            return entry
    if number is None:
        raise ImageProblem(f"cannot use user {wanted}: the image has no such user in /etc/passwd")
    return _Entry("", number, 0, "/")


def _find_group(groups: tuple[_Group, ...], wanted: str) -> int:
    number = _number(wanted)
    for group in groups:
        if group.name == wanted if number is None else group.gid == number:
            return group.gid
    if number is None:
        raise ImageProblem(f"cannot use group {wanted}: the image has no such group in /etc/group")
    return number


def _number(text: str) -> int | None:
    if not (text.isascii() and text.isdigit()):
        return None
    if int(text) > _ID_MAX:
        raise ImageProblem(f"cannot use id {text}: ids go up to {_ID_MAX}")
    return int(text)


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= len(str(_ID_MAX)) and int(text) <= _ID_MAX


def _users(view: LayerView) -> tuple[_Entry, ...]:
    fields = (line.split(":") for line in (view.read_text("/etc/passwd") or "").splitlines())
    whole = (f for f in fields if len(f) >= 6 and _is_id(f[2]) and _is_id(f[3]))
    return tuple(_Entry(f[0], int(f[2]), int(f[3]), f[5] or "/") for f in whole)


def _groups(view: LayerView) -> tuple[_Group, ...]:
    fields = (line.split(":") for line in (view.read_text("/etc/group") or "").splitlines())
    whole = (f for f in fields if len(f) >= 4 and _is_id(f[2]))
    return tuple(_Group(f[0], int(f[2]), tuple(f[3].split(","))) for f in whole)
