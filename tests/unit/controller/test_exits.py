"""What the watcher of exits hears beside exits."""

from __future__ import annotations

import queue
from pathlib import Path

from reconciler.controller.exits import ExitWatcher
from reconciler.engine.files import write_atomic
from reconciler.model.clock import SystemClock
from reconciler.model.key import ContainerId, Key
from tests.slowness import seconds

KEY, KNOWN, STRANGE = Key("default", "web"), ContainerId("a" * 64), ContainerId("b" * 64)


def test_files_named_by_containers_lead_to_their_pods(tmp_path: Path) -> None:
    heard: queue.SimpleQueue[Key] = queue.SimpleQueue()
    watcher = ExitWatcher(
        tmp_path / "exits",
        lambda container: KEY if container == KNOWN else None,
        lambda key, _at: heard.put(key),
        SystemClock(),
    )
    watcher.also_containers(tmp_path / "probes")
    watcher.start()
    write_atomic(tmp_path / "probes" / STRANGE, b"{}")
    write_atomic(tmp_path / "probes" / KNOWN, b"{}")
    assert heard.get(timeout=seconds(20)) == KEY
    watcher.stop()
    assert heard.empty()
