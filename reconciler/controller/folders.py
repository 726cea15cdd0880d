"""Directory events: one thread that turns what happens in the sources' trees into keys on the queue.

Acts on what is finished: a file closed after writing, a rename, a link, a deletion. A file that some process is
still writing keeps its last content until it is closed (or until the resync, which reads everything). What must
be watched is learned from each look: the trees themselves, the directories above them (a replaced folder sends
nothing by itself), and every link on the way to a file (Kubernetes swaps ``..data``).
"""

from __future__ import annotations

import errno
import os
import selectors
import stat
import threading
from collections.abc import Callable, Mapping

from reconciler.controller.health import Health
from reconciler.controller.log import Log, Silent
from reconciler.linux.inotify import Change, Inotify, Mask
from reconciler.model.clock import Clock
from reconciler.model.errors import ReconcilerError
from reconciler.model.key import Key
from reconciler.model.observed import Instant
from reconciler.sources.directory import DirectorySource
from reconciler.sources.names import is_hidden, is_manifest
from reconciler.sources.tree import Identity, Interest

NAMES = Mask.MOVED_FROM | Mask.MOVED_TO | Mask.CREATE | Mask.DELETE
CONTENT = NAMES | Mask.CLOSE_WRITE | Mask.ATTRIB | Mask.MODIFY | Mask.DELETE_SELF | Mask.MOVE_SELF

AGAIN = 2.0
"""Seconds until everything is read where looking at it failed."""


