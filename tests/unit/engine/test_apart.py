"""Members with something of their own: what is on record of it, and who forgets it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.engine import apart, networks, sandboxes
from reconciler.engine.context import Context, Settings
from reconciler.engine.layout import Layout
from reconciler.engine.records import RECORD, ContainerRecord, PodRecord, write
from reconciler.engine.store import addresses
from reconciler.engine.store import pods as index
from reconciler.engine.store.addresses import Lease
from reconciler.model.key import CONTAINER, HAND, ContainerId, Key, PodId
from reconciler.model.spec import ContainerSpec, HostAlias, PodSpec, SandboxSpec

KEY = Key("default", "box")
POD, ONE = PodId("d" * 64), ContainerId("c" * 64)


@pytest.fixture
def ctx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    """Leases are those of a network that nobody makes."""
    layout = Layout.at(tmp_path)
    layout.make()
    made = Context(Settings(), layout)

    def lease_for(ctx: Context, key: Key, name: str) -> Lease:
        lease = Lease("10.9.0.7", "fd00:9::7", name or "default")
        addresses.file(ctx.store, key, lease)
        return lease

    monkeypatch.setattr(networks, "lease_for", lease_for)
    return made


def pod_of(ctx: Context, *shared: str) -> PodRecord:
    spec = PodSpec(KEY, SandboxSpec(hostname="box", shared=shared), host_aliases=(HostAlias("10.0.0.1", ("db",)),))
    record = PodRecord(POD, "uid", KEY, spec, HAND, "10.9.0.2", 0.0)
    index.add_pod(ctx.store, POD, KEY, ())
    ctx.layout.pod(POD).mkdir()
    write(ctx.layout.pod(POD), RECORD, record)
    return record


def member() -> ContainerRecord:
    return ContainerRecord(ONE, POD, KEY, "one", 0, ContainerSpec("one", "i"))


def text(ctx: Context, name: str) -> str:
    return (ctx.layout.pod(POD) / "members" / ONE / name).read_text()


def test_one_that_shares_the_usual_has_nothing(ctx: Context) -> None:
    assert apart.settled(ctx, pod_of(ctx, "ipc", "net", "uts"), member()) == member()
    assert not (ctx.layout.pod(POD) / "members").exists()


def test_a_network_of_its_own(ctx: Context) -> None:
    record = apart.settled(ctx, pod_of(ctx, "uts"), member())
    assert (record.ip, record.ip6) == ("10.9.0.7", "fd00:9::7")
    assert addresses.leases(ctx.store) == {Key("default", ONE, CONTAINER): Lease("10.9.0.7", "fd00:9::7", "default")}
    assert text(ctx, "hostname") == "box\n"
    hosts = text(ctx, "hosts")
    assert "10.9.0.7\tbox\n" in hosts
    assert "10.9.0.7\tone\n" in hosts
    assert "10.9.0.2" not in hosts
    assert "10.0.0.1\tdb\n" in hosts


def test_a_host_name_of_its_own(ctx: Context) -> None:
    record = apart.settled(ctx, pod_of(ctx, "net"), member())
    assert record.ip == ""
    assert text(ctx, "hostname") == f"{'c' * 12}\n"
    assert f"10.9.0.2\t{'c' * 12}\n" in text(ctx, "hosts")


def test_its_files_follow_the_pods(ctx: Context) -> None:
    pod = pod_of(ctx)
    record = apart.settled(ctx, pod, member())
    ctx.layout.container(ONE).mkdir()
    write(ctx.layout.container(ONE), RECORD, record)
    apart.rewrite(ctx, replace(pod, spec=replace(pod.spec, host_aliases=(HostAlias("10.0.0.2", ("cache",)),))))
    assert "10.0.0.2\tcache\n" in text(ctx, "hosts")
    assert "db" not in text(ctx, "hosts")


def test_what_it_had_is_given_back(ctx: Context) -> None:
    record = apart.settled(ctx, pod_of(ctx), member())
    apart.leave(ctx, record)
    apart.leave(ctx, record)
    assert addresses.leases(ctx.store) == {}
    assert not (ctx.layout.pod(POD) / "members" / ONE).exists()


def test_an_address_whose_container_is_gone_is_forgotten(ctx: Context) -> None:
    """Not one whose container is only being made: it is filed before its address."""
    apart.settled(ctx, pod_of(ctx), member())
    assert sandboxes.forgotten(ctx) == ()
    index.remove_container(ctx.store, ONE)
    (key,) = sandboxes.forgotten(ctx)
    assert key == Key("default", ONE, CONTAINER)
    sandboxes.forget(ctx, key)
    assert addresses.leases(ctx.store) == {}
