"""``-v``, ``--tmpfs`` and ``--mount``: what a container finds where.

-v [SOURCE:]PLACE[:OPTION,...]    SOURCE a path of the host (it begins with / or .) or the name of a volume
--tmpfs PLACE[:OPTION,...]        memory, its own for each container
--mount type=bind|volume|tmpfs,src=SOURCE,dst=PLACE,...

Whether a path of the host exists is not looked at here.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from reconciler.flags import amounts, lists
from reconciler.model.errors import InvalidInput
from reconciler.model.spec import Mount, Volume, VolumeKind
from reconciler.model.words import clean_path, did_you_mean

VOLUME_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}")

PROPAGATION = ("private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable")
READ_ONLY_TMPFS = ("/run", "/tmp", "/var/tmp")
"""Where a container with --read-only may write all the same (podman: --read-only-tmpfs)."""

_CHOICES = (
    ("rw", "ro"),
    ("exec", "noexec"),
    ("suid", "nosuid"),
    ("dev", "nodev"),
    ("copy", "nocopy"),
    ("tmpcopyup", "notmpcopyup"),
    ("rbind", "bind"),
    PROPAGATION,
    ("z", "Z"),
    ("size",),
    ("mode",),
    ("noatime",),
    ("noswap",),
)
"""Of each line one word, and once."""

_EVERY = {"rw", "ro", "exec", "noexec", "suid", "nosuid", "dev", "nodev"}
_ALLOWED = {
    VolumeKind.HOST_PATH: {*_EVERY, "copy", "nocopy", "rbind", "bind", "z", "Z", *PROPAGATION},
    VolumeKind.NAMED: {*_EVERY, "copy", "nocopy", "z", "Z"},
    VolumeKind.TMPFS: {*_EVERY, "tmpcopyup", "notmpcopyup", "size", "mode", "noatime", "noswap"},
}
_KEPT = {
    VolumeKind.HOST_PATH: {"noexec", "nosuid", "nodev", "bind", *PROPAGATION} - {"rprivate"},
    VolumeKind.NAMED: {"noexec", "nosuid", "nodev", "nocopy"},
    VolumeKind.TMPFS: {"noexec", "nosuid", "nodev", "tmpcopyup", "noatime", "noswap"},
}
"""What is said of a mount; all else is so anyway."""

_TMPFS_DEFAULTS = {"suid": "nosuid", "dev": "nodev", "notmpcopyup": "tmpcopyup"}
"""What holds for a tmpfs unless the word before it is said: podman's, whose documentation names noexec as well."""

