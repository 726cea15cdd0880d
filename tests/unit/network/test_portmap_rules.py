"""What the table says, what of it is written, what is read back."""

from __future__ import annotations

import re
from dataclasses import replace
from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.engine.network import portmap, rules
from reconciler.engine.network.bridge import BridgeConfig
from reconciler.engine.network.portmap import Element, Published
from reconciler.model.key import PodId
from reconciler.model.spec import PortBinding, Protocol

POD, OTHER = PodId("a" * 64), PodId("b" * 64)
CONFIG = BridgeConfig("abcd", IPv4Network("10.101.0.0/20"))

ELEMENTS = st.builds(
    Element,
    st.sampled_from(["", "127.0.0.1"]),
    st.sampled_from(["tcp", "udp"]),
    st.integers(1, 4),
    st.sampled_from(["10.101.0.2", "10.101.0.3"]),
    st.integers(80, 81),
    st.sampled_from([POD, OTHER]),
)


def by_key(found: list[Element]) -> dict[portmap.Key, Element]:
    return {e.key: e for e in found}


def test_a_binding_becomes_an_element() -> None:
    one = Published(POD, "10.101.0.2", (PortBinding(8080, 80), PortBinding(53, 5353, Protocol.UDP, "127.0.0.1")))
    assert portmap.elements(one) == (
        Element("", "tcp", 8080, "10.101.0.2", 80, POD),
        Element("127.0.0.1", "udp", 53, "10.101.0.2", 5353, POD),
    )


@pytest.mark.parametrize(
    ("host_ip", "expected"),
    [
        pytest.param("", [("any4", "", "10.101.0.2"), ("any6", "", "fd00::2")], id="every address, in both families"),
        pytest.param("0.0.0.0", [("any4", "", "10.101.0.2")], id="every IPv4 address"),
        pytest.param("::", [("any6", "", "fd00::2")], id="every IPv6 address"),
        pytest.param("192.0.2.1", [("exact4", "192.0.2.1", "10.101.0.2")], id="an IPv4 address"),
        pytest.param("2001:DB8:0::1", [("exact6", "2001:db8::1", "fd00::2")], id="an IPv6 address, in one spelling"),
    ],
)
def test_a_binding_leads_to_the_address_of_its_family(host_ip: str, expected: list[tuple[str, str, str]]) -> None:
    found = portmap.elements(Published(POD, "10.101.0.2", (PortBinding(1, 1, host_ip=host_ip),), "fd00::2"))
    assert [(e.map, e.host_ip, e.ip) for e in found] == expected


def test_a_pod_without_ipv6_is_published_on_ipv4_alone() -> None:
    bindings = (PortBinding(1, 1), PortBinding(2, 2, host_ip="::"))
    assert [e.map for e in portmap.elements(Published(POD, "10.101.0.2", bindings))] == ["any4"]


@pytest.mark.parametrize("host_ip", ["localhost", "::1.2", "1.2.3.4 . tcp", "127.0.0.1 }"])
def test_what_is_no_address_never_reaches_nft(host_ip: str) -> None:
    with pytest.raises(ValueError, match=re.escape(host_ip.split()[0])):
        portmap.elements(Published(POD, "10.101.0.2", (PortBinding(1, 1, host_ip=host_ip),)))


@given(st.lists(ELEMENTS), st.lists(ELEMENTS))
def test_the_difference_leads_from_what_is_to_what_is_wanted(have: list[Element], want: list[Element]) -> None:
    there, wanted = by_key(have), by_key(want)
    gone, new = portmap.difference(there.values(), wanted)
    after = {key: e for key, e in there.items() if e not in gone} | by_key(new)
    assert after == wanted
    assert not set(gone) & set(new)
    assert portmap.difference(after.values(), wanted) == ([], [])


def test_the_exact_address_is_looked_at_before_every_address() -> None:
    found = [rule.rpartition("@")[2] for chain, rule in rules.rules("abcd", [CONFIG]) if chain == "publish"]
    assert found == ["exact4", "any4", "exact6", "any6"]


def test_only_addresses_of_this_host_are_translated() -> None:
    for chain, rule in rules.rules("abcd", [CONFIG]):
        if " dnat ip" in rule:
            assert "fib daddr type local" in rule.partition(" dnat ")[0], chain


