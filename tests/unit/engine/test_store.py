"""The store: leases, the index of records, events; alone and under many processes."""

from __future__ import annotations

import multiprocessing
import sqlite3
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest

from reconciler.engine.store import addresses, events, names, settings
from reconciler.engine.store import pods as index
from reconciler.engine.store.addresses import Lease, Pool
from reconciler.engine.store.tx import Store
from reconciler.model.errors import InvalidInput, TryLater
from reconciler.model.events import EventType
from reconciler.model.key import ContainerId, Key, Named, NamedPod, PodId
from reconciler.model.spec import PortBinding, Protocol
from tests.fakes.clock import FakeClock

NET = Pool("default", IPv4Network("10.9.0.0/24"))
DUAL = Pool("default", IPv4Network("10.9.0.0/24"), IPv6Network("fd00:9::/64"))
WEB, DB = Key("default", "web"), Key("default", "db")
CONTAINERS = tuple(ContainerId(f"c{number}") for number in range(4))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "state.db")


def test_a_key_keeps_its_addresses_until_it_is_released(store: Store) -> None:
    first = addresses.lease(store, WEB, DUAL)
    assert first == Lease("10.9.0.2", "fd00:9::2", "default"), "the first host address is the gateway's"
    assert addresses.lease(store, DB, DUAL).ips == ("10.9.0.3", "fd00:9::3")
    assert addresses.lease(store, WEB, DUAL) == first
    addresses.release(store, WEB)
    assert addresses.leases(store) == {DB: Lease("10.9.0.3", "fd00:9::3", "default")}
    assert addresses.lease(store, Key("other", "x"), DUAL) == first


def test_leases_of_pods_whose_host_ports_are_published(store: Store) -> None:
    for number, key in enumerate((WEB, DB)):
        addresses.lease(store, key, DUAL)
        index.add_pod(store, PodId(f"{number}" * 64), key, [PortBinding(80 + number, 80)])
    index.set_published(store, PodId("1" * 64), True)
    assert set(addresses.leases(store, published=True)) == {DB}
    index.set_ports(store, PodId("1" * 64), [])
    assert addresses.leases(store, published=True) == {}


def test_addresses_taken_elsewhere_are_not_leased(store: Store) -> None:
    assert addresses.lease(store, WEB, NET, taken=("10.9.0.2", "10.9.0.3")).ip == "10.9.0.4"
    assert addresses.lease(store, DB, DUAL, taken=("fd00:9::2",)).ips == ("10.9.0.2", "fd00:9::3")


def test_a_gateway_that_was_set_is_not_leased(store: Store) -> None:
    assert addresses.lease(store, WEB, replace(NET, reserved=("10.9.0.2",))).ip == "10.9.0.3"


def test_a_lease_of_another_network_is_replaced(store: Store) -> None:
    addresses.lease(store, WEB, replace(DUAL, network=IPv4Network("10.8.0.0/24")))
    assert addresses.lease(store, WEB, NET) == Lease("10.9.0.2", "", "default")
    assert addresses.lease(store, WEB, replace(NET, name="other")) == Lease("10.9.0.2", "", "other")
    assert len(addresses.leases(store)) == 1
    assert (addresses.users(store, "default"), addresses.users(store, "other")) == ((), (WEB,))


def test_a_pod_of_before_ipv6_gets_an_address_more(store: Store) -> None:
    assert addresses.lease(store, WEB, NET).ips == ("10.9.0.2",)
    assert addresses.lease(store, WEB, DUAL).ips == ("10.9.0.2", "fd00:9::2")


def test_a_full_network_is_an_error_that_may_pass(store: Store) -> None:
    small = Pool("default", IPv4Network("10.9.0.0/30"))
    addresses.lease(store, WEB, small)
    with pytest.raises(TryLater, match="in use"):
        addresses.lease(store, DB, small)


def _lease_one(path: Path, number: int, results: multiprocessing.Queue[str]) -> None:
    results.put(addresses.lease(Store(path), Key("default", f"p{number}"), NET).ip)


