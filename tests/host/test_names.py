"""Pods find each other by name: through a real aardvark-dns, in the worker's network namespace."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from reconciler.engine.cgroups import names
from reconciler.engine.dns import redirect, server
from reconciler.engine.dns.server import Server
from reconciler.linux.syscalls import in_network
from reconciler.model.key import Key
from tests.host.dnslab import AAAA, A, resolve, taken, upstream
from tests.host.instance import Instance, fresh_instance, until, wait_for_end
from tests.host.manifests import Manifest, container, pod, put
from tests.host.netlab import Server as LabServer
from tests.host.netlab import ask

T = TypeVar("T")

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

WEB, API, OTHER = Key("default", "web"), Key("default", "api"), Key("other", "web")


def one(key: Key, image: str, **spec: Any) -> Manifest:
    manifest = pod(key.name, container("app", image), **spec)
    manifest["metadata"]["namespace"] = key.namespace
    return manifest


def run(instance: Instance, folder: Path, *manifests: Manifest) -> None:
    """Make just these pods run."""
    for file in folder.iterdir():
        file.unlink()
    for number, manifest in enumerate(manifests):
        put(folder / f"{number}.yaml", manifest)
    instance.ok("apply", "--wait", "--timeout", 60, "--yes-prune", folder)


def ip_of(instance: Instance, key: Key) -> str:
    sandbox = instance.engine.observe(key, None).sandbox
    assert sandbox is not None
    return sandbox.ip


def server_of(instance: Instance) -> Server | None:
    return server.find(instance.engine.layout.dns_tables)


def running_server(instance: Instance) -> Server:
    found = until(lambda: server_of(instance), "a name server runs")
    assert found is not None
    return found


def finds(wanted: set[str], instance: Instance, asker: Key, name: str, kind: int = A) -> None:
    """The name leads there, once the server has read its tables again: nothing tells when it has."""
    until(lambda: resolve(instance, asker, name, kind) == wanted, f"{name} leads to {wanted}")


def events(instance: Instance) -> str:
    return instance.ok("events")


@contextmanager
def over(path: str, file: Path) -> Iterator[None]:
    """``file`` in the place of one of the host's, in this worker's mount namespace."""
    subprocess.run(["mount", "--bind", file, path], check=True, timeout=30)
    try:
        yield
    finally:
        subprocess.run(["umount", path], check=True, timeout=30)


@pytest.fixture
def host_resolver(tmp_path: Path) -> Iterator[list[str]]:
    """The host's resolver is one of ours, on loopback, which pods cannot reach themselves; what it was asked."""
    conf = tmp_path / "resolv.conf"
    conf.write_text("nameserver 127.0.0.9\n")
    with over("/etc/resolv.conf", conf), upstream("127.0.0.9", "198.51.100.7") as asked:
        yield asked


def test_pods_find_each_other_within_their_namespace_and_across(
    instance: Instance, image: str, folder: Path, host_resolver: list[str]
) -> None:
    run(
        instance,
        folder,
        one(WEB, image, hostname="box", subdomain="sub"),
        one(API, image),
        one(OTHER, image, hostname="box", subdomain="sub"),
    )
    here, there, api = (ip_of(instance, key) for key in (WEB, OTHER, API))
    finds({here}, instance, API, "web")
    finds({there}, instance, OTHER, "web")
    finds({there}, instance, API, "web.other")
    finds({here}, instance, OTHER, "web.default")
    finds({api}, instance, WEB, "api")
    # A name without a dot is asked of the host's resolver at last (by newer servers), which here knows every name.
    assert api not in resolve(instance, OTHER, "api"), "another namespace's are found by namespace only"
    finds({here}, instance, API, "box.sub")
    finds({there}, instance, OTHER, "box.sub")
    for name in (
        "box.sub.other",
        "box.sub.other.svc",
        "box.sub.other.svc.cluster.local",
        "WEB.Other.svc.cluster.local",
    ):
        finds({there}, instance, API, name)
    assert not any(name.endswith("cluster.local") for name in host_resolver), "pods' names are asked of nobody else"
    finds({"198.51.100.7"}, instance, API, "www.example.org")
    assert "www.example.org" in host_resolver

    with upstream("127.0.0.10", "198.51.100.10"):
        Path("/etc/resolv.conf").write_text("nameserver 127.0.0.10\n")
        instance.ok("apply", folder)
        moved = {"198.51.100.10"}
        until(lambda: resolve(instance, API, "www.example.org") == moved, "the host's other resolver is asked")

    pinged = instance.run("exec", "api/app", "--", "ping", "-c1", "-4", "web.other")
    assert f"PING web.other ({there})" in pinged.stdout, "as libc resolves it"
    info = instance.ok("info")
    assert f"aardvark-dns, pid {running_server(instance).ref.pid}" in info
    assert "dig @" in info