class FolderWatcher:
    """Watches the trees of ``sources``; ``add`` gets each key about which they say something new.

    ``resync``: seconds after which everything is read and every key looked at although nothing was heard (0: never);
    ``on_resync`` is called then. ``before_scan`` is called when something was heard, ``on_scan`` after each look at a
    source. ``health`` hears what the thread is at.
    """

    def __init__(
        self,
        sources: tuple[DirectorySource, ...],
        add: Callable[[Key, Instant | None], None],
        clock: Clock,
        *,
        resync: float,
        on_resync: Callable[[], None],
        on_scan: Callable[[DirectorySource], None],
        before_scan: Callable[[], None] = lambda: None,
        log: Log | None = None,
        health: Health | None = None,
    ) -> None:
        self._sources = sources
        self._add = add
        self._clock = clock
        self._resync = resync
        self._on_resync = on_resync
        self._on_scan = on_scan
        self._before_scan = before_scan
        self._log = log or Silent()
        self._health = health or Health()
        self._inotify = Inotify()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._stopped = False
        self._interests: dict[int, Interest] = {}
        self._watches: dict[DirectorySource, dict[str, int]] = {}
        self._writing: dict[tuple[int, str], Identity] = {}
        self._unwatched: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="folders", daemon=True)

    def start(self) -> None:
        """Look once and begin to watch; returns when nothing that happens from now on is missed."""
        for source in self._sources:
            self._scan(source)
        self._thread.start()
        self._health.must_live(self._thread)

    def look_again(self) -> None:
        """Read everything and look at every key, soon. May be called from a signal's handler."""
        os.eventfd_write(self._wake, 1)

    def stop(self) -> None:
        self._stopped = True
        os.eventfd_write(self._wake, 1)
        if self._thread.is_alive():
            self._thread.join()
        self._inotify.close()
        os.close(self._wake)

    # --- the thread --------------------------------------------------------------------------------------------

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._inotify, selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            due = self._next_resync()
            while not self._stopped:
                ready = selector.select(None if due is None else max(0.0, due - self._clock.now()))
                if self._stopped:
                    return
                with self._health.at("reading the folders"):
                    due = self._round(bool(ready), due)

    def _round(self, ready: bool, due: Instant | None) -> Instant | None:
        """Take up what was heard, and what is due; when the next resync is."""
        try:
            asked = ready and self._woken()
            if ready:
                self._heard(self._inotify.read())
            if asked or (due is not None and self._clock.now() >= due):
                due = self._next_resync()
                self._read_everything()
        except ReconcilerError as error:
            self._log.warning("cannot look at the folders", cause=error.message)
            return self._soon(due)
        except Exception:  # whatever it is, the folders must go on being watched
            self._log.error("directory watch failed unexpectedly", exc_info=True)
            return self._soon(due)
        return due

    def _soon(self, due: Instant | None) -> Instant:
        """What was heard may not have been taken up: everything is read again."""
        again = self._clock.now() + AGAIN
        return again if due is None else min(due, again)

    def _woken(self) -> bool:
        try:
            return os.eventfd_read(self._wake) > 0
        except BlockingIOError:
            return False

    def _next_resync(self) -> Instant | None:
        return self._clock.now() + self._resync if self._resync > 0 else None

    def _read_everything(self) -> None:
        self._writing.clear()
        for source in self._sources:
            self._scan(source)
        self._on_resync()

    def _heard(self, changes: list[Change]) -> None:
        """Look again at the sources that are concerned, once for all that was heard together."""
        concerned: set[DirectorySource] = set()
        for change in changes:
            if change.mask & Mask.OVERFLOW:
                self._log.warning("directory events lost", cause="inotify queue overflow")
                self._writing.clear()
                concerned.update(self._sources)
            elif self._matters(change) and self._is_finished(change):
                concerned |= self._watchers(change.watch)
            if change.mask & Mask.IGNORED:
                self._dropped(change.watch)
        if concerned:
            self._before_scan()
        for source in self._sources:
            if source in concerned:
                source.touched()
                self._scan(source)

    def _matters(self, change: Change) -> bool:
        """Whether it is about a name that somebody asked for, and not mere noise beside the manifests."""
        interest = self._interests.get(change.watch)
        if interest is None:
            return False
        if not change.name or change.name in interest.names:
            return True
        if not interest.visible or is_hidden(change.name):
            return False
        return is_manifest(change.name) or bool(change.mask & (NAMES | Mask.IS_DIRECTORY))

    def _is_finished(self, change: Change) -> bool:
        """Whether the change is one to act on; keeps the list of files that are being written."""
        file = (change.watch, change.name)
        if change.mask & Mask.IS_DIRECTORY or not change.name:
            return True
        if change.mask & Mask.MODIFY:
            self._is_written(file)
            return False
        if change.mask & Mask.CREATE:
            return not self._is_written(file, new=True)
        if change.mask & (NAMES | Mask.CLOSE_WRITE):
            self._writing.pop(file, None)
        return True

    def _is_written(self, file: tuple[int, str], *, new: bool = False) -> bool:
        """Note that a file is being written: it is whole when it is closed. A ``new`` link is whole at once."""
        directory = next((d for w in self._watches.values() for d, n in w.items() if n == file[0]), None)
        try:
            status = os.lstat(f"{directory}/{file[1]}")
        except OSError:
            return False
        if not stat.S_ISREG(status.st_mode) or (new and status.st_nlink > 1):
            return False
        self._writing[file] = (status.st_dev, status.st_ino)
        return True

    def _watchers(self, number: int) -> set[DirectorySource]:
        return {source for source, watched in self._watches.items() if number in watched.values()} or set(self._sources)

    def _dropped(self, number: int) -> None:
        """The kernel ended a watch: its directory was deleted or unmounted."""
        self._interests.pop(number, None)
        for watched in self._watches.values():
            for directory in [directory for directory, n in watched.items() if n == number]:
                del watched[directory]

    # --- looking -----------------------------------------------------------------------------------------------

    def _scan(self, source: DirectorySource) -> None:
        """Look, watch what was found, and look again until nothing new had to be watched: what appeared between
        the look and the watch is seen by the next look."""
        changed: set[Key] = set()
        for _ in range(20):
            snapshot, keys = source.scan(self._writing.values())
            changed |= keys
            if not self._watch(source, snapshot.watch):
                break
        self._on_scan(source)
        for key in changed:
            self._add(key, None)

    def _watch(self, source: DirectorySource, wanted: Mapping[str, Interest]) -> bool:
        """Watch what is wanted, let go what nobody wants any more; True where something new is watched."""
        before = self._watches.get(source, {})
        now: dict[str, int] = {}
        for directory, interest in wanted.items():
            number = self._add_watch(directory, interest)
            if number is not None:
                now[directory] = number
                self._interests[number] = self._interests.get(number, Interest()) | interest
        self._watches[source] = now
        used = {number for watched in self._watches.values() for number in watched.values()}
        for number in [number for number in self._interests if number not in used]:
            del self._interests[number]
            self._inotify.forget(number)
            self._writing = {file: identity for file, identity in self._writing.items() if file[0] != number}
        return any(before.get(directory) != number for directory, number in now.items())

    def _add_watch(self, directory: str, interest: Interest) -> int | None:
        mask = CONTENT if interest.content else NAMES
        try:
            return self._inotify.add(directory, mask | Mask.ONLY_DIRECTORY | Mask.ADD_TO_MASK)
        except OSError as error:
            known = (errno.ENOENT, errno.ENOTDIR)  # an event above tells when it is there
            if error.errno not in known and directory not in self._unwatched:
                self._unwatched.add(directory)
                self._log.warning("cannot watch directory", path=directory, cause=(error.strerror or "").lower())
            return None
