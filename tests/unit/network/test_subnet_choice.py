"""A network for pods overlaps nothing that the host routes to."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.engine.network.subnet import (
    PREFERRED,
    choose_subnet,
    choose_subnet6,
    clashes,
    parse_network,
    parse_network6,
)
from reconciler.model.errors import HostUnfit

N = IPv4Network


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        pytest.param([], PREFERRED, id="an empty host gives the preferred one"),
        pytest.param([N("192.168.0.0/24"), N("10.88.0.0/16")], PREFERRED, id="others' networks are no matter"),
        pytest.param([N("10.101.0.0/24")], N("10.101.16.0/20"), id="a route inside it: the next one"),
        pytest.param([N("10.0.0.0/8")], N("172.16.0.0/20"), id="a route around it: another pool"),
        pytest.param([N("10.101.0.9/32")], N("10.101.16.0/20"), id="a single host in it counts"),
        pytest.param([N("10.0.0.0/8"), N("172.16.0.0/12")], N("192.168.0.0/20"), id="the last pool"),
    ],
)
def test_the_first_free_network_is_chosen(routes: list[N], expected: N) -> None:
    assert choose_subnet(routes) == expected


def test_a_preferred_network_that_is_free_is_taken() -> None:
    assert choose_subnet([N("10.0.0.0/8")], N("100.64.0.0/24")) == N("100.64.0.0/24")


def test_a_host_that_routes_everything_is_told_so() -> None:
    with pytest.raises(HostUnfit, match="cannot choose a network for pods"):
        choose_subnet([N("10.0.0.0/8"), N("172.16.0.0/12"), N("192.168.0.0/16")])


NETWORKS = st.builds(
    lambda address, prefix: N((address, prefix), strict=False),
    st.integers(0x0A000000, 0x0AFFFFFF),
    st.integers(9, 32),
)


@given(st.lists(NETWORKS, max_size=20))
def test_whatever_is_there_the_choice_does_not_overlap_it(routes: list[N]) -> None:
    chosen = choose_subnet(routes)
    assert clashes(routes, chosen) == ()
    assert chosen.num_addresses >= 4096


@pytest.mark.parametrize("text", ["", "10.0.0.0", "10.0.0.1/24", "fd00::/64", "10.0.0.0/31", "ten"])
def test_a_setting_that_is_no_network_for_pods_is_refused(text: str) -> None:
    with pytest.raises(HostUnfit, match="cannot use"):
        parse_network(text)


def test_a_setting_is_read() -> None:
    assert parse_network("10.9.0.0/16") == N("10.9.0.0/16")


def test_an_ipv6_network_is_a_unique_local_64_the_same_for_the_same_seed() -> None:
    chosen = choose_subnet6([], "machine tag default")
    assert chosen == choose_subnet6([N("10.0.0.0/8")], "machine tag default"), "IPv4 routes are no matter"
    assert (chosen.prefixlen, chosen.subnet_of(IPv6Network("fd00::/8"))) == (64, True)
    assert chosen != choose_subnet6([], "machine tag other")


def test_an_ipv6_network_that_is_routed_already_is_passed_over() -> None:
    first = choose_subnet6([], "seed")
    assert not choose_subnet6([first], "seed").overlaps(first)
    with pytest.raises(HostUnfit, match="cannot choose an IPv6 network for pods"):
        choose_subnet6([IPv6Network("fc00::/7")], "seed")


@pytest.mark.parametrize("text", ["", "fd00::1/64", "10.0.0.0/8", "fd00::/127"])
def test_a_setting_that_is_no_ipv6_network_for_pods_is_refused(text: str) -> None:
    with pytest.raises(HostUnfit, match="cannot use"):
        parse_network6(text)
