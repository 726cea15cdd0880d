"""What killed runs leave where no plan looks is collected; what others work with at the same time is let be."""

from __future__ import annotations

import errno
import os
import threading
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from reconciler.engine import boundary, containers, files, locks, networks, processes, sandboxes
from reconciler.engine.context import Context, Settings
from reconciler.engine.engine import Engine
from reconciler.engine.records import RECORD, ContainerRecord, PodRecord, write
from reconciler.engine.store import addresses, settings
from reconciler.engine.store import pods as index
from reconciler.engine.store.addresses import Lease, Pool
from reconciler.model.errors import TryLater
from reconciler.model.key import ContainerId, Key, PodId, SourceId
from reconciler.model.observed import PidRef
from reconciler.model.spec import ContainerSpec, PodSpec, PortBinding

KEY = Key("default", "web")
POD, CONTAINER = PodId("a" * 64), ContainerId("c" * 64)
NETWORK = Pool("default", IPv4Network("10.9.0.0/24"))


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine.open(Settings(tmp_path))


def _recorded(ctx: Context) -> None:
    index.add_pod(ctx.store, POD, KEY, ())
    ctx.layout.pod(POD).mkdir()
    write(ctx.layout.pod(POD), RECORD, PodRecord(POD, "u", KEY, PodSpec(KEY), SourceId("hand"), "10.9.0.2", 1.0))


def test_a_tree_that_is_discarded_while_another_empties_the_trash_is_gone(tmp_path: Path) -> None:
    trash, over = tmp_path / "trash", threading.Event()

    def sweep() -> None:
        while not over.is_set():
            files.empty(trash)

    sweeper = threading.Thread(target=sweep)
    sweeper.start()
    try:
        for number in range(300):
            tree = tmp_path / str(number)
            (tree / "deep").mkdir(parents=True)
            files.discard(tree, trash)
            assert not tree.exists()
    finally:
        over.set()
        sweeper.join(60)


