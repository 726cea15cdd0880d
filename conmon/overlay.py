"""A container's root: one writable directory over any number of layers.

mount(2) takes one page of options, which names of more than about 140 layers outgrow. So layers are given to the
kernel one at a time (fsconfig(2), Linux 6.7); an older one gets them in one page where they fit, else in groups, each
a mount of its own that the root is then stacked from: overlayfs may lie on overlayfs once.
"""

from __future__ import annotations

import errno
import os

from conmon import libc

PAGE = 4095
"""Bytes of mount(2)'s options, without the zero at their end."""

_NOT_KNOWN = (errno.ENOSYS, errno.EINVAL, errno.EPERM)
"""No such call; no such option, or a path that it does not take; a seccomp filter older than the call."""


def mount(target: bytes, upper: bytes, work: bytes, lowers: list[bytes]) -> None:
    """Mount at ``target``; ``lowers`` uppermost first, relative to the working directory. Raises OSError."""
    if not any(b"\\" in path for path in (upper, work, *lowers)):  # kernels differ in whether that escapes here
        try:
            one_by_one(target, upper, work, lowers)
        except OSError as error:
            if error.errno not in _NOT_KNOWN:
                raise
        else:
            return
    in_pages(target, upper, work, lowers)


def show(target: bytes, lowers: list[bytes]) -> None:
    """Mount layers at ``target`` for reading alone; as ``mount``. Raises OSError."""
    if len(lowers) > 1:
        stacked(target, lowers)
        return
    tree = libc.open_tree(lowers[0])  # overlayfs wants two
    try:
        libc.set_read_only(tree)
        libc.move_mount(tree, target)
    finally:
        os.close(tree)


def stacked(target: bytes, lowers: list[bytes]) -> None:
    names = [_escape(lower, b":") for lower in lowers]
    if len(_lowerdir(names)) > PAGE:
        names = [_escape(_group(target, n, group), b":") for n, group in enumerate(_grouped(names))]
    libc.mount(b"overlay", target, b"overlay", libc.MS_RDONLY, _lowerdir(names))


def one_by_one(target: bytes, upper: bytes, work: bytes, lowers: list[bytes]) -> None:
    fd = libc.fsopen(b"overlay")
    try:
        for lower in lowers:
            libc.fsconfig(fd, b"lowerdir+", lower)
        libc.fsconfig(fd, b"upperdir", upper)
        libc.fsconfig(fd, b"workdir", work)
        made = libc.fsmount(fd)
    finally:
        os.close(fd)
    try:
        libc.move_mount(made, target)
    finally:
        os.close(made)


def in_pages(target: bytes, upper: bytes, work: bytes, lowers: list[bytes]) -> None:
    """With mount(2). Groups are mounted beside ``target``."""
    over = b",upperdir=" + _escape(upper) + b",workdir=" + _escape(work)
    names = [_escape(lower, b":") for lower in lowers]
    if len(_lowerdir(names)) + len(over) > PAGE:
        groups = [_group(target, number, names) for number, names in enumerate(_grouped(names))]
        names = [_escape(group, b":") for group in groups]
    libc.mount(b"overlay", target, b"overlay", 0, _lowerdir(names) + over)


def _grouped(names: list[bytes]) -> list[list[bytes]]:
    """As many in each as fit a page, and not one alone: a mount without upper directory needs two."""
    groups: list[list[bytes]] = [[]]
    for name in names:
        if len(_lowerdir([*groups[-1], name])) > PAGE:
            groups.append([])
        groups[-1].append(name)
    if len(groups) > 1 and len(groups[-1]) == 1:
        groups[-1].insert(0, groups[-2].pop())
    return groups


def _group(target: bytes, number: int, names: list[bytes]) -> bytes:
    place = target.rstrip(b"/") + b"-%d" % number
    if not os.path.isdir(place):
        os.mkdir(place, 0o700)
    libc.mount(b"overlay", place, b"overlay", libc.MS_RDONLY, _lowerdir(names))
    return place


def _lowerdir(names: list[bytes]) -> bytes:
    return b"lowerdir=" + b":".join(names)


def _escape(path: bytes, also: bytes = b"") -> bytes:
    """A comma ends an option, a colon a layer (overlayfs: a backslash before them)."""
    for char in (b"\\", b",", also):
        path = path.replace(char, b"\\" + char) if char else path
    return path
