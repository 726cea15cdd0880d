"""What the service manager is told of the controller: that it is ready, how things stand, that it lives, its end.

The watchdog is fed by the thread that waits for the end, and only while ``Health`` knows of no trouble: a hanging
process, a dead thread or one that is stuck stops it, and the manager begins anew. Without a manager nothing is told.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from reconciler.controller.health import Health
from reconciler.controller.log import Log
from reconciler.controller.sync import Result
from reconciler.linux.notify import Notifier
from reconciler.model.desired import Suspended

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

    def __init__(self, notifier: Notifier, results: Callable[[], Iterable[Result]]) -> None:
        self._notifier = notifier
        self._results = results
        self._lock = threading.Lock()
        self._told = ""

    def tell(self) -> None:
        if not self._notifier:
            return
        with self._lock:
            line = summary(self._results())
            if line != self._told:
                self._notifier.tell(STATUS=line)
                self._told = line


def summary(results: Iterable[Result]) -> str:
    """ "4 pods, 3 as wanted; not: default/web"."""
    there = [result for result in results if result.owner is not None]
    aside = sum(isinstance(result.desired, Suspended) for result in there)
    looked_after = [result for result in there if not isinstance(result.desired, Suspended)]
    behind = sorted(str(result.key) for result in looked_after if not result.status.converged)
    line = f"{len(there)} pod{'' if len(there) == 1 else 's'}, {len(looked_after) - len(behind)} as wanted"
    line += f", {aside} suspended" if aside else ""
    if not behind:
        return line
    more = f" and {len(behind) - NAMED} more" if len(behind) > NAMED else ""
    return f"{line}; not: {', '.join(behind[:NAMED])}{more}"