def test_both_families(instance: Instance, image: str, folder: Path) -> None:
    run(instance, folder, one(WEB, image), one(API, image))
    record = instance.engine.observe(WEB, None).sandbox
    assert record is not None
    if not Path("/proc/net/if_inet6").exists():
        pytest.skip("this kernel has no IPv6")
    (six,) = resolve(instance, API, "web", AAAA)
    hosts = instance.ok("exec", "web/app", "--", "cat", "/etc/hosts")
    assert f"{ip_of(instance, WEB)}\tweb\n{six}\tweb\n" in hosts


def test_names_are_those_of_ones_own_network(
    instance: Instance, image: str, folder: Path, host_resolver: list[str]
) -> None:
    """Whom a pod cannot reach it cannot find either; one server serves all networks, and is told of a new one."""

    def on(network: str, key: Key) -> Manifest:
        manifest = one(key, image)
        manifest["metadata"]["annotations"] = {"reconciler/network": network}
        return manifest

    instance.ok("network", "create", "--internal", "shop")
    instance.ok("network", "create", "--disable-dns", "dumb")
    till, mute = Key("default", "till"), Key("default", "mute")
    run(instance, folder, one(WEB, image))
    first = running_server(instance)
    run(instance, folder, one(WEB, image), on("shop", API), on("shop", till), on("dumb", mute))
    assert running_server(instance) == first
    finds({ip_of(instance, till)}, instance, API, "till")
    finds(set(), instance, API, "web.default.svc.cluster.local")
    finds(set(), instance, WEB, "till.default.svc.cluster.local")
    finds(set(), instance, WEB, "mute.default.svc.cluster.local")
    assert "cluster.local" not in instance.ok("exec", "mute/app", "--", "cat", "/etc/resolv.conf")
    instance.ok("down", folder)
    instance.ok("network", "rm", "shop", "dumb")


@pytest.mark.usefixtures("host_resolver")
def test_a_name_goes_with_its_pod_and_moves_with_it(instance: Instance, image: str, folder: Path) -> None:
    run(instance, folder, one(WEB, image), one(API, image), one(OTHER, image))
    before = ip_of(instance, WEB)
    first = running_server(instance)
    run(instance, folder, one(API, image), one(OTHER, image))
    until(lambda: before not in resolve(instance, API, "web"), "the name goes with its pod")
    finds({ip_of(instance, OTHER)}, instance, API, "web.other")
    run(instance, folder, one(Key("default", "thief"), image), one(API, image), one(OTHER, image))
    run(instance, folder, one(Key("default", "thief"), image), one(WEB, image), one(API, image), one(OTHER, image))
    moved = ip_of(instance, WEB)
    finds({moved}, instance, API, "web")
    assert running_server(instance) == first, "it goes on meanwhile"
    run(instance, folder, one(WEB, image, hostname="changed"), one(API, image))
    assert ip_of(instance, WEB) == moved, "a recreated pod keeps its address"
    finds({moved}, instance, API, "web")
    assert before
    instance.ok("down", folder)
    wait_for_end([first.ref])
    assert server_of(instance) is None


