"""One look at a folder: which manifests are there, what could not be seen, and what to watch.

Only names and stat calls; no file is opened here. Any number of threads may look at the same time. The folder
may change while it is walked: what vanishes in between is not there, and the change itself is an event that
makes us look again.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.sources.links import ancestors, trail
from reconciler.sources.names import is_hidden, is_manifest

Identity = tuple[int, int]
"""(st_dev, st_ino)"""


_DEEPEST = 64
"""Directories below the folder; the walk recurses, and nobody keeps manifests that deep."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """A file whose stamp is the same has the same content (inode, size and both times)."""

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@dataclass(frozen=True, slots=True)
class Interest:
    """What matters in one directory: these ``names``; ``visible``: also every name that is not hidden; ``content``:
    also what is written to the files, not only which there are."""

    names: frozenset[str] = frozenset()
    visible: bool = False
    content: bool = False

    def __or__(self, other: Interest) -> Interest:
        return Interest(self.names | other.names, self.visible or other.visible, self.content or other.content)


@dataclass(slots=True)
class Tree:
    """What one look found. Paths in ``files``, ``unreadable`` and ``devices`` are relative to the folder.

    ``identity`` None: the folder itself cannot be read, ``problem`` says why. ``unreadable`` maps files, links and
    directories to the cause; what was below them is not known. ``devices`` maps each directory to its file
    system, so that an unmounted one is not taken for an empty one. ``watch`` maps directories to what matters
    there. ``newest`` is the latest change time (wall clock) of anything seen.
    """

    path: str
    identity: Identity | None = None
    problem: str = ""
    files: dict[str, Stamp] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    devices: dict[str, int] = field(default_factory=dict)
    watch: dict[str, Interest] = field(default_factory=dict)
    newest: float = 0.0
    git_lock: str = ""

    def watch_name(self, directory: str, name: str, *, content: bool = False) -> None:
        self.interest(directory, Interest(frozenset({name}), content=content))

    def interest(self, directory: str, interest: Interest) -> None:
        self.watch[directory] = self.watch.get(directory, Interest()) | interest

    def saw(self, status: os.stat_result) -> None:
        self.newest = max(self.newest, status.st_ctime)


def look(path: str) -> Tree:
    """Walk the absolute ``path``. Never raises: what cannot be seen is named in the tree."""
    tree = Tree(path)
    for directory, name in (*ancestors(path), *trail(path)):
        tree.watch_name(directory, name)
    try:
        status = os.stat(path)  # noqa: PTH116 (hot path: thousands of calls a scan)
        os.listdir(path)  # noqa: PTH208
    except OSError as error:
        tree.problem = f"cannot read directory {path}: {_cause(error)}"
        return tree
    if not stat.S_ISDIR(status.st_mode):
        tree.problem = f"cannot read directory {path}: it is not a directory"
        return tree
    tree.identity = (status.st_dev, status.st_ino)
    _Walk(tree).run(status)
    tree.files = dict(sorted(tree.files.items()))
    _find_git_lock(tree)
    return tree


def look_at_file(path: str) -> Tree:
    """The tree of a single file, named on the command line: its folder is not looked at."""
    tree = Tree(path)
    for directory, name in ancestors(path):
        tree.watch_name(directory, name)
    for directory, name in trail(path):
        tree.watch_name(directory, name, content=True)
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError as error:
        tree.problem = f"cannot read {path}: {_cause(error)}"
        return tree
    tree.identity = (status.st_dev, status.st_ino)
    tree.saw(status)
    if stat.S_ISREG(status.st_mode):
        tree.files[""] = Stamp.of(status)
    else:
        tree.unreadable[""] = "it is not a regular file"
    return tree


class _Walk:
    """Real entries first, links last: what is reachable both ways is listed under its real name, and once."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.seen: set[Identity] = set()
        self.links: list[str] = []

    def run(self, top: os.stat_result) -> None:
        self.enter("", top)
        while self.links:
            links, self.links = sorted(self.links), []
            for relative in links:
                self.follow(relative)

    def enter(self, relative: str, status: os.stat_result) -> None:
        identity = (status.st_dev, status.st_ino)
        if identity in self.seen:
            return
        if relative.count("/") >= _DEEPEST:
            self.tree.unreadable[relative] = f"it lies more than {_DEEPEST} directories deep"
            return
        self.seen.add(identity)
        self.tree.saw(status)
        self.tree.devices[relative] = status.st_dev
        path = _below(self.tree.path, relative)
        self.tree.interest(path, Interest(visible=True, content=True))
        try:
            with os.scandir(path) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            self.lost(relative, error)
            return
        for entry in listed:
            if not is_hidden(entry.name):
                self.visit(_below(relative, entry.name), entry)

    def visit(self, relative: str, entry: os.DirEntry[str]) -> None:
        if entry.is_symlink():
            self.links.append(relative)
            return
        try:
            if entry.is_dir(follow_symlinks=False):
                self.enter(relative, entry.stat(follow_symlinks=False))
            elif is_manifest(entry.name):
                self.take(relative, entry.stat(follow_symlinks=False))
        except OSError as error:
            self.lost(relative, error)

    def follow(self, relative: str) -> None:
        path = _below(self.tree.path, relative)
        try:
            status = os.stat(path)  # noqa: PTH116
            self.tree.saw(os.lstat(path))
        except OSError as error:
            self.watch_trail(path)
            self.tree.unreadable[relative] = f"the link cannot be followed: {_cause(error)}"
            return
        known = (status.st_dev, status.st_ino) in self.seen
        if stat.S_ISDIR(status.st_mode):
            self.watch_trail(path)
            self.enter(relative, status)
        elif is_manifest(relative.rpartition("/")[2]) and not known:
            self.watch_trail(path)
            self.take(relative, status)

    def take(self, relative: str, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            self.tree.unreadable[relative] = "it is not a regular file"
            return
        self.seen.add((status.st_dev, status.st_ino))
        self.tree.saw(status)
        self.tree.files[relative] = Stamp.of(status)

    def watch_trail(self, path: str) -> None:
        for directory, name in trail(path):
            self.tree.watch_name(directory, name, content=True)

    def lost(self, relative: str, error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            self.tree.unreadable[relative] = _cause(error)


def _find_git_lock(tree: Tree) -> None:
    """Git holds ``index.lock`` while it replaces files; the lock's directory is watched, its going is an event."""
    at = Path(tree.path)
    for directory in (at, *at.parents):
        git = directory / ".git"
        if not git.exists():
            continue
        git = _git_directory(git)
        tree.watch_name(str(git), "index.lock")
        lock = git / "index.lock"
        if lock.exists():
            tree.git_lock = str(lock)
        return


def _git_directory(git: Path) -> Path:
    """``.git`` itself, or what the file of that name in a worktree or submodule points to ("gitdir: PATH")."""
    if git.is_dir():
        return git
    try:
        word, _, place = git.read_text(errors="replace").strip().partition(": ")
    except OSError:
        return git
    return git.parent / place if word == "gitdir" else git


def _below(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory and name else directory or name


def _cause(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
