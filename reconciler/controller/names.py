"""Keeps the instance's name server running while the controller does: what the exits' thread hears, done in a thread.

The server is nobody's child, so its end is heard through a pidfd; that another process started one, through the file
that is renamed into place then. One that keeps dying is started twice a second at most.
"""

from __future__ import annotations

import threading
from pathlib import Path

from reconciler.controller.exits import ExitWatcher
from reconciler.controller.log import Log
from reconciler.model.errors import ReconcilerError
from reconciler.model.interfaces import PodEngine
from reconciler.model.observed import PidRef

REST = 0.5
"""Seconds between two looks at the server."""


class NameKeeper:
    """``directory`` is where a start of the server shows. To be made before ``exits`` is started."""

    def __init__(self, engine: PodEngine, exits: ExitWatcher, directory: Path, log: Log) -> None:
        self._engine = engine
        self._exits = exits
        self._log = log
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._watched: PidRef | None = None
        self.thread = threading.Thread(target=self._run, name="names", daemon=True)
        exits.also(directory, self.look)

    def start(self) -> None:
        self.look()
        self.thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._wake.set()
        if self.thread.is_alive():
            self.thread.join()

    def look(self) -> None:
        """Something may have happened to the server. From any thread; returns at once."""
        self._wake.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait()
            self._wake.clear()
            if self._stop.is_set():
                return
            try:
                self._watch(self._engine.tend_names())
            except ReconcilerError as error:
                self._log.warning("cannot see to the name server", cause=error.message)
            except Exception:  # whatever it is, the server must go on being looked after
                self._log.error("name server watch failed unexpectedly", exc_info=True)
            self._stop.wait(REST)

    def _watch(self, server: PidRef | None) -> None:
        if server is None or server == self._watched:
            return
        if self._watched is not None:
            self._log.info("name server started", pid=server.pid)
        self._watched = server
        if not self._exits.also_process(server, self.look):
            self.look()  # it has ended meanwhile