def test_a_killed_server_is_back_within_a_second_or_at_the_next_command(
    instance: Instance, image: str, folder: Path
) -> None:
    run(instance, folder, one(WEB, image), one(API, image))
    before = running_server(instance)
    os.kill(before.ref.pid, signal.SIGKILL)
    wait_for_end([before.ref])
    instance.ok("apply", folder)
    again = running_server(instance)
    assert again.ref != before.ref
    finds({ip_of(instance, WEB)}, instance, API, "web")

    controller = instance.watch(folder)
    until(lambda: "controller starts" in (instance.root / "controller.log").read_text(), "the controller watches")
    for _ in range(2):
        os.kill(again.ref.pid, signal.SIGKILL)
        wait_for_end([again.ref])
        last = again
        until(lambda last=last: (one := server_of(instance)) and one.ref != last.ref, "it is started again")
        again = running_server(instance)
        finds({ip_of(instance, WEB)}, instance, API, "web")
    assert "NameServerDied" in events(instance)

    controller.send_signal(signal.SIGTERM)
    controller.wait(30)
    assert running_server(instance) == again, "it outlives the controller"
    cgroup = Path(f"/proc/{again.ref.pid}/cgroup").read_text()
    wanted = names.monitors(instance.engine.layout.tag, instance.engine.context.driver[0])
    assert wanted in cgroup, "and is in no service's cgroup"


def test_two_who_need_it_at_once_start_one(instance: Instance, image: str, tmp_path: Path) -> None:
    folders = [tmp_path / str(n) for n in range(3)]
    for number, folder in enumerate(folders):
        folder.mkdir()
        put(folder / "pod.yaml", one(Key("default", f"pod{number}"), image))
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda folder: instance.ok("apply", "--wait", "--timeout", 60, folder), folders))
    assert [one.ref for one in server.all_of(instance.engine.layout.dns_tables)] == [running_server(instance).ref]
    for number in range(3):
        finds({ip_of(instance, Key("default", f"pod{number}"))}, instance, Key("default", "pod0"), f"pod{number}")


def test_two_instances_know_their_own_pods_only(
    instance: Instance, image: str, folder: Path, tmp_path: Path, loaded_images: Path, host_resolver: list[str]
) -> None:
    run(instance, folder, one(WEB, image), one(API, image))
    with fresh_instance(loaded_images) as second:
        other = tmp_path / "other"
        other.mkdir()
        run(second, other, one(WEB, image), one(OTHER, image))
        assert running_server(instance).ref != running_server(second).ref
        finds({ip_of(instance, WEB)}, instance, API, "web")
        finds({ip_of(second, WEB)}, second, OTHER, "web.default")
        finds(set(), second, OTHER, "api.default.svc.cluster.local")
    finds({ip_of(instance, WEB)}, instance, API, "web")


def test_somebody_else_has_port_53(instance: Instance, image: str, folder: Path) -> None:
    """As a dnsmasq does that binds 0.0.0.0:53. Names are served by another port, and pods ask 53 as ever."""
    with taken(socket.SOCK_DGRAM, "0.0.0.0", 53):
        run(instance, folder, one(WEB, image), one(API, image))
        first = running_server(instance)
        assert first.port == 1053
        finds({ip_of(instance, WEB)}, instance, API, "web")
        assert f"held by pid {os.getpid()}" in events(instance)
        assert "port 1053" in instance.ok("info")
        subprocess.run(["nft", "flush", "ruleset"], check=True, timeout=30)
        instance.ok("apply", folder)
        finds({ip_of(instance, WEB)}, instance, API, "web")
    os.kill(first.ref.pid, signal.SIGKILL)
    wait_for_end([first.ref])
    instance.ok("apply", folder)
    assert running_server(instance).port == 53, "free again"
    finds({ip_of(instance, WEB)}, instance, API, "web")


