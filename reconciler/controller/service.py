"""What the service manager is told of the controller: that it is ready, how things stand, that it lives, its end.

The watchdog is fed by the thread that waits for the end, and only while ``Health`` knows of no trouble: a hanging
process, a dead thread or one that is stuck stops it, and the manager begins anew. Without a manager nothing is told.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable

from reconciler.controller.health import Health
from reconciler.controller.log import Log
from reconciler.controller.sync import Result
from reconciler.linux.notify import Notifier
from reconciler.model.desired import Suspended
from reconciler.model.key import Key

NAMED = 3
"""How many pods the status line names."""


def keep_told(notifier: Notifier, health: Health, log: Log, stop: threading.Event) -> None:
    """Wait until ``stop`` is set; the manager hears all the while that we are well, as long as we are."""
    if not notifier.watchdog:
        stop.wait()
        return
    told = ""
    while not stop.wait(notifier.watchdog / 3):
        trouble = health.trouble()
        if not trouble:
            notifier.tell(WATCHDOG=1)
        elif trouble != told:
            log.error("not well: the watchdog will end this controller, pods go on", cause=trouble)
            notifier.tell(STATUS=trouble)
        told = trouble


class StatusLine:
    """The line that ``systemctl status`` shows, told when it changed. Any thread may call."""

    def __init__(self, notifier: Notifier, result: Callable[[Key], Result | None]) -> None:
        self._notifier = notifier
        self._result = result
        self._lock = threading.Lock()
        self._count = Count()
        self._told = ""

    def tell(self, key: Key) -> None:
        """A sync of ``key`` has ended."""
        if not self._notifier:
            return
        with self._lock:
            self._count.note(key, self._result(key))
            line = self._count.line()
            if line != self._told:
                self._notifier.tell(STATUS=line)
                self._told = line


class Count:
    """How many pods are as wanted, by what each sync says: one sync costs the same among 400 pods as among 4."""

    def __init__(self) -> None:
        self._there: set[Key] = set()
        self._aside: set[Key] = set()
        self._behind: set[Key] = set()

    def note(self, key: Key, result: Result | None) -> None:
        """How the last sync of ``key`` ended."""
        there = result is not None and result.owner is not None
        aside = result is not None and isinstance(result.desired, Suspended)
        behind = result is not None and not aside and not result.status.converged
        for keys, belongs in ((self._there, there), (self._aside, there and aside), (self._behind, there and behind)):
            (keys.add if belongs else keys.discard)(key)

    def line(self) -> str:
        """ "4 pods, 3 as wanted; not: default/web"."""
        there, aside, behind = len(self._there), len(self._aside), len(self._behind)
        line = f"{there} pod{'' if there == 1 else 's'}, {there - aside - behind} as wanted"
        line += f", {aside} suspended" if aside else ""
        if not behind:
            return line
        named = ", ".join(heapq.nsmallest(NAMED, map(str, self._behind)))
        more = f" and {behind - NAMED} more" if behind > NAMED else ""
        return f"{line}; not: {named}{more}"