_WORDS = {VolumeKind.HOST_PATH: "a path of the host", VolumeKind.NAMED: "a volume", VolumeKind.TMPFS: "a tmpfs"}
_REFUSED = {
    "U": ("files are not given to the container's user", "chown them beforehand"),
    "O": ("there is no overlay over a path of the host", "mount it read-only, or a copy of it"),
    "idmap": ("ids are mapped where the pod has users of its own", "use --userns=auto, and leave idmap away"),
}
_IGNORED = ("consistency",)
_SIZE = re.compile(r"\d{1,18}[kmg]?", re.IGNORECASE | re.ASCII)
_PERCENT = re.compile(r"\d{1,3}%", re.ASCII)
_MODE = re.compile(r"[0-7]{1,5}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is needed of the world: ``directory``, against which relative paths are read, and names for volumes that
    have none."""

    directory: str
    new_name: Callable[[], str]


@dataclass(slots=True)
class _Wish:
    """One mount as it is written. ``doing`` begins every complaint about it."""

    doing: str
    kind: VolumeKind
    source: str = ""
    place: str = ""
    options: list[tuple[str, str]] = field(default_factory=list)


def mounts(
    volumes: Iterable[str] = (), tmpfs: Iterable[str] = (), others: Iterable[str] = (), *, here: Surroundings
) -> tuple[Mount, ...]:
    """What ``-v``, ``--tmpfs`` and ``--mount`` say together, sorted by place. Raises InvalidInput."""
    wishes = (*map(_volume, volumes), *map(_tmpfs, tmpfs), *map(_mount, others))
    found: dict[str, Mount] = {}
    for wish in wishes:
        mount = _made(wish, here)
        if found.setdefault(mount.path, mount) != mount:
            raise InvalidInput(f"{wish.doing}: something else is to be mounted at {mount.path}")
    return tuple(found[path] for path in sorted(found))


def with_read_only_tmpfs(own: Iterable[Mount]) -> tuple[Mount, ...]:
    """The mounts of a container that cannot write into its root: where programs must, it has memory."""
    taken = {mount.path: mount for mount in own}
    more = {path: _tmpfs_at(path) for path in READ_ONLY_TMPFS if path not in taken}
    return tuple(mount for _, mount in sorted({**taken, **more}.items()))


def merged(own: Iterable[Mount], pods: Iterable[Mount]) -> tuple[Mount, ...]:
    """A container's mounts with those that its pod gives to all; its own win."""
    return tuple(mount for _, mount in sorted(({m.path: m for m in pods} | {m.path: m for m in own}).items()))


def _tmpfs_at(path: str) -> Mount:
    return Mount(path, Volume(f"tmpfs:{path}", VolumeKind.TMPFS), options=tuple(sorted(_TMPFS_DEFAULTS.values())))


def _volume(text: str) -> _Wish:
    doing = f"cannot mount {text!r}"
    parts = text.split(":")
    if len(parts) > 3:
        raise InvalidInput(f"{doing}: it has too many colons", hint="write [SOURCE:]PLACE[:OPTION,...]")
    source, place, options = ("", *parts, "")[:3] if len(parts) == 1 else (*parts, "")[:3]
    if len(parts) > 1 and not source:
        raise InvalidInput(f"{doing}: nothing stands before the colon", hint="name a path or a volume")
    kind = VolumeKind.HOST_PATH if source.startswith(("/", ".")) else VolumeKind.NAMED
    return _Wish(doing, kind, source, place, _words(options))


def _tmpfs(text: str) -> _Wish:
    place, _, options = text.partition(":")
    return _Wish(f"cannot mount a tmpfs at {text!r}", VolumeKind.TMPFS, "", place, _words(options))


def _words(options: str) -> list[tuple[str, str]]:
    return [(word.partition("=")[0], word.partition("=")[2]) for word in options.split(",") if word]


_KINDS = {"bind": VolumeKind.HOST_PATH, "volume": VolumeKind.NAMED, "tmpfs": VolumeKind.TMPFS}
_RENAMED = {"tmpfs-size": "size", "tmpfs-mode": "mode"}
_RELABEL = {"shared": "z", "private": "Z"}


def _mount(text: str) -> _Wish:
    doing = f"cannot mount {text!r}"
    fields = [(f.partition("=")[0], f.partition("=")[2]) for f in lists.split(text)]
    name = next((value for key, value in fields if key == "type"), "volume")
    if name not in _KINDS:
        why = f"there is no type {name!r} of mounts{did_you_mean(name, [*_KINDS])}"
        raise InvalidInput(f"{doing}: {why}", hint="write type=bind, type=volume or type=tmpfs")
    wish = _Wish(doing, _KINDS[name])
    for key, value in fields:
        _take(wish, key, value)
    if wish.kind is VolumeKind.HOST_PATH and not wish.source:
        raise InvalidInput(f"{doing}: it has no source", hint="add src=PATH")
    if wish.kind is VolumeKind.TMPFS and wish.source:
        raise InvalidInput(f"{doing}: a tmpfs has no source")
    if wish.kind is VolumeKind.HOST_PATH and not wish.source.startswith(("/", ".")):
        wish.source = f"./{wish.source}"
    return wish


def _take(wish: _Wish, key: str, value: str) -> None:
    """One ``key=value`` of ``--mount`` into the wish, as ``-v`` would have it."""
    yes = _truth(wish, key, value) if key in ("ro", "readonly", "rw", "U", "chown", "bind-nonrecursive") else True
    match key:
        case "type":
            pass
        case "src" | "source":
            wish.source = value
        case "dst" | "destination" | "target":
            wish.place = value
        case "ro" | "readonly":
            wish.options.append(("ro" if yes else "rw", ""))
        case "rw":
            wish.options.append(("rw" if yes else "ro", ""))
        case "bind-propagation":
            wish.options.append((value if value in PROPAGATION else f"bind-propagation={value}", ""))
        case "relabel":
            wish.options.append((_RELABEL.get(value, f"relabel={value}"), ""))
        case "bind-nonrecursive":
            wish.options += [("bind", "")] if yes else []
        case "U" | "chown":
            wish.options += [("U", "")] if yes else []
        case _:
            wish.options.append((_RENAMED.get(key, key), value))


def _truth(wish: _Wish, key: str, value: str) -> bool:
    if value.lower() not in ("", "true", "false", "1", "0"):
        raise InvalidInput(f"{wish.doing}: {key}={value} is neither true nor false")
    return value.lower() in ("", "true", "1")


def _made(wish: _Wish, here: Surroundings) -> Mount:
    place = clean_path(wish.place)
    if not place.startswith("/"):
        why = f"{wish.place!r} is not an absolute path in the container" if place else "no place in the container"
        raise InvalidInput(f"{wish.doing}: {why}", hint="write the whole path, as /data")
    if place == "/":
        raise InvalidInput(f"{wish.doing}: the container's root is its image's")
    options = dict(_checked(wish))
    read_only = "ro" in options
    if wish.kind is VolumeKind.TMPFS:
        options |= {default: "" for word, default in _TMPFS_DEFAULTS.items() if word not in options}
    kept = tuple(sorted(options.keys() & _KEPT[wish.kind]))
    return Mount(place, _volume_of(wish, place, options, here), read_only, kept)


def _volume_of(wish: _Wish, place: str, options: dict[str, str], here: Surroundings) -> Volume:
    match wish.kind:
        case VolumeKind.TMPFS:
            made_with = tuple(f"{name}={options[name]}" for name in ("mode", "size") if name in options)
            return Volume(f"tmpfs:{place}", wish.kind, options=made_with)
        case VolumeKind.HOST_PATH:
            path = clean_path(posixpath.join(here.directory, wish.source))
            return Volume(path, wish.kind, host_path=path)
    if not wish.source:
        return Volume(here.new_name(), wish.kind, anonymous=True)
    if not VOLUME_NAME.fullmatch(wish.source):
        why = f"{wish.source!r} cannot be the name of a volume"
        raise InvalidInput(f"{wish.doing}: {why}", hint=f"a path of the host begins with / or ./ (./{wish.source})")
    return Volume(wish.source, wish.kind)


def _checked(wish: _Wish) -> Iterator[tuple[str, str]]:
    seen: dict[int, str] = {}
    for word, value in wish.options:
        if word in _IGNORED:
            continue
        if word in _REFUSED:
            why, hint = _REFUSED[word]
            raise InvalidInput(f"{wish.doing}: option {word}: {why}", hint=hint)
        choice = next((n for n, words in enumerate(_CHOICES) if word in words), None)
        if choice is None or word not in _ALLOWED[wish.kind]:
            known = "" if choice is not None else did_you_mean(word, sorted(_ALLOWED[wish.kind]))
            raise InvalidInput(f"{wish.doing}: {_WORDS[wish.kind]} has no option {word!r}{known}")
        if choice in seen:
            both = f"{seen[choice]} and {word}" if seen[choice] != word else f"{word} twice"
            raise InvalidInput(f"{wish.doing}: {both} cannot be said together")
        seen[choice] = word
        yield word, _value(wish, word, value)


def _value(wish: _Wish, word: str, value: str) -> str:
    if word == "size":
        if _PERCENT.fullmatch(value):
            return value
        if not _SIZE.fullmatch(value):
            raise InvalidInput(f"{wish.doing}: {value!r} is not a size", hint="write size=64m or size=50%")
        return str(amounts.size(value, "size"))
    if word == "mode":
        if not _MODE.fullmatch(value):
            raise InvalidInput(f"{wish.doing}: {value!r} is not a mode", hint="write it in octal, as mode=1777")
        return f"{int(value, 8):o}"
    if value:
        raise InvalidInput(f"{wish.doing}: option {word} takes no value")
    return ""
