"""``-p``: what its values mean, and what is said of those that mean nothing."""

from __future__ import annotations

import pytest

from reconciler.flags import ports
from reconciler.model.errors import InvalidInput
from reconciler.model.spec import PortBinding, Protocol

P = PortBinding


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param(["8080:80"], [P(8080, 80)], id="host and container port"),
        pytest.param(["9:9/udp", "8:8"], [P(8, 8), P(9, 9, Protocol.UDP)], id="sorted"),
        pytest.param(["53:53", "53:53/udp"], [P(53, 53), P(53, 53, Protocol.UDP)], id="a port in two protocols"),
        pytest.param(["8080:80", "8080:80"], [P(8080, 80)], id="the same twice"),
        pytest.param(["1-3:11-13"], [P(1, 11), P(2, 12), P(3, 13)], id="a range"),
        pytest.param(["80"], [P(0, 80)], id="any host port"),
        pytest.param(["80", "81"], [P(0, 80), P(0, 81)], id="any two"),
        pytest.param(["127.0.0.1::80"], [P(0, 80, Protocol.TCP, "127.0.0.1")], id="any host port of an address"),
        pytest.param(["80-81/sctp"], [P(0, 80, Protocol.SCTP), P(0, 81, Protocol.SCTP)], id="any for a range"),
        pytest.param(
            ["127.0.0.1:80:80", "127.0.0.2:80:81"],
            [P(80, 80, Protocol.TCP, "127.0.0.1"), P(80, 81, Protocol.TCP, "127.0.0.2")],
            id="one port of two addresses",
        ),
    ],
)
def test_what_the_values_mean(texts: list[str], expected: list[PortBinding]) -> None:
    assert list(ports.bindings(texts)) == expected


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (["80:http"], "cannot publish '80:http': 'http' is not a container port"),
        (["8080:80/icmp"], "is not a protocol"),
        (["1-3:1-2"], "3 host ports for 2 container ports"),
        (["127.0.0.1:80"], "write IP:HOST:CONTAINER"),
        (["[::1]:80:80"], "cannot publish '[::1]:80:80': ports cannot be published on ::1"),
        (["70000:80"], "between 1 and 65535"),
        ([""], "'' is not a container port"),
        (["8080:80", "8080:81"], "cannot publish 8080/tcp->80 and 8080/tcp->81: that is one host port"),
        (["127.0.0.1:80:80", "80:81"], "that is one host port"),
    ],
)
def test_what_cannot_be_meant(texts: list[str], says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        ports.bindings(texts)
    assert says in refused.value.message
    assert "\n" not in refused.value.message


def test_every_port_there_is_takes_no_time_to_compare() -> None:
    assert len(ports.bindings(["1-65535:1-65535"])) == 65535