def in_pod(instance: Instance, key: Key, call: Callable[[], T]) -> T:
    sandbox = instance.engine.observe(key, None).sandbox
    assert sandbox is not None
    assert sandbox.infra is not None
    assert sandbox.infra.pid is not None
    fd = os.open(f"/proc/{sandbox.infra.pid.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return in_network(fd, call)
    finally:
        os.close(fd)


def test_a_pod_may_publish_port_53(instance: Instance, image: str, folder: Path) -> None:
    """Also where the name server runs already: it goes to another port, and both are reached by port 53."""
    run(instance, folder, one(WEB, image), one(API, image))
    first, before = running_server(instance), instance.running("web")
    assert first.port == 53
    pihole = Key("default", "pihole")
    published = [{"containerPort": 5353, "hostPort": 53, "protocol": protocol} for protocol in ("UDP", "TCP")]
    manifest = pod("pihole", container("app", image, ports=published))
    run(instance, folder, one(WEB, image), one(API, image), manifest)
    assert running_server(instance).port == 1053
    assert "port 53 is pod default/pihole's: names are served at port 1053" in events(instance)
    kinds = (socket.SOCK_DGRAM, socket.SOCK_STREAM)
    servers = in_pod(instance, pihole, lambda: [LabServer("pihole", kind, "0.0.0.0", 5353) for kind in kinds])
    try:
        for kind in kinds:
            assert ask(None, kind, "127.0.0.1", 53)[0] == "pihole"
        for asker, name in ((WEB, "api"), (API, "pihole"), (pihole, "web")):
            finds({ip_of(instance, Key("default", name))}, instance, asker, name)
        moved = running_server(instance)
        os.kill(moved.ref.pid, signal.SIGKILL)
        wait_for_end([moved.ref])
        instance.ok("apply", folder)
        assert running_server(instance).port == 1053
        finds({ip_of(instance, WEB)}, instance, API, "web")
        assert ask(None, socket.SOCK_DGRAM, "127.0.0.1", 53)[0] == "pihole"
    finally:
        for server_ in servers:
            server_.close()
    assert instance.running("web") == before


def test_a_pod_on_the_hosts_network_may_serve_port_53(instance: Instance, image: str, folder: Path) -> None:
    run(instance, folder, one(WEB, image), one(API, image))
    assert running_server(instance).port == 53
    serving = container("app", image, ports=[{"containerPort": 53, "protocol": "UDP"}])
    run(instance, folder, one(WEB, image), one(API, image), pod("coredns", serving, hostNetwork=True))
    with taken(socket.SOCK_DGRAM, "0.0.0.0", 53):  # as the pod's process does
        assert running_server(instance).port == 1053
        finds({ip_of(instance, WEB)}, instance, API, "web")


def test_a_way_that_leads_elsewhere_is_put_right(instance: Instance, image: str, folder: Path) -> None:
    with taken(socket.SOCK_DGRAM, "0.0.0.0", 53):
        run(instance, folder, one(WEB, image), one(API, image))
        tag, table = instance.engine.layout.tag, redirect.table_name(instance.engine.layout.tag)
        gateways = ["10.101.0.1"]
        redirect._declare(tag, gateways, 1099)
        (sentence,) = instance.engine.mend_network()
        assert sentence == f"the table {table} did not lead to the name server: put right"
        finds({ip_of(instance, WEB)}, instance, API, "web")
        assert instance.engine.mend_network() == ()
    moved = running_server(instance)
    os.kill(moved.ref.pid, signal.SIGKILL)
    wait_for_end([moved.ref])
    instance.ok("apply", folder)
    assert running_server(instance).port == 53
    redirect._declare(tag, gateways, 1053)  # as one that was killed before it took that away
    assert instance.engine.mend_network() != ()
    finds({ip_of(instance, WEB)}, instance, API, "web")


def test_a_name_that_cannot_be_withdrawn_costs_the_others_nothing(instance: Instance, image: str, folder: Path) -> None:
    gone = Key("default", "gone")
    run(instance, folder, one(WEB, image), one(API, image), one(gone, image))
    layout = instance.engine.layout
    in_the_way = layout.dns / "networks.new"
    in_the_way.mkdir()  # nothing can be written there
    run(instance, folder, one(WEB, image), one(API, image))
    assert "NameNotWithdrawn" in events(instance)
    assert "NoNames" not in events(instance)
    finds({ip_of(instance, WEB)}, instance, API, "web")
    in_the_way.rmdir()
    in_the_way.write_text("left by one that was killed")
    instance.engine.tend_names()
    finds(set(), instance, API, "gone.default.svc.cluster.local")
    assert not in_the_way.exists()


def test_without_the_package_pods_run_and_it_is_told(
    instance: Instance, image: str, folder: Path, tmp_path: Path
) -> None:
    conf = tmp_path / "resolv.conf"
    conf.write_text("nameserver 192.0.2.53\n")
    binary = server.program()
    assert binary is not None
    with over("/etc/resolv.conf", conf):
        with over(str(binary), Path("/dev/null")):
            run(instance, folder, one(WEB, image), one(API, image))
            assert instance.ok("exec", "web/app", "--", "cat", "/etc/resolv.conf") == "nameserver 192.0.2.53\n"
            assert "there is no aardvark-dns on this machine" in instance.ok("info")
            told = events(instance)
            assert told.count("NoNames") == 1
            assert "MissingClusterDNS" in instance.ok("events", "--for", "default/web")
            assert server_of(instance) is None
        before = instance.running("web")
        instance.ok("apply", "--wait", "--timeout", 60, folder)  # it is installed
        finds({ip_of(instance, WEB)}, instance, API, "web")
        assert instance.running("web") == before


def test_as_the_configuration_file_says(instance: Instance, image: str, folder: Path) -> None:
    config = instance.root / "config.toml"
    config.write_text('[dns]\ndomain = "pods.lan"\nservers = ["127.0.0.8"]\n')
    with upstream("127.0.0.8", "198.51.100.8"):
        run(instance, folder, one(WEB, image, subdomain="sub"), one(API, image, dnsPolicy="Default"))
        finds({"198.51.100.8"}, instance, WEB, "www.example.org")
    finds({ip_of(instance, API)}, instance, WEB, "api.default.svc.pods.lan")
    assert "web.sub.default.svc.pods.lan\tweb\n" in instance.ok("exec", "web/app", "--", "cat", "/etc/hosts")
    first = running_server(instance)

    config.write_text("[dns]\nenabled = false\n")
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    wait_for_end([first.ref])
    assert "cluster.local" not in instance.ok("exec", "web/app", "--", "cat", "/etc/resolv.conf")
    assert "enabled is false" in instance.ok("info")


def test_a_pod_on_the_hosts_network_may_ask_too(
    instance: Instance, image: str, folder: Path, host_resolver: list[str]
) -> None:
    asker = Key("default", "host")
    run(
        instance,
        folder,
        one(WEB, image),
        one(asker, image, hostNetwork=True, dnsPolicy="ClusterFirstWithHostNet"),
    )
    finds({ip_of(instance, WEB)}, instance, asker, "web")


def test_system_check_finds_what_belongs_to_no_pod(instance: Instance, image: str, folder: Path) -> None:
    run(instance, folder, one(WEB, image))
    layout = instance.engine.layout
    table = layout.dns_tables / f"rc-{layout.tag}"
    kept = table.read_text()
    table.write_text(f"{kept}default/gone 10.101.0.99  gone.default.svc\n")
    assert [str(leak) for leak in instance.engine.check()] == [
        f"name default/gone: known to the name server in {table.name}, but there is no such pod"
    ]
    instance.engine.tend_names()
    assert table.read_text() == kept
    first = running_server(instance)
    command = [*first.command[:3], "--port", "1099", *first.command[5:]]
    subprocess.run(command, check=True, timeout=30, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    strays = [leak for leak in instance.engine.check() if leak.kind == "process"]
    assert [leak.why for leak in strays] == ["a second name server"]
    instance.ok("apply", folder)
    for stray in strays:
        with_pid = int(stray.name)
        if with_pid != running_server(instance).ref.pid:
            os.kill(with_pid, signal.SIGKILL)