def test_a_file_can_be_discarded_too(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    files.discard(tmp_path / "file", tmp_path / "trash")
    assert [path.name for path in tmp_path.rglob("*")] == ["trash"]


def test_a_lease_of_a_pod_that_never_came_to_be_is_given_back(engine: Engine) -> None:
    addresses.lease(engine.context.store, KEY, NETWORK)
    engine.tidy()
    assert addresses.leases(engine.context.store) == {}


def test_a_row_without_a_record_goes_with_its_lease(engine: Engine) -> None:
    addresses.lease(engine.context.store, KEY, NETWORK)
    index.add_pod(engine.context.store, POD, KEY, ())
    engine.tidy()
    assert engine.keys() == ()
    assert addresses.leases(engine.context.store) == {}
    assert engine.check() == ()


def test_a_pod_with_a_record_keeps_what_it_has(engine: Engine) -> None:
    addresses.lease(engine.context.store, KEY, NETWORK)
    _recorded(engine.context)
    with engine.lock(KEY):
        pass
    engine.tidy()
    assert engine.keys() == (KEY,)
    assert set(addresses.leases(engine.context.store)) == {KEY}
    assert engine.layout.key_lock(KEY).exists()


def test_a_row_whose_record_is_lost_but_that_has_containers_is_reported_and_not_touched(engine: Engine) -> None:
    index.add_pod(engine.context.store, POD, KEY, ())
    index.add_container(engine.context.store, CONTAINER, POD)
    engine.tidy()
    assert engine.keys() == (KEY,)
    assert sandboxes.forgotten(engine.context) == (KEY,)


def test_lock_files_of_the_dead_are_removed_and_those_of_the_living_stay(engine: Engine) -> None:
    held = engine.layout.key_lock(Key("default", "held"))
    engine.layout.key_lock(KEY).touch()
    with locks.hold(held, Key("default", "held"), gone=lambda: False):
        engine.tidy()
        assert held.exists()
    assert not engine.layout.key_lock(KEY).exists()


def test_a_lock_file_goes_also_when_the_work_under_it_fails(engine: Engine) -> None:
    with pytest.raises(TryLater), engine.lock(KEY):
        raise TryLater("cannot do it")
    assert not engine.layout.key_lock(KEY).exists()


def test_a_container_whose_record_is_lost_is_found_by_its_row(engine: Engine) -> None:
    index.add_container(engine.context.store, CONTAINER, POD)
    assert index.pod_of(engine.context.store, CONTAINER) == POD
    index.remove_container(engine.context.store, CONTAINER)
    assert index.pod_of(engine.context.store, CONTAINER) is None


class _Forgetful:
    """A runtime that knows no container."""

    def delete(self, container: ContainerId) -> None:
        assert container == CONTAINER


def test_a_half_made_container_is_removed_from_wherever_its_making_stopped(engine: Engine) -> None:
    ctx = engine.context
    vars(ctx)["choice"] = type("Choice", (), {"runtime": _Forgetful()})
    bundle = ctx.layout.container(CONTAINER)
    record = ContainerRecord(CONTAINER, POD, KEY, "web", 0, ContainerSpec(name="web", image="i"))

    def row() -> None:
        index.add_container(ctx.store, CONTAINER, POD)

    def record_written() -> None:
        bundle.mkdir()
        write(bundle, RECORD, record)

    def pid_written() -> None:
        (ctx.layout.pids / CONTAINER).write_text("1")

    def exit_written() -> None:
        (ctx.layout.exits / CONTAINER).write_text("0")

    def exit_cut_short() -> None:
        (ctx.layout.exits / f".{CONTAINER}.77").write_text("0")

    makings = (row, record_written, pid_written, exit_cut_short, exit_written)
    for stopped_after in range(len(makings) + 1):
        for making in makings[:stopped_after]:
            making()
        for _again in range(2):
            containers.remove(ctx, CONTAINER)
            assert not bundle.exists()
            assert index.all_containers(ctx.store) == {}
            assert (
                not list(ctx.layout.exits.iterdir())
                + list(ctx.layout.pids.iterdir())
                + list(ctx.layout.trash.iterdir())
            )


def test_parts_of_a_context_are_made_once_however_many_ask_at_the_same_time(tmp_path: Path) -> None:
    ctx = Context(Settings(tmp_path), Engine.open(Settings(tmp_path)).layout)
    start, seen = threading.Barrier(8), []

    def ask() -> None:
        start.wait(60)
        seen.append(ctx.images)

    askers = [threading.Thread(target=ask) for _ in range(8)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(60)
    assert len(seen) == 8
    assert len(set(map(id, seen))) == 1


def test_a_number_that_a_thread_has_is_no_process() -> None:
    """pidfd_open says EINVAL of a thread that leads no group."""
    ready, over, found = threading.Event(), threading.Event(), []

    def idle() -> None:
        found.append(threading.get_native_id())
        ready.set()
        over.wait(60)

    thread = threading.Thread(target=idle)
    thread.start()
    try:
        assert ready.wait(60)
        stat = Path(f"/proc/{found[0]}/stat").read_text().rpartition(")")[2].split()
        assert processes.wait_gone(PidRef(found[0], int(stat[19])), 1)
        processes.send_signal(PidRef(found[0], int(stat[19])), 0)
    finally:
        over.set()
        thread.join(60)


def test_a_store_survives_a_fork_without_harm_to_the_parents_connection(engine: Engine) -> None:
    store = engine.context.store
    settings.put(store, "a", "1")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            settings.put(store, "b", "2")
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    settings.put(store, "c", "3")
    assert [settings.get(store, name) for name in "abc"] == ["1", "2", "3"]


def test_errors_of_the_system_are_told_in_one_line_with_what_to_do() -> None:
    said = r"^cannot create pod default/web: /x: No space left on device$"
    with pytest.raises(TryLater, match=said) as caught, boundary.told(f"create pod {KEY}"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/x")
    assert caught.value.hint


def test_errors_of_this_program_are_not_hidden() -> None:
    with pytest.raises(AssertionError), boundary.told("do it"):
        raise AssertionError


def test_a_pod_without_an_ipv4_address_is_not_published(engine: Engine) -> None:
    """An element that leads nowhere would keep every other from being written."""
    ctx = engine.context
    index.add_pod(ctx.store, POD, KEY, (PortBinding(8080, 80),))
    index.set_published(ctx.store, POD, True)
    addresses.file(ctx.store, KEY, Lease("", "fd00::2", "default"))
    assert networks.published(ctx) == ()
