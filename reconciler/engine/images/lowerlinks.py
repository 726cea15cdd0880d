"""Hard links of a layer to files of the layers below it: what overlayfs does when a file is written to, done once.

A layer lies in a directory of its own, so the file is copied up, with all that it has, and linked there. What comes of
such a layer depends on those below: it is kept under the name of the whole chain, not under its own alone.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from reconciler.engine.effects import effect
from reconciler.engine.images.view import LayerView
from reconciler.engine.images.walk import directory
from reconciler.model.errors import ImageProblem


@effect("image.link-lower")
def link_lower(root: int, links: Mapping[bytes, bytes], lowers: Sequence[Path]) -> None:
    """Make ``links`` (name -> the file that it is another name of) in the layer open at ``root``; ``lowers`` are the
    layers below, lowest first. Raises ImageProblem where there is no such file."""
    view = LayerView(lowers)
    for name, target in links.items():
        source = _file(view, name, target)
        place, _, base = target.rpartition(b"/")
        parent, _, own = name.rpartition(b"/")
        with directory(root, place, like=view) as to, directory(root, parent, like=view) as beside:
            if not os.path.lexists(os.fsencode(f"/proc/self/fd/{to}/") + base):
                _copy(source, to, base)
            if os.path.lexists(os.fsencode(f"/proc/self/fd/{beside}/") + own):
                os.unlink(own, dir_fd=beside)
            os.link(base, own, src_dir_fd=to, dst_dir_fd=beside, follow_symlinks=False)


def _file(view: LayerView, name: bytes, target: bytes) -> Path:
    parts = os.fsdecode(target).split("/")
    found = [view.resolve("/".join(parts[:count]), follow=False) for count in range(1, len(parts) + 1)]
    *above, file = found
    if all(p and p.is_dir() and not p.is_symlink() for p in above) and file and stat.S_ISREG(file.lstat().st_mode):
        return file
    shown, meant = (n.decode(errors="backslashreplace") for n in (name, target))
    raise ImageProblem(f"its hard link {shown!r} leads to {meant!r}, which is no file of this layer or those below")


def _copy(source: Path, to: int, base: bytes) -> None:
    fd = os.open(base, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=to)
    with open(source, "rb") as file, open(fd, "wb") as copy:
        shutil.copyfileobj(file, copy, 1 << 20)
        copy.flush()
        status = os.fstat(file.fileno())
        os.fchown(fd, status.st_uid, status.st_gid)
        os.fchmod(fd, stat.S_IMODE(status.st_mode))
        for attribute in os.listxattr(file.fileno()):
            os.setxattr(fd, attribute, os.getxattr(file.fileno(), attribute))
        os.utime(fd, ns=(status.st_atime_ns, status.st_mtime_ns))
