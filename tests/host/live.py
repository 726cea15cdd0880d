"""A live controller over a real folder whose pods are in memory: for tests of noticing, not of containers."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from reconciler.controller.core import Core
from reconciler.controller.watch import WatchOptions, watch
from reconciler.engine.layout import Layout
from reconciler.model.clock import SystemClock
from reconciler.model.desired import Present, Unknown
from reconciler.model.key import Key
from tests.fakes.engine import FakeEngine
from tests.slowness import seconds

DEADLINE = seconds(60.0)
SETTLE = 0.3


class Live:
    """A controller that watches ``folder``, and ways to wait for what it does."""

    def __init__(
        self, folder: Path, root: Path, *, settle: float = SETTLE, resync: float = 0, prune: bool = False
    ) -> None:
        self.folder = folder
        self.engine = FakeEngine(SystemClock())  # type: ignore[arg-type]  # a clock that nobody turns
        self.layout = Layout.at(root)
        self.layout.make()
        self.core: Core | None = None
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._started = threading.Event()
        options = WatchOptions(
            self.layout,
            resync=resync,
            settle=settle,
            prune=prune,
            on_start=self._on_start,
            on_change=lambda _key: self._notify(),
        )
        self._thread = threading.Thread(
            target=watch, args=(self.engine, [folder], options), kwargs={"stop": self._stop}
        )

    def start(self) -> None:
        self._thread.start()
        assert self._started.wait(DEADLINE)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()

    def _on_start(self, core: Core) -> None:
        self.core = core
        self._started.set()

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def until(self, true: Callable[[], bool], what: str) -> None:
        """Wait for it; each sync is a moment at which it may have come true."""
        end = time.monotonic() + DEADLINE
        with self._changed:
            while not true():
                left = end - time.monotonic()
                assert left > 0, f"in vain: {what}; {self.engine.emitted[-5:]}"
                self._changed.wait(left)

    def runs(self, which: Key, command: str) -> bool:
        result = self.core.result(which) if self.core else None
        if result is None or not isinstance(result.desired, Present) or not self.engine.running(which):
            return False
        return self.engine.container(which, "main").spec.command == tuple(command.split())

    def until_runs(self, which: Key, command: str = "sleep 100") -> None:
        self.until(lambda: self.runs(which, command), f"{which} runs {command}")

    def is_held(self, which: Key, why: str) -> bool:
        """Whether nothing is done about a pod, for this reason."""
        result = self.core.result(which) if self.core else None
        return result is not None and isinstance(result.desired, Unknown) and why in result.desired.why

    def until_gone(self, which: Key) -> None:
        self.until(lambda: which not in set(self.engine.keys()), f"{which} is gone")

    def write(self, name: str, text: str) -> None:
        """As a careful program does: write elsewhere, rename into place."""
        temporary = self.folder.parent / f"{name.replace('/', '_')}.new"
        temporary.write_text(text)
        temporary.rename(self.folder / name)


def git_in(directory: Path) -> Callable[..., None]:
    """Calls git there, with none of this machine's settings."""
    settings = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}

    def git(*words: str | Path) -> None:
        subprocess.run(
            ["git", *settings, *words], cwd=directory, check=True, timeout=60, capture_output=True, env=environment
        )

    return git
