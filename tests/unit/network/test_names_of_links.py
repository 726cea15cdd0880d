"""Every link tells whose it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.engine.network import names
from reconciler.engine.network.pod import LinkInfo
from reconciler.model.key import PodId

TAGS = st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=4, max_size=4)
IDS = st.text("0123456789abcdef", min_size=64, max_size=64).map(PodId)


@given(TAGS, IDS)
def test_a_link_name_fits_and_can_be_read_back(tag: str, pod: PodId) -> None:
    name = names.link_name(tag, pod)
    assert len(name) <= 15
    assert names.parse_link(name) == (tag, pod[:9])
    for network in ("", pod):
        bridge = names.bridge_name(tag, network)
        assert len(bridge) <= 15
        assert names.parse_bridge(bridge) == (tag, network[:6])


@pytest.mark.parametrize(
    "name", ["eth0", "veth0a1b2c3", "vabcd12345678", "vabcd1234567890", "vABCD123456789", "rc-abcd", ""]
)
def test_links_of_others_are_not_taken_for_ours(name: str) -> None:
    assert names.parse_link(name) is None


def test_a_mac_comes_from_the_address_and_is_locally_administered() -> None:
    assert names.mac_of("10.101.0.2") == "0a:58:0a:65:00:02"
    assert int(names.mac_of("10.101.0.2")[:2], 16) & 0b11 == 0b10


def test_a_link_belongs_to_the_pod_in_its_alias() -> None:
    one, other = PodId("a" * 9 + "0" * 55), PodId("a" * 9 + "1" * 55)
    link = LinkInfo(names.link_name("abcd", one), 7, one, True, True)
    assert (link.belongs_to(one), link.belongs_to(other)) == (True, False)


def test_a_link_without_alias_belongs_to_whom_its_name_fits() -> None:
    one, other = PodId("a" * 64), PodId("b" * 64)
    link = LinkInfo(names.link_name("abcd", one), 7, "", True, False)
    assert (link.belongs_to(one), link.belongs_to(other)) == (True, False)
