"""Host ports in podman's ``-p`` syntax: what each entry means, and what is said of those that mean nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model import publish
from reconciler.model.spec import PortBinding, Protocol

P = PortBinding


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("8080:80", [P(8080, 80)], id="host and container port"),
        pytest.param("53:5353/udp", [P(53, 5353, Protocol.UDP)], id="a protocol"),
        pytest.param("9:9/SCTP", [P(9, 9, Protocol.SCTP)], id="in any case"),
        pytest.param("127.0.0.1:80:80/tcp", [P(80, 80, Protocol.TCP, "127.0.0.1")], id="an address"),
        pytest.param("[FD00:0::1]:53:53", [P(53, 53, Protocol.TCP, "fd00::1")], id="an IPv6 address"),
        pytest.param("[::]:1:1", [P(1, 1, Protocol.TCP, "::")], id="every IPv6 address"),
        pytest.param("8000-8002:9000-9002", [P(8000, 9000), P(8001, 9001), P(8002, 9002)], id="a range"),
        pytest.param("1:1,\n2:2/udp\n 3:3 ", [P(1, 1), P(2, 2, Protocol.UDP), P(3, 3)], id="commas and lines"),
        pytest.param("", [], id="nothing"),
    ],
)
def test_what_a_list_means(text: str, expected: list[PortBinding]) -> None:
    assert [publish.flaw(entry) for entry in publish.entries(text)] == [""] * len([*publish.entries(text)])
    assert list(publish.bindings(text)) == expected


@pytest.mark.parametrize("text", ["80", "127.0.0.1::80", "80-82/udp"])
def test_an_entry_without_a_host_port_is_for_commands_alone(text: str) -> None:
    assert publish.parse(text).host == range(0)
    assert "names no host port" in publish.flaw(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("::1:53:53", "an IPv6 address needs brackets"),
        ("[::1:53:53", "an IPv6 address needs brackets"),
        ("127.0.0.1:80", "write IP:HOST:CONTAINER"),
        ("[fd00::1]:80", "write IP:HOST:CONTAINER"),
        ("1.2.3:80:80", "'1.2.3' is not an IP address"),
        ("[1.2.3]:80:80", "'1.2.3' is not an IP address"),
        ("80:http", "'http' is not a container port"),
        ("http:80", "'http' is not a host port"),
        ("0:80", "between 1 and 65535"),
        ("80:65536", "between 1 and 65535"),
        ("80:999999", "'999999' is not a container port"),
        ("9-8:8-9", "the range 9-8 ends before it begins"),
        ("1-3:1-2", "3 host ports for 2 container ports"),
        ("80:80/icmp", "'icmp' is not a protocol: tcp, udp or sctp"),
        ("80:80/", "'' is not a protocol"),
        ("80:80:80:80", "must be [[IP:]HOST:]CONTAINER[/PROTOCOL]"),
        ("80:", "'' is not a container port"),
    ],
)
def test_what_is_said_of_an_entry_that_means_nothing(text: str, says: str) -> None:
    assert says in publish.flaw(text)


PORTS = st.integers(1, 65535)


@given(st.sampled_from(["", "127.0.0.1", "0.0.0.0", "fd00::1", "::"]), PORTS, PORTS, st.sampled_from(list(Protocol)))
def test_a_binding_as_podman_writes_it_reads_back(ip: str, outside: int, inside: int, protocol: Protocol) -> None:
    shown = f"[{ip}]:" if ":" in ip else f"{ip}:" if ip else ""
    text = f"{shown}{outside}:{inside}/{protocol.lower()}"
    assert publish.bindings(text) == (PortBinding(outside, inside, protocol, ip),)


@given(st.text("0123456789:[]-./,tcpud\n a", max_size=30))
def test_no_text_is_too_strange(text: str) -> None:
    for entry in publish.entries(text):
        if not publish.flaw(entry):
            assert list(publish.parse(entry).bindings)
