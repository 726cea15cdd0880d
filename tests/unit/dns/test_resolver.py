"""resolv.conf by dnsPolicy and dnsConfig: the kubelet's behaviours (its dns_test.go), as sentences."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.engine.dns.resolver import ResolvConf, for_pods, of_pod, parse
from reconciler.model.spec import Dns, DnsPolicy

HOST = ResolvConf(("203.0.113.1", "203.0.113.2"), ("lan", "example.org"), ("edns0", "attempts:5"))
OURS = ("10.101.0.1",)
NAMESPACED = ("shop.svc.cluster.local", "svc.cluster.local", "cluster.local")
CLUSTER = ResolvConf(OURS, (*NAMESPACED, "lan", "example.org"), ("ndots:5",))
NONE, DEFAULT = DnsPolicy.NONE, DnsPolicy.DEFAULT
WITH_HOST_NET = DnsPolicy.CLUSTER_FIRST_WITH_HOST_NET


def made(dns: Dns, host: ResolvConf = HOST, ours: tuple[str, ...] = OURS, *, host_network: bool = False) -> ResolvConf:
    conf, told = of_pod(dns, host, ours, "shop", "cluster.local", host_network=host_network)
    assert told == ()
    return conf


ROWS = [
    ("ClusterFirst asks our server alone, in its namespace first", made(Dns()), CLUSTER),
    ("ClusterFirst on the host's network is Default", made(Dns(), host_network=True), HOST),
    ("ClusterFirstWithHostNet on the host's network asks us", made(Dns(WITH_HOST_NET), host_network=True), CLUSTER),
    ("Default has what the host has", made(Dns(DEFAULT)), HOST),
    ("None has nothing but dnsConfig", made(Dns(NONE, ("192.0.2.1",))), ResolvConf(("192.0.2.1",))),
    ("without a server of ours ClusterFirst is Default", made(Dns(), ours=()), HOST),
    (
        "Default asks us where the host's resolvers cannot be reached",
        made(Dns(DEFAULT), host=replace(HOST, nameservers=())),
        replace(HOST, nameservers=OURS),
    ),
    ("None never asks us", made(Dns(NONE, searches=("a",)), host=ResolvConf()), ResolvConf((), ("a",))),
    (
        "dnsConfig comes behind what the policy gives",
        made(Dns(nameservers=("192.0.2.1",), searches=("more.example",), options=("debug",))),
        ResolvConf((*OURS, "192.0.2.1"), (*CLUSTER.searches, "more.example"), ("ndots:5", "debug")),
    ),
    (
        "what is there already is not repeated",
        made(Dns(DEFAULT, HOST.nameservers[:1], ("lan", "lan."), ("edns0",))),
        HOST,
    ),
    ("an option of dnsConfig replaces the one of that name", made(Dns(options=("ndots:2",))).options, ("ndots:2",)),
    ("an option loses its value", made(Dns(DEFAULT, options=("attempts",))).options, ("edns0", "attempts")),
    (
        "a search domain of the host that is ours already counts once",
        made(Dns(), host=replace(HOST, searches=("svc.cluster.local", "lan"))).searches,
        (*NAMESPACED, "lan"),
    ),
]


@pytest.mark.parametrize(("got", "expected"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS])
def test_a_pods_resolv_conf(got: object, expected: object) -> None:
    assert got == expected


LONG = tuple(f"{n:02}.{'x' * 60}.{'y' * 60}" for n in range(20))


@pytest.mark.parametrize(
    ("dns", "told", "kept"),
    [
        pytest.param(
            Dns(nameservers=("192.0.2.1", "192.0.2.2", "192.0.2.3")),
            "more than 3 name servers: only 10.101.0.1 192.0.2.1 192.0.2.2 are used",
            5,
            id="three name servers are as many as libc takes",
        ),
        pytest.param(
            Dns(searches=tuple(f"d{n}" for n in range(40))),
            "the list of search domains is too long: only shop.svc",
            32,
            id="32 search domains",
        ),
        pytest.param(
            Dns(NONE, ("192.0.2.1",), ("x." * 150 + "x", "a")),
            "the list of search domains is too long: only a are used",
            1,
            id="a search domain of more than 253 characters aborts some libcs",
        ),
        pytest.param(
            Dns(NONE, ("192.0.2.1",), LONG),
            "the list of search domains is too long: only 00.",
            16,
            id="2048 characters in the search list",
        ),
    ],
)
def test_what_libc_would_not_take_is_cut_and_told(dns: Dns, told: str, kept: int) -> None:
    conf, said = of_pod(dns, HOST, OURS, "shop", "cluster.local", host_network=False)
    assert [s[: len(told)] for s in said] == [told]
    assert (len(conf.searches), len(conf.nameservers) <= 3) == (kept, True)
    assert len(" ".join(conf.searches)) <= 2048


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", ResolvConf(), id="no file"),
        pytest.param("# nameserver 9.9.9.9\n; search x\n", ResolvConf(), id="comments"),
        pytest.param("nameserver\nsearch\n", ResolvConf(), id="words without a value"),
        pytest.param("search a\nsearch b c\n", ResolvConf(searches=("b", "c")), id="the last search counts"),
        pytest.param("domain a\n", ResolvConf(searches=("a",)), id="domain is a search list of one"),
        pytest.param("options a\n options b:1 c\n", ResolvConf(options=("b:1", "c")), id="the last options count"),
        pytest.param("search a. .\n", ResolvConf(searches=("a", ".")), id="a trailing point goes, a lone one stays"),
        pytest.param(
            "nameserver 192.0.2.1\nnameserver fe80::1%eth0\n",
            ResolvConf(("192.0.2.1", "fe80::1%eth0")),
            id="name servers of both families",
        ),
    ],
)
def test_reading(text: str, expected: ResolvConf) -> None:
    assert parse(text) == expected
    assert parse(str(expected)) == expected, "what is written is read the same"


@pytest.mark.parametrize(
    ("host", "resolved", "servers", "expected"),
    [
        pytest.param("search lan\nnameserver 10.0.0.1\n", "", (), "search lan\nnameserver 10.0.0.1\n", id="the host's"),
        pytest.param(
            "nameserver 127.0.0.53\noptions edns0 trust-ad\n",
            "nameserver 10.0.0.1\nsearch lan\n",
            (),
            "search lan\nnameserver 10.0.0.1\n",
            id="a stub on loopback: what systemd-resolved asks",
        ),
        pytest.param(
            "nameserver 127.0.0.1\nnameserver 10.0.0.1\n",
            "",
            (),
            "nameserver 10.0.0.1\n",
            id="loopback ones cannot be reached",
        ),
        pytest.param("search lan\nnameserver ::1\n", "", (), "search lan\n", id="nothing that could be reached"),
        pytest.param("", "", (), "", id="no file at all"),
        pytest.param(
            "search lan\nnameserver 127.0.0.1\n",
            "nameserver 10.0.0.1\nsearch other\n",
            ("192.0.2.9",),
            "search lan\nnameserver 192.0.2.9\n",
            id="servers of the configuration file replace them",
        ),
    ],
)
def test_resolvers_that_a_pod_can_reach(host: str, resolved: str, servers: tuple[str, ...], expected: str) -> None:
    assert str(for_pods(host, resolved, servers)) == expected
