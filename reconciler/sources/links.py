"""Which names decide where a path leads: what must be watched so that a swapped link is noticed.

inotify tells nothing about what lies behind a symbolic link. A Kubernetes volume shows ``web.yaml -> ..data/web.yaml``
and swaps ``..data``: the change happens to a name on the way, not to the path. Reads the file system, changes nothing.
"""

from __future__ import annotations

import os
from pathlib import Path

_MOST_LINKS = 40  # as the kernel: path_resolution(7), MAXSYMLINKS


def trail(path: str) -> tuple[tuple[str, str], ...]:
    """Every (directory, name) through which the absolute ``path`` is resolved, where a link is or the path ends.

    The directories are real ones. A link that leads nowhere ends the trail at what is missing; a loop of links
    ends it where the kernel would give up.
    """
    found: list[tuple[str, str]] = []
    at = "/"
    todo = [part for part in reversed(path.split("/")) if part]
    links = 0
    while todo:
        name = todo.pop()
        if name == ".":
            continue
        if name == "..":
            at = str(Path(at).parent)
            continue
        here = os.path.join(at, name)  # noqa: PTH118 (a plain join: names may be anything)
        try:
            target = os.readlink(here)  # noqa: PTH115 (text, not a Path: it may be relative)
        except OSError:
            if not todo:
                found.append((at, name))
            at = here
            continue
        found.append((at, name))
        links += 1
        if links > _MOST_LINKS:
            break
        if target.startswith("/"):
            at = "/"
        todo.extend(part for part in reversed(target.split("/")) if part)
    return tuple(found)


def ancestors(path: str) -> tuple[tuple[str, str], ...]:
    """Each (directory, name) above and including ``path``: where a rename takes it away from under us."""
    found = []
    at = Path(path)
    while at.parent != at:
        found.append((str(at.parent), at.name))
        at = at.parent
    return tuple(found)