def test_processes_at_once_never_get_the_same_address(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[str] = spawn.Queue()
    several = [spawn.Process(target=_lease_one, args=(tmp_path / "state.db", n, results)) for n in range(8)]
    for process in several:
        process.start()
    got = [results.get(timeout=60) for _ in several]
    for process in several:
        process.join(60)
    assert len(set(got)) == len(several)


def test_who_opens_it_first_may_meet_others_who_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite does not wait for them where the mode of a new database is set."""
    refusals = iter([sqlite3.SQLITE_BUSY, sqlite3.SQLITE_BUSY | 1 << 8])

    class Refused(sqlite3.Connection):
        def execute(self, sql: str, *arguments: object) -> sqlite3.Cursor:
            code = next(refusals, None) if sql.endswith("= WAL") else None
            if code is not None:
                error = sqlite3.OperationalError("database is locked")
                error.sqlite_errorcode = code
                raise error
            return super().execute(sql, *arguments)

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, **k, factory=Refused))
    with Store(tmp_path / "state.db").transaction() as tx:
        assert tx.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert next(refusals, None) is None


def test_pods_are_found_by_key_and_ports(store: Store) -> None:
    port = PortBinding(8080, 80, Protocol.UDP, "127.0.0.1")
    index.add_pod(store, PodId("aa"), WEB, (port,))
    index.add_pod(store, PodId("bb"), DB, ())
    assert index.pods_of(store, WEB) == ("aa",)
    assert [row.ports for row in index.all_pods(store, with_ports=True)] == [(port,)]
    index.set_published(store, PodId("aa"), True)
    assert index.all_pods(store, with_ports=True)[0].published
    index.release_ports(store, PodId("aa"))
    assert index.all_pods(store, with_ports=True) == ()


def test_pods_and_their_members_are_known_by_name(store: Store) -> None:
    for pod, key in (("aa", WEB), ("bb", DB)):
        index.add_pod(store, PodId(pod), key, ())
    for number, (name, attempt) in enumerate([("", 0), ("web", 1), ("app", 0), ("web", 0)]):
        index.add_container(store, CONTAINERS[number], PodId("aa"), name, attempt)
    assert index.with_containers_of(store, WEB) == {"aa": [*CONTAINERS]}
    assert index.with_containers_of(store, DB) == {"bb": []}
    members = [("app", 0, 2), ("web", 0, 3), ("web", 1, 1)]
    of_web = tuple(Named(WEB, name, attempt, CONTAINERS[number]) for name, attempt, number in members)
    assert names.names(store) == (
        NamedPod(DB, ""),
        NamedPod(WEB, "aa", of_web, Named(WEB, "aa-infra", 0, CONTAINERS[0])),
    )
    assert names.keys(store) == (WEB, DB), "the oldest first"
    index.add_container(store, CONTAINERS[1], PodId("aa"), "web", 2)
    assert names.names(store)[1].members[-1].attempt == 2, "the same container, begun again"


def test_of_two_lives_of_a_pod_the_older_one_is_named(store: Store) -> None:
    for number, pod in enumerate(("aa", "bb", "cc")):
        index.add_pod(store, PodId(pod), WEB, ())
        if number:
            index.add_container(store, CONTAINERS[number], PodId(pod), "app", number)
    assert names.names(store) == (NamedPod(WEB, "bb", (Named(WEB, "app", 1, CONTAINERS[1]),)),)
    assert names.keys(store) == (WEB,)


def test_removing_a_pod_forgets_its_containers(store: Store) -> None:
    index.add_pod(store, PodId("aa"), WEB, ())
    index.add_container(store, ContainerId("c1"), PodId("aa"))
    assert index.key_of_container(store, ContainerId("c1")) == WEB
    index.remove_pod(store, PodId("aa"))
    assert index.key_of_container(store, ContainerId("c1")) is None
    assert index.all_containers(store) == {}


def test_equal_events_in_a_row_are_counted(store: Store) -> None:
    clock = FakeClock()
    for _ in range(3):
        events.emit(store, clock, "default/web", EventType.WARNING, "BackOff", "restarting")
        clock.advance(10)
    events.emit(store, clock, "default/db", EventType.NORMAL, "Started", "started")
    web, db = events.read(store)
    assert (web.count, web.reason, db.count) == (3, "BackOff", 1)
    assert web.last_wall - web.first_wall == pytest.approx(20)
    assert events.read(store, about="default/db") == (db,)
    assert events.read(store, after=web.seq) == (db,)


def test_a_pull_that_fails_for_days_is_two_events(store: Store) -> None:
    clock = FakeClock()
    for _ in range(50):
        events.emit(store, clock, "default/web", EventType.NORMAL, "Pulling", "Pulling image a")
        events.emit(store, clock, "default/web", EventType.WARNING, "Failed", "its registry cannot be reached")
        clock.advance(events.AGAIN)
    assert [(e.reason, e.count) for e in events.read(store)] == [("Pulling", 50), ("Failed", 50)]


def test_what_is_said_again_and_again_is_written_once_in_five_minutes(store: Store) -> None:
    """A readiness probe that fails each second for an hour."""
    clock = FakeClock()
    written = set()
    for _ in range(3600):
        events.emit(store, clock, "default/web", EventType.WARNING, "Unhealthy", "Readiness probe failed")
        (event,) = events.read(store)
        written.add(event.seq)
        clock.advance(1)
    assert len(written) == event.count == events.BURST + 3575 // events.AGAIN


def test_a_complaint_of_what_each_try_makes_anew_is_counted(store: Store) -> None:
    """Its id is another each time; the digest of an image is none such."""
    clock = FakeClock()
    for made in ("4b47dff8dea6", "a" * 64):
        message = f"cannot write /state/pods/{made}/hostname: No space left on device"
        events.emit(store, clock, "default/web", EventType.WARNING, "FailedSync", message)
    for image in ("b" * 64, "c" * 64):
        events.emit(
            store, clock, "default/web", EventType.WARNING, "Failed", f"cannot pull app@sha256:{image}: it is away"
        )
    counted, *images = events.read(store)
    assert (counted.count, counted.message) == (
        2,
        f"cannot write /state/pods/{'a' * 64}/hostname: No space left on device",
    )
    assert [event.count for event in images] == [1, 1]


def test_what_differs_in_its_text_alone_becomes_one_event_that_shows_the_latest(store: Store) -> None:
    clock = FakeClock()
    events.emit(store, clock, "default/web", EventType.NORMAL, "Started", "Started container app")
    for number in range(1, 41):
        clock.advance(1)
        events.emit(store, clock, "default/web", EventType.WARNING, "Unhealthy", f"probe failed: {number}")
    kept = events.read(store, about="default/web")
    assert [e.message for e in kept[:2]] == ["Started container app", "probe failed: 1"]
    assert kept[-1].message == f"{events.COMBINED}probe failed: 40"
    assert (len(kept), kept[-1].count) == (1 + events.BURST + 1, 40 - events.BURST)
    clock.advance(events.SIMILAR)
    events.emit(store, clock, "default/web", EventType.WARNING, "Unhealthy", "probe failed: 41")
    assert events.read(store)[-1].message == "probe failed: 41", "ten minutes later it is news"


def test_a_clock_that_is_set_back_silences_nothing(store: Store) -> None:
    for _ in range(events.BURST):
        events.emit(store, FakeClock(), "default/web", EventType.WARNING, "BackOff", "restarting")
    events.emit(store, FakeClock(wall=1_600_000_000.0), "default/web", EventType.WARNING, "BackOff", "restarting")
    assert events.read(store)[0].count == events.BURST + 1


def test_of_one_object_the_latest_are_kept_and_others_stay(store: Store) -> None:
    clock = FakeClock()
    events.emit(store, clock, "default/db", EventType.NORMAL, "Started", "started")
    for number in range(events.PER_OBJECT + 50):
        events.emit(store, clock, "default/web", EventType.NORMAL, f"R{number}", "")
    assert len(events.read(store, about="default/web")) == events.PER_OBJECT
    assert len(events.read(store, about="default/db")) == 1


def test_a_long_message_keeps_its_beginning_and_its_end(store: Store) -> None:
    events.emit(store, FakeClock(), "x", EventType.NORMAL, "R", "cannot " + "x" * 5_000 + " cause")
    (event,) = events.read(store)
    assert len(event.message) == events.LENGTH
    assert event.message.startswith("cannot x") and event.message.endswith("x cause") and " … " in event.message


def test_old_ones_go_although_there_is_room(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_BATCH", 2)
    clock = FakeClock()
    events.emit(store, clock, "x", EventType.NORMAL, "R", "old")
    clock.advance(events.KEPT_FOR + 1)
    events.emit(store, clock, "x", EventType.NORMAL, "R", "new")
    assert [e.message for e in events.read(store)] == ["new"]


@pytest.mark.parametrize("about", ["default/web", "default/job-{}"], ids=["of one object", "of an object each"])
def test_the_file_is_no_larger_after_many_events_than_after_some(
    store: Store, monkeypatch: pytest.MonkeyPatch, about: str
) -> None:
    """What is deleted is used again; and no single event waits for a great clearing."""
    monkeypatch.setattr(events, "KEPT", 200)
    monkeypatch.setattr(events, "_BATCH", 50)
    clock, sizes = FakeClock(), []
    for number in range(1_500):
        clock.advance(1)
        events.emit(store, clock, about.format(number), EventType.NORMAL, f"R{number % 50}", f"{number} " + "x" * 300)
        if number in (499, 1_499):
            pages, free = (int(str(store.read(f"PRAGMA {name}")[0][0])) for name in ("page_count", "freelist_count"))
            sizes.append((pages, free))
    assert len(events.read(store, limit=10_000)) <= 250
    assert sizes[1][0] <= sizes[0][0] * 1.2 < 100, sizes


def test_what_was_done_keeps_its_order(store: Store) -> None:
    for reason in ("Started", "Killing", "Started"):
        events.emit(store, FakeClock(), "default/web", EventType.NORMAL, reason, "container app")
    assert [e.reason for e in events.read(store)] == ["Started", "Killing", "Started"]


def test_old_events_are_dropped(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "KEPT", 100)
    for n in range(1_000):
        events.emit(store, FakeClock(), f"x{n}", EventType.NORMAL, "R", str(n))
    kept = events.read(store, limit=5_000)
    assert len(kept) <= 100
    assert kept[-1].message == "999"


def test_what_is_counted_drives_nothing_out(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes a new number each time; what is kept are so many events, not so many numbers."""
    monkeypatch.setattr(events, "KEPT", 3)
    monkeypatch.setattr(events, "_BATCH", 5)
    clock = FakeClock()
    events.emit(store, clock, "default/db", EventType.NORMAL, "Started", "started")
    for _ in range(60):
        events.emit(store, clock, "default/web", EventType.WARNING, "BackOff", "restarting")
        clock.advance(events.AGAIN)
    assert [(e.about, e.count) for e in events.read(store)] == [("default/db", 1), ("default/web", 60)]


def test_a_failed_transaction_leaves_nothing(store: Store) -> None:
    with pytest.raises(RuntimeError, match="stop"), store.transaction() as tx:
        tx.execute("INSERT INTO settings VALUES ('a', 'b')")
        raise RuntimeError("stop")
    assert settings.get(store, "a") is None


def test_the_database_is_for_root_alone(store: Store) -> None:
    settings.put(store, "a", "b")
    assert store.path.stat().st_mode & 0o777 == 0o600


def test_a_pod_gets_the_addresses_that_it_names(store: Store) -> None:
    asked = ("10.9.0.77", "fd00:9::abc")
    assert addresses.lease(store, WEB, DUAL, wanted=asked).ips == asked
    assert addresses.lease(store, WEB, DUAL, wanted=asked).ips == asked, "its own are no obstacle"
    assert addresses.lease(store, WEB, DUAL, wanted=("10.9.0.9", "")).ips == ("10.9.0.9", "fd00:9::abc")
    assert addresses.lease(store, WEB, DUAL).ips == ("10.9.0.9", "fd00:9::abc"), "and then keeps them"
    assert addresses.lease(store, DB, DUAL, wanted=("10.9.0.10", "")).ips == ("10.9.0.10", "fd00:9::a")


@pytest.mark.parametrize(
    ("pool", "wanted", "why"),
    [
        pytest.param(DUAL, ("10.9.0.2", ""), "pod default/db has it", id="another pod's"),
        pytest.param(DUAL, ("", "fd00:9::2"), "pod default/db has it", id="another pod's of IPv6"),
        pytest.param(DUAL, ("10.8.0.2", ""), "it is not in network default, which is 10.9.0.0/24", id="elsewhere"),
        pytest.param(DUAL, ("10.9.0.0", ""), "it stands for all of 10.9.0.0/24", id="the network's"),
        pytest.param(DUAL, ("10.9.0.255", ""), "it stands for all of 10.9.0.0/24", id="everybody's"),
        pytest.param(
            replace(DUAL, reserved=("10.9.0.1",)),
            ("10.9.0.1", ""),
            "it is the gateway of network default",
            id="gateway",
        ),
        pytest.param(NET, ("", "fd00:9::3"), "network default has no IPv6", id="IPv6 without IPv6"),
    ],
)
def test_an_address_that_cannot_be_had_is_told_and_nothing_changes(
    store: Store, pool: Pool, wanted: tuple[str, str], why: str
) -> None:
    addresses.lease(store, DB, DUAL)
    before = addresses.lease(store, WEB, DUAL)
    with pytest.raises(InvalidInput) as told:
        addresses.lease(store, WEB, pool, wanted=wanted)
    assert told.value.message == f"cannot give the pod the address {wanted[0] or wanted[1]}: {why}"
    assert addresses.leases(store)[WEB] == before
