"""The service manager's view: the watchdog is fed while all is well, and not a moment longer."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.controller.core import Core
from reconciler.controller.health import Health
from reconciler.controller.log import Silent
from reconciler.controller.service import Count, keep_told
from reconciler.controller.sync import Result
from reconciler.controller.watch import WatchOptions, watch
from reconciler.engine.layout import Layout
from reconciler.linux.notify import Notifier
from reconciler.model.clock import SystemClock
from reconciler.model.desired import Absent, Suspended
from reconciler.model.key import SourceId
from reconciler.model.status import ContainerStatus, Phase, PodStatus
from tests.fakes.engine import FakeEngine
from tests.slowness import seconds
from tests.unit.sources.manifests import key, pod

DEADLINE = seconds(20.0)


class Manager:
    """What a service manager hears, message by message."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(DEADLINE)
        self.address = str(path)

    def until(self, wanted: str) -> list[str]:
        """All messages up to one that has ``wanted`` in it."""
        heard: list[str] = []
        while not heard or wanted not in heard[-1]:
            heard.append(self.socket.recv(4096).decode())
        return heard


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path / "notify")
    yield made
    made.socket.close()


class Hand:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class TestHealth:
    def test_work_that_takes_too_long_is_trouble(self) -> None:
        hand = Hand()
        health = Health(stuck=300, now=hand)
        with health.at("pod default/web"):
            hand.now += 300
            assert health.trouble() == ""
            hand.now += 1
            assert health.trouble() == "thread MainThread has been at pod default/web for 301 s"
            health.progress()
            assert health.trouble() == "", "a step was done"
        hand.now += 1000
        assert health.trouble() == "", "a thread that waits for work may wait for ever"

    def test_a_thread_that_ended_is_trouble(self) -> None:
        health = Health()
        thread = threading.Thread(target=lambda: None, name="folders")
        thread.start()
        health.must_live(thread)
        thread.join(DEADLINE)
        assert health.trouble() == "thread folders has ended"


def test_the_watchdog_starves_while_something_is_wrong(manager: Manager) -> None:
    hand, stop = Hand(), threading.Event()
    health = Health(stuck=10, now=hand)
    thread = threading.Thread(
        target=keep_told, args=(Notifier(manager.address, watchdog=0.03), health, Silent(), stop), daemon=True
    )
    with health.at("pod default/web"):
        thread.start()
        manager.until("WATCHDOG=1")
        hand.now += 11
        assert manager.until("STATUS=")[-1] == "STATUS=thread MainThread has been at pod default/web for 11 s"
        hand.now += 1  # told anew at the next look, and no ping in between
        assert manager.until("STATUS=") == ["STATUS=thread MainThread has been at pod default/web for 12 s"]
    manager.until("WATCHDOG=1")
    stop.set()
    thread.join(DEADLINE)
    assert not thread.is_alive()


def result(name: str, *, good: bool, owned: bool = True) -> Result:
    container = ContainerStatus("one", "image", "running", ready=good, restarts=0)
    status = PodStatus(key(name), Phase.RUNNING, "Running", (container,))
    return Result(key(name), Absent(), status, owner=SourceId("dir:/x") if owned else None)


def aside(name: str, *, good: bool) -> Result:
    return replace(result(name, good=good), desired=Suspended(Absent()))


@pytest.mark.parametrize(
    ("results", "line"),
    [
        ([], "0 pods, 0 as wanted"),
        ([result("a", good=True)], "1 pod, 1 as wanted"),
        ([result("a", good=True), result("b", good=True, owned=False)], "1 pod, 1 as wanted"),
        ([result("b", good=False), result("a", good=True)], "2 pods, 1 as wanted; not: default/b"),
        ([aside("b", good=False), aside("c", good=True), result("a", good=True)], "3 pods, 1 as wanted, 2 suspended"),
        (
            [result(n, good=False) for n in "abcde"],
            "5 pods, 0 as wanted; not: default/a, default/b, default/c and 2 more",
        ),
    ],
)
def test_the_status_line(results: list[Result], line: str) -> None:
    count = Count()
    for result in results:
        count.note(result.key, result)
    assert count.line() == line


def test_the_manager_hears_of_the_whole_life(manager: Manager, tmp_path: Path) -> None:
    """READY when the folders have been read; how things stand; a reload reads them again; STOPPING at the end."""
    layout = Layout.at(tmp_path / "root")
    layout.make()
    folder = tmp_path / "manifests"
    folder.mkdir()
    (folder / "web.yaml").write_text(pod("web"))
    stop, looked = threading.Event(), threading.Event()
    known: list[int] = []

    def begin(core: Core) -> None:
        known.append(len(core.wanted.keys()))

    options = WatchOptions(
        layout,
        exits=False,
        resync=0,
        on_start=begin,
        on_change=lambda _key: looked.set(),
        notifier=Notifier(manager.address, watchdog=0.5),
    )

    def drive() -> None:
        try:
            heard = manager.until("READY=1")
            assert known == [1], "ready comes after the first look"
            manager.until("WATCHDOG=1") if any("as wanted" in m for m in heard) else manager.until("STATUS=1 pod")
            looked.clear()
            os.kill(os.getpid(), signal.SIGHUP)
            assert looked.wait(DEADLINE), "every key is looked at again"
        except BaseException as error:
            failed.append(error)
        finally:
            stop.set()

    failed: list[BaseException] = []
    driver = threading.Thread(target=drive)
    before = signal.getsignal(signal.SIGHUP)
    driver.start()
    engine = FakeEngine(SystemClock())  # type: ignore[arg-type]  # time goes by itself here
    assert watch(engine, [folder], options, stop=stop) == 0
    driver.join(DEADLINE)
    assert failed == []
    manager.until("STOPPING=1")
    assert signal.getsignal(signal.SIGHUP) is before
