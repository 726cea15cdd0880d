"""What nftables and the connection table say, in our words."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from reconciler.engine.network import conntrack, netlink, nft
from reconciler.model.errors import HostUnfit, TryLater
from reconciler.model.observed import PidRef
from reconciler.model.spec import PortBinding, Protocol


@pytest.mark.parametrize(
    ("words", "family", "message"),
    [
        pytest.param(
            "Error: No such file or directory\nlist table inet x\n                ^\n",
            TryLater,
            "cannot look: nftables: No such file or directory",
            id="the first line counts, not the drawing below it",
        ),
        pytest.param(
            "netlink: Error: cache initialization failed: Operation not permitted\n",
            HostUnfit,
            "cannot look: nftables: cache initialization failed: Operation not permitted",
            id="a missing right is the host's fault",
        ),
        pytest.param("", TryLater, "cannot look: nftables: unknown error", id="no words at all"),
    ],
)
def test_nftables_errors_are_one_line(words: str, family: type, message: str) -> None:
    error = nft._failure("look", words)
    assert isinstance(error, family)
    assert error.message == message


DNS = PortBinding(53, 5353, Protocol.UDP)


@pytest.mark.parametrize(
    ("binding", "daddr", "dport", "answers", "expected"),
    [
        pytest.param(DNS, "192.0.2.2", 53, "192.0.2.2", True, id="it came to this host and was not translated"),
        pytest.param(DNS, "127.0.0.1", 53, "127.0.0.1", True, id="from the host itself"),
        pytest.param(DNS, "9.9.9.9", 53, "9.9.9.9", False, id="it goes to another machine"),
        pytest.param(DNS, "192.0.2.2", 54, "192.0.2.2", False, id="another port"),
        pytest.param(DNS, "192.0.2.2", 53, "10.101.0.9", False, id="another pod answers it"),
        pytest.param(
            PortBinding(53, 53, Protocol.UDP, "127.0.0.1"), "192.0.2.2", 53, "192.0.2.2", False, id="another host IP"
        ),
    ],
)
def test_flows_that_came_before_the_port_was_published(
    binding: PortBinding, daddr: str, dport: int, answers: str, expected: bool
) -> None:
    orig = SimpleNamespace(proto=17, daddr=daddr, dport=dport)
    reply = SimpleNamespace(saddr=answers)
    assert conntrack._came_in_at(binding, orig, reply, frozenset({"192.0.2.2"})) is expected


def test_tcp_ports_alone_cost_no_look_at_the_table() -> None:
    assert conntrack.flush("10.101.0.2", [PortBinding(80, 80)]) == 0
    assert conntrack.flush("10.101.0.2", []) == 0


def test_a_process_that_is_gone_has_no_namespace() -> None:
    with (
        pytest.raises(TryLater, match=r"cannot attach it: process 4194305 is gone"),
        netlink.namespace("attach it", PidRef(4194305, 1)),
    ):
        pass


def test_an_answer_of_rtnetlink_that_does_not_come_is_not_waited_for_for_ever() -> None:
    """As where the kernel had to drop it: here the request goes nowhere."""
    with (
        pytest.raises(TryLater, match=r"cannot look: the kernel has not answered within 0\.05 s"),
        netlink.here("look", 0.05) as ip,
    ):
        assert ip.link_lookup(ifname="lo")[0] == 1
        ip.asyncore.send = len
        ip.link_lookup(ifname="lo")
    with netlink.here("look") as ip:
        assert ip.link_lookup(ifname="lo")[0] == 1, "the next one is asked as ever"


def test_nor_one_of_the_connection_table() -> None:
    from pyroute2.netlink.nfnetlink.nfctsocket import NFCTSocket

    with (
        pytest.raises(TryLater, match=r"cannot look: the kernel has not answered within 0\.05 s"),
        NFCTSocket() as table,
        netlink.bounded(table, "look", 0.05),
    ):
        table.asyncore.send = len
        list(table.dump())


def test_a_deadline_that_passes_in_the_middle_of_a_request_is_one_all_the_same() -> None:
    """pyroute2 passes over a cancellation at some of its steps, and then waits for what does not come."""
    from pyroute2.netlink.nfnetlink.nfctsocket import NFCTSocket

    for step in range(60):
        with (
            pytest.raises(TryLater, match="the kernel has not answered"),
            NFCTSocket() as table,
            netlink.bounded(table, "look", step * 25e-6),
        ):
            table.asyncore.send = len
            list(table.dump())


def test_what_comes_after_a_request_that_was_given_up_is_not_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine the next step may come later than another try to give up would: that would be no error of
    ours, and end the thread."""
    from pyroute2.netlink.nfnetlink.nfctsocket import NFCTSocket

    monkeypatch.setattr(netlink, "AGAIN", 0.0)
    with NFCTSocket() as table:
        with pytest.raises(TryLater, match="the kernel has not answered"), netlink.bounded(table, "look", 0.01):
            table.asyncore.send = len
            list(table.dump())
        loop = table.asyncore.local.event_loop
        loop.run_until_complete(asyncio.sleep(0.001))


def test_nftables_is_not_asked_with_a_socket_that_it_cannot_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would end the process."""
    monkeypatch.setattr(nft, "_SELECTABLE", 0)
    with pytest.raises(TryLater, match=r"cannot look: too many files are open"):
        nft.read("list ruleset", "look")
