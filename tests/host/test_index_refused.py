"""The index is there, but cannot be written: read-only, or locked by another process for long. A sentence says so, what
runs goes on, and so does the controller when it is over."""

from __future__ import annotations

import contextlib
import multiprocessing
import re
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from reconciler.engine.store.tx import Store
from tests.host.instance import Instance, until
from tests.host.lives import events, expect_settled, log_of, sleeper
from tests.host.manifests import pod, put
from tests.slowness import seconds

pytestmark = pytest.mark.host


@pytest.fixture
def running(instance: Instance, image: str, folder: Path) -> Instance:
    """A pod of two, and nobody who watches."""
    put(folder / "a.yaml", pod("a", sleeper("one", image), sleeper("two", image)))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    return instance


@contextmanager
def read_only(path: Path) -> Iterator[None]:
    """For whoever opens it from now on, by its place."""
    subprocess.run(["mount", "--bind", path, path], check=True, timeout=30)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", path], check=True, timeout=30)
        yield
    finally:
        subprocess.run(["umount", "--lazy", path], check=True, timeout=30)


def read_only_file(instance: Instance) -> AbstractContextManager[None]:
    return read_only(instance.engine.layout.database)


def read_only_file_system(instance: Instance) -> AbstractContextManager[None]:
    return read_only(instance.engine.layout.state)


@contextmanager
def locked(instance: Instance) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(instance.engine.layout.database, isolation_level=None)) as another:
        another.execute("BEGIN EXCLUSIVE")
        yield
        another.execute("ROLLBACK")


SAID = {
    read_only_file: "attempt to write a readonly database",
    read_only_file_system: "attempt to write a readonly database",
    locked: "another process has locked it for long",
}


@pytest.mark.parametrize("refused", SAID)
def test_it_cannot_be_written_for_a_while(
    refused: Callable[[Instance], AbstractContextManager[None]], running: Instance, image: str, folder: Path
) -> None:
    """Looking works, a new pod is a sentence for who applies it and in the controller's log, and comes by itself."""
    before = running.running("a")
    put(folder / "b.yaml", pod("b", sleeper("one", image)))
    said = f"cannot write {running.engine.layout.database}: {SAID[refused]}"
    with refused(running):
        done = running.run("apply", "--timeout", 5, folder)
        assert done.returncode == 1
        assert f"not ready: pod default/b: {said}\n" in done.stderr
        assert "Traceback" not in done.stderr
        assert running.ok("get", "pods", "a", "--no-headers").split()[1:3] == ["2/2", "Running"]
        assert running.ok("exec", "a/one", "--", "echo", "works") == "works\n"
        running.watch(folder)
        if refused is not locked:  # that it would tell after a minute
            until(lambda: said in log_of(running), "the controller tells it")
    until(lambda: running.running("b").get("one"), "the new pod runs")
    assert running.running("a") == before
    until(lambda: "Started" in [e.reason for e in events(running, "b")], "events are written again")
    assert "Traceback" not in log_of(running)
    expect_settled(running, folder)


def test_a_time_limit_holds_while_the_index_is_locked(running: Instance, image: str, folder: Path) -> None:
    """Also where a controller, which waits for it, holds what the command waits for; and for a removal."""
    before = running.running("a")
    running.watch(folder)
    until(lambda: "controller starts" in log_of(running), "it watches")
    with locked(running):
        put(folder / "b.yaml", pod("b", sleeper("one", image)))
        lock = running.engine.layout.locks / "Pod.default.b"
        until(lock.exists, "the controller is at the new pod")
        for words in (("apply", "--timeout", 1, folder), ("apply", "--wait", "--timeout", 1, folder)):
            bare = _took(running, "get", "pods")[1]
            done, took = _took(running, *words)
            assert done.returncode == 1
            assert re.search(r"not ready: pod default/b: .*\n(.*\n)*the time is over \(", done.stderr), done.stderr
            assert took < bare + seconds(1) + 2.5
    until(lambda: running.running("b").get("one"), "the new pod runs")
    assert running.running("a") == before


def _took(instance: Instance, *words: object) -> tuple[subprocess.CompletedProcess[str], float]:
    """How a command ended, and the seconds until then."""
    begun = time.monotonic()
    return instance.run(*words), time.monotonic() - begun


def test_what_another_thread_opened_while_it_was_read_only_is_not_kept(running: Instance) -> None:
    """SQLite shares what it maps of a file among a process's threads: one that only reads would keep it read-only for
    those that write."""
    database = running.engine.layout.database
    mine = Store(database)
    mine.read("SELECT 1")  # where nobody has it open, it cannot even be read then
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        process.submit(_open_it_at_the_end, database).result(seconds(60))
    mine.close()


def _open_it_at_the_end(database: Path) -> None:
    """One thread opens it while it is read-only, another, which only reads, when the first has it open still."""
    store = Store(database)
    opened, over = threading.Event(), threading.Event()

    def linger() -> None:
        opened.set()
        assert over.wait(seconds(30))

    with ThreadPoolExecutor(1) as first, ThreadPoolExecutor(1) as second:
        with read_only(database.parent):
            store.fill = linger
            last = first.submit(store.read, "SELECT 1")
            assert opened.wait(seconds(30))
            store.fill = lambda: None
        assert second.submit(store.read, "SELECT 1").result() == [(1,)]
        over.set()
        assert last.result() == [(1,)]
        with store.transaction() as connection:
            connection.execute("DELETE FROM events WHERE 0")
        store.close()
