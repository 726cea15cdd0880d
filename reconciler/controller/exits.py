"""Exits as events: a monitor renames an exit file into place, or a process ends whose monitor is dead. A kill for
want of memory that a container survives comes the same way (``ID.oom``).

One thread waits for both (an inotify descriptor and a pidfd for each running container) and puts the pod's key
on the queue; nothing polls. The exit file is what counts: the pidfd is the net below it, for a monitor that died
before it could write, so its key is added a little later.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from reconciler.engine import processes
from reconciler.engine.descriptors import out_of_the_way
from reconciler.linux.inotify import Inotify, Mask
from reconciler.model.clock import Clock
from reconciler.model.errors import ReconcilerError
from reconciler.model.key import ContainerId, Key
from reconciler.model.observed import Instant, PidRef

MONITOR_TIME = 0.25
"""Seconds that a monitor has to write the exit file of a process that ended."""

AddKey = Callable[[Key, Instant | None], None]


class ExitWatcher:
    """Watches ``directory`` (made if missing), where a file named by container id appears at each exit."""

    def __init__(self, directory: Path, key_of: Callable[[ContainerId], Key | None], add: AddKey, clock: Clock) -> None:
        self._key_of = key_of
        self._add = add
        self._clock = clock
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._inotify = Inotify()
        self._inotify.add(str(directory), Mask.MOVED_TO | Mask.CLOSE_WRITE | Mask.ONLY_DIRECTORY)
        self._others: dict[int, Callable[[], None]] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._inotify, selectors.EVENT_READ, None)
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._selector.register(self._wake, selectors.EVENT_READ, None)
        self._lock = threading.Lock()
        self._processes: dict[int, Callable[[], None]] = {}
        self._pidfds: dict[ContainerId, tuple[int, Key]] = {}
        self._watched: dict[Key, set[ContainerId]] = {}
        self._stopped = False
        self.thread = threading.Thread(target=self._run, name="exits", daemon=True)

    def also(self, directory: Path, changed: Callable[[], None], *, deletions: bool = False) -> None:
        """Call ``changed`` when a file is renamed into ``directory`` (made if missing); with ``deletions`` also when
        one is deleted there. To be said before ``start``."""
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        mask = Mask.MOVED_TO | Mask.ONLY_DIRECTORY | (Mask.DELETE if deletions else Mask(0))
        self._others[self._inotify.add(str(directory), mask)] = changed

    def also_containers(self, directory: Path) -> None:
        """Look at the pod of a container when a file of its name is renamed into ``directory`` (made if missing). To be
        said before ``start``."""
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._inotify.add(str(directory), Mask.MOVED_TO | Mask.ONLY_DIRECTORY)

    def also_process(self, ref: PidRef, ended: Callable[[], None]) -> bool:
        """Call ``ended`` once when that process, which is no container, ends; False where it is gone already."""
        with self._lock:
            if self._stopped or (descriptor := _pidfd(ref)) is None:
                return self._stopped
            self._processes[descriptor] = ended
            self._selector.register(descriptor, selectors.EVENT_READ, ended)
            return True

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        """End the thread and close what it waits for."""
        self._stopped = True
        os.eventfd_write(self._wake, 1)
        if self.thread.is_alive():
            self.thread.join()
        with self._lock:
            for descriptor in (*(one for one, _ in self._pidfds.values()), *self._processes):
                os.close(descriptor)
            self._pidfds.clear()
            self._watched.clear()
            self._processes.clear()
        self._selector.close()
        self._inotify.close()
        os.close(self._wake)

    def watch(self, key: Key, running: Iterable[tuple[ContainerId, PidRef]]) -> None:
        """These are the running containers of ``key`` now; others that were watched for it are let go."""
        wanted = dict(running)
        with self._lock:
            if self._stopped:
                return
            for container in self._watched.get(key, set()).difference(wanted):
                self._let_go(container)
            missing = [(c, ref) for c, ref in wanted.items() if c not in self._pidfds]
            gone = [container for container, ref in missing if not self._hold(container, ref, key)]
        if gone:
            self._add(key, self._clock.now() + MONITOR_TIME)

    def _hold(self, container: ContainerId, ref: PidRef, key: Key) -> bool:
        """Open a pidfd and wait for it; False where that process is gone already."""
        descriptor = _pidfd(ref)
        if descriptor is None:
            return False
        self._pidfds[container] = (descriptor, key)
        self._watched.setdefault(key, set()).add(container)
        self._selector.register(descriptor, selectors.EVENT_READ, container)
        return True

    def _let_go(self, container: ContainerId) -> Key | None:
        descriptor, key = self._pidfds.pop(container, (-1, None))
        if key is not None and (others := self._watched.get(key)) is not None:
            others.discard(container)
            if not others:
                del self._watched[key]
        if descriptor >= 0:
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(descriptor)
            os.close(descriptor)
        return key

    def _run(self) -> None:
        while not self._stopped:
            for ready, _ in self._selector.select():
                if ready.fileobj is self._inotify:
                    self._files()
                elif callable(ready.data):
                    self._other_ended(ready.fd, ready.data)
                elif ready.data is not None:
                    self._process_ended(ready.data)

    def _files(self) -> None:
        for change in self._inotify.read():
            if change.mask & Mask.OVERFLOW:
                self._everything()
            elif change.watch in self._others:
                self._others[change.watch]()
            elif change.name and not change.name.startswith("."):
                self._exited(ContainerId(change.name.removesuffix(".oom")))

    def _exited(self, container: ContainerId) -> None:
        try:
            key = self._key_of(container)
        except ReconcilerError:
            key = None  # its record cannot be read: the process's end tells the same
        if key is not None:
            self._add(key, None)

    def _everything(self) -> None:
        """The kernel dropped events: any of the pods that run may have lost a container."""
        with self._lock:
            keys = set(self._watched)
        for key in keys:
            self._add(key, None)
        for changed in self._others.values():
            changed()

    def _process_ended(self, container: ContainerId) -> None:
        with self._lock:
            key = self._let_go(container)
        if key is not None:
            self._add(key, self._clock.now() + MONITOR_TIME)

    def _other_ended(self, descriptor: int, ended: Callable[[], None]) -> None:
        with self._lock:
            if self._processes.pop(descriptor, None) is None:
                return
            self._selector.unregister(descriptor)
            os.close(descriptor)
        ended()


def _pidfd(ref: PidRef) -> int | None:
    """A descriptor of that very process, or None where it is gone, or there is room for none."""
    try:
        descriptor = processes.opened(ref)
    except OSError:
        return None
    return None if descriptor is None else out_of_the_way(descriptor)
