"""The life of the controller around its loop: its lock, its signals, its log, its complaints, its resync."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from reconciler.controller.core import Core
from reconciler.controller.exits import ExitWatcher
from reconciler.controller.interruption import until_interrupted
from reconciler.controller.lock import Holder, claim, holder
from reconciler.controller.log import open_log
from reconciler.controller.watch import Complaints, WatchOptions, watch
from reconciler.engine import processes
from reconciler.engine.layout import Layout
from reconciler.model.clock import SystemClock
from reconciler.model.errors import Busy
from reconciler.model.key import ContainerId, SourceId
from reconciler.model.observed import PidRef
from reconciler.sources.directory import DirectorySource
from tests.fakes.clock import FakeClock
from tests.fakes.engine import FakeEngine
from tests.slowness import seconds
from tests.unit.sources.manifests import BROKEN, key, pod

DEADLINE = seconds(20)


class TestLock:
    def test_says_who_holds_it_and_what_is_watched(self, tmp_path: Path) -> None:
        path = tmp_path / "run" / "controller.lock"
        assert holder(path) is None
        with claim(path, ["/etc/pods"], [SourceId("dir:/etc/pods")]):
            assert holder(path) == Holder(os.getpid(), ("/etc/pods",), (SourceId("dir:/etc/pods"),))
            with (
                pytest.raises(Busy, match=rf"cannot watch: another controller \(pid {os.getpid()}\) watches /etc/pods"),
                claim(path, ["/x"], []),
            ):
                pass
        assert holder(path) is None

    def test_a_holder_that_was_killed_holds_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "controller.lock"
        code = (
            "import sys, os, signal; from pathlib import Path; from reconciler.controller.lock import claim\n"
            "with claim(Path(sys.argv[1]), ['/x'], []): os.kill(os.getpid(), signal.SIGKILL)"
        )
        ended = subprocess.run([sys.executable, "-c", code, str(path)], timeout=60)
        assert ended.returncode == -signal.SIGKILL
        assert path.read_text(), "its words are still there"
        assert holder(path) is None
        with claim(path, ["/y"], []):
            assert json.loads(path.read_text())["directories"] == ["/y"]


def test_the_first_signal_asks_and_the_second_ends() -> None:
    with until_interrupted() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.raise_signal(signal.SIGINT)
    code = (
        "import signal\nfrom reconciler.controller.interruption import until_interrupted\n"
        "with until_interrupted():\n  signal.raise_signal(15)\n  signal.raise_signal(15)\n  print('still here')"
    )
    ended = subprocess.run([sys.executable, "-c", code], timeout=60, capture_output=True)
    assert ended.returncode == -signal.SIGTERM
    assert ended.stdout == b""


def test_the_log_is_logfmt_where_nobody_looks() -> None:
    out = io.StringIO()
    log = open_log(out)
    log.info("step done", pod="default/web", why="image changed: a -> b")
    try:
        raise ValueError("bug")
    except ValueError:
        log.error("sync failed unexpectedly", exc_info=True)
    first, second, *_ = out.getvalue().splitlines()
    assert 'event="step done"' in first
    assert "pod=default/web" in first
    assert "level=info" in first
    assert "bug" in out.getvalue()
    assert "exception=" in second


def test_a_problem_is_told_once_and_again_when_it_changed(tmp_path: Path) -> None:
    engine = FakeEngine()
    source = DirectorySource(tmp_path, clock=FakeClock())
    complaints = Complaints(engine, open_log(io.StringIO()))
    file = tmp_path / "web.yaml"
    for text in (BROKEN, BROKEN, pod("web", "a").replace("image:", "imag:"), pod("web"), BROKEN):
        file.write_text(text)
        source.scan()
        complaints.tell(source)
    reasons = [reason for about, _, reason, _ in engine.emitted if about == str(file)]
    assert reasons[0] == "InvalidYAML"
    assert reasons[-1] == "InvalidYAML"
    assert reasons.count("InvalidYAML") == 2
    assert set(reasons) > {"InvalidYAML"}


def test_the_resync_sees_what_nobody_told(tmp_path: Path) -> None:
    """A write through a memory map or a mount over the folder sends no event; here, a file is never closed."""
    layout = Layout.at(tmp_path / "root")
    layout.make()
    folder = tmp_path / "manifests"
    folder.mkdir()
    engine = FakeEngine(SystemClock())  # type: ignore[arg-type]  # time goes by itself here
    stop, started, seen = threading.Event(), threading.Event(), threading.Event()

    def look(_key: object) -> None:
        if engine.running(key("web")):
            seen.set()

    def begin(_core: Core) -> None:
        started.set()

    options = WatchOptions(layout, resync=0.1, exits=False, on_start=begin, on_change=look)
    thread = threading.Thread(target=lambda: watch(engine, [folder], options, stop=stop))
    thread.start()
    try:
        assert started.wait(DEADLINE)
        with (folder / "web.yaml").open("w") as file:
            file.write(pod("web"))
            file.flush()
            assert seen.wait(DEADLINE)
    finally:
        stop.set()
        thread.join(DEADLINE)
    assert not thread.is_alive()


def _descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


class TestExits:
    def test_a_pid_that_was_given_to_another_process_counts_as_gone(self, tmp_path: Path) -> None:
        added: list[object] = []
        watcher = ExitWatcher(tmp_path, lambda _id: None, lambda k, _at: added.append(k), SystemClock())
        us = processes.pid_ref(os.getpid())
        assert us is not None
        watcher.watch(key("web"), [(ContainerId("a" * 64), us)])
        assert added == []
        watcher.watch(key("db"), [(ContainerId("b" * 64), PidRef(us.pid, us.start + 1))])
        assert added == [key("db")]
        watcher.stop()

    def test_every_descriptor_is_given_back(self, tmp_path: Path) -> None:
        before = _descriptors()
        watcher = ExitWatcher(tmp_path, lambda _id: None, lambda _k, _at: None, SystemClock())
        watcher.start()
        us = processes.pid_ref(os.getpid())
        assert us is not None
        for number in range(20):
            watcher.watch(key("web"), [(ContainerId(f"{number:064x}"), us)])
        assert len(_descriptors()) < len(before) + 8, "only the newest is held"
        watcher.stop()
        assert _descriptors() == before