@pytest.mark.parametrize(("shown", "protocol"), [(6, "tcp"), ("17", "udp"), (132, "sctp"), ("tcp", "tcp")])
def test_protocols_are_known_by_their_numbers_too(shown: object, protocol: str) -> None:
    """nft shows numbers where there is no /etc/protocols, as on a bare Debian."""
    elem = [[{"concat": [shown, 8080]}, {"concat": ["10.101.0.2", 80]}]]
    (element,) = portmap.parse([{"map": {"name": "any4", "elem": elem}}]).elements
    assert element.protocol == protocol


def test_the_kernels_answer_is_read() -> None:
    found = portmap.parse(
        [
            {"metainfo": {"version": "1.0.6"}},
            {"table": {"family": "inet", "name": "reconciler_abcd"}},
            {
                "map": {
                    "name": "any4",
                    "elem": [
                        [{"elem": {"val": {"concat": ["tcp", 8080]}, "comment": POD}}, {"concat": ["10.101.0.2", 80]}],
                        [{"concat": ["udp", 53]}, {"concat": ["10.101.0.3", 5353]}],
                    ],
                }
            },
            {
                "map": {
                    "name": "exact4",
                    "elem": [[{"concat": ["127.0.0.1", "tcp", 1]}, {"concat": ["10.101.0.2", 2]}]],
                }
            },
            {"map": {"name": "empty"}},
            {"chain": {"name": "publish"}},
            {"chain": {"name": "somebody"}},
            {"rule": {"chain": "output", "comment": "2"}},
            {"rule": {"chain": "publish", "comment": "1"}},
            {"rule": {"chain": "somebody", "comment": "3"}},
            {"rule": {"chain": "output"}},
        ]
    )
    assert found.elements == {
        Element("", "tcp", 8080, "10.101.0.2", 80, POD),
        Element("", "udp", 53, "10.101.0.3", 5353, ""),
        Element("127.0.0.1", "tcp", 1, "10.101.0.2", 2, ""),
    }
    assert found.rules == (("publish", "1"), ("output", "2"), ("output", ""))
    assert found.chains == {"publish", "somebody"}


def test_networks_are_kept_apart_only_where_there_are_several() -> None:
    other = BridgeConfig("abcd", IPv4Network("10.102.0.0/20"), id="12" * 32)
    inner = BridgeConfig("abcd", IPv4Network("10.103.0.0/20"), id="34" * 32, internal=True)

    def forward(*networks: BridgeConfig) -> list[str]:
        return [rule for chain, rule in rules.rules("abcd", networks) if chain == "forward"]

    assert forward(CONFIG) == []
    assert forward(CONFIG, other) == [
        "ct status dnat accept",
        'iifname "rc-abcd" oifname "rc-abcd*" oifname != "rc-abcd" drop',
        'iifname "rc-abcd-121212" oifname "rc-abcd*" oifname != "rc-abcd-121212" drop',
    ]
    assert forward(CONFIG, inner)[:2] == [
        'iifname "rc-abcd-343434" oifname != "rc-abcd-343434" drop',
        'oifname "rc-abcd-343434" iifname != "rc-abcd-343434" drop',
    ], "also what is published does not lead into an internal network"


@pytest.mark.parametrize("sockets", [True, False])
def test_a_table_is_whole_with_and_without_a_look_at_sockets(sockets: bool) -> None:
    wanted = rules.rules("abcd", [CONFIG], ("eth0", "wlan0"), sockets=sockets)
    shown = tuple((chain, rules.digest(rule)) for chain, rule in wanted)
    table = portmap.Table(rules=shown, chains=frozenset(rules.CHAINS))
    assert portmap._is_whole("abcd", [CONFIG], table, ("eth0", "wlan0"))
    assert not portmap._is_whole("abcd", [CONFIG], table, ("eth0",)), "it is to be written again"
    assert portmap._is_ours_whole("abcd", [CONFIG], table), "but nobody has damaged it"
    assert not portmap._is_ours_whole("abcd", [CONFIG], replace(table, rules=shown[1:]))
