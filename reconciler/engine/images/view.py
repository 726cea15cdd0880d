"""LayerView: to look into an image on the host, without mounting it.

Follows overlayfs' rules (whiteouts, opaque directories) and resolves symbolic links inside the image, so
that no path ever leads out of it. Reads only; stateless, so any thread may use one.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

OPAQUE = "trusted.overlay.opaque"
"""Hides what the layers below have in the same directory (kernel: overlayfs.rst)."""

_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)
_LINKS_MAX = 40
"""As the kernel's MAXSYMLINKS."""
_READ_MAX = 4 << 20

Directory = tuple[Path, ...]
"""One directory as the image shows it: the layers' directories that are merged there, uppermost first."""


class LayerView:
    """``layers`` are unpacked directories, lowest first, as in ``Image.layers``."""

    def __init__(self, layers: Sequence[Path]) -> None:
        self.root: Directory = tuple(reversed(layers))

    def resolve(self, path: str, follow: bool = True) -> Path | None:
        """Where the file that the image shows at ``path`` lies on the host (for a directory: its uppermost layer).

        ``follow`` False: a symbolic link at the end is the answer itself. None: there is no such file.
        """
        found = self._walk(path, follow=follow)
        return (found[0] if found else None) if isinstance(found, tuple) else found

    def _walk(self, path: str, *, follow: bool) -> Path | Directory | None:
        todo = [part for part in reversed(path.split("/")) if part not in ("", ".")]
        trail: list[Directory] = [self.root]
        links = 0
        while todo:
            part = todo.pop()
            if part == "..":
                trail = trail[:-1] or trail
                continue
            found = _look_up(trail[-1], part)
            if isinstance(found, tuple):
                trail.append(found)
                continue
            if found is None:
                return None
            if not found.is_symlink():
                return found if not todo else None
            if not todo and not follow:
                return found
            links += 1
            if links > _LINKS_MAX:
                return None
            target = str(found.readlink())
            trail = [self.root] if target.startswith("/") else trail
            todo += [step for step in reversed(target.split("/")) if step not in ("", ".")]
        return trail[-1]

    def entries(self, path: str) -> Iterator[tuple[str, Path | Directory]]:
        """What the image shows in a directory, by name in order: where a file or link lies on the host; of a directory
        all that are merged there. Empty where the image has no such directory."""
        directory = self._directory(path)
        for name in sorted({place.name for layer in directory for place in layer.iterdir()}):
            found = _look_up(directory, name)
            if found is not None:
                yield name, found

    def _directory(self, path: str) -> Directory:
        found = self._walk(path, follow=True)
        return found if isinstance(found, tuple) else ()

    def read_text(self, path: str) -> str | None:
        """The content of a regular file of at most 4 MiB; None where there is none."""
        place = self.resolve(path)
        if place is None or not place.is_file() or place.stat().st_size > _READ_MAX:
            return None
        return place.read_text(errors="replace")

    def is_executable(self, path: str) -> bool:
        """Whether it is a regular file that somebody may execute."""
        place = self.resolve(path)
        if place is None:
            return False
        mode = place.stat().st_mode
        return stat.S_ISREG(mode) and bool(mode & 0o111)


def find_command(view: LayerView, argv0: str, path_env: str, working_dir: str) -> str | None:
    """Where the runtime would find a command in the image: by ``path_env`` (the value of PATH), or from
    ``working_dir`` when it holds a slash. None: the image has no such executable."""
    return _found(view.root, argv0, path_env, working_dir)


@lru_cache(maxsize=256)
def _found(root: Directory, argv0: str, path_env: str, working_dir: str) -> str | None:
    """Layers never change, and each look at a pod that is being made asks for each of its containers."""
    view = LayerView(tuple(reversed(root)))
    if "/" in argv0:
        place = argv0 if argv0.startswith("/") else f"{working_dir}/{argv0}"
        return place if view.is_executable(place) else None
    if not argv0:
        return None
    for directory in path_env.split(":"):
        place = f"{directory or working_dir}/{argv0}"
        if view.is_executable(place):
            return place
    return None


def _look_up(directory: Directory, name: str) -> Path | Directory | None:
    """One step down: a file (or link), a merged directory, or nothing."""
    merged: list[Path] = []
    for layer in directory:
        place = layer / name
        try:
            mode = place.lstat().st_mode
        except OSError as e:
            if e.errno not in _NOT_THERE:
                raise
            continue
        if not stat.S_ISDIR(mode):
            hidden = stat.S_ISCHR(mode) and place.lstat().st_rdev == 0
            return tuple(merged) if merged else None if hidden else place
        merged.append(place)
        if _is_opaque(place):
            break
    return tuple(merged) if merged else None


def _is_opaque(place: Path) -> bool:
    try:
        return os.getxattr(place, OPAQUE, follow_symlinks=False) == b"y"
    except OSError:
        return False
