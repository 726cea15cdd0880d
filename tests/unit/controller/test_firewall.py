"""Which of the kernel's words make the firewall watcher look, and how often it mends."""

from __future__ import annotations

import threading

import pytest

from reconciler.controller.firewall import FirewallWatcher, Judge, Limit
from reconciler.linux.netlink_events import ALL, Notice, What
from reconciler.linux.netlink_messages import attributes, messages
from reconciler.model.clock import SystemClock
from reconciler.model.errors import TryLater
from tests.fakes.engine import FakeEngine

OWN, OTHER = 100, 200
TABLE = "reconciler_abcd"
LINK = "vabcd123456789"


def judge(*bridges: int) -> Judge:
    return Judge("abcd", OWN, lambda index: "rc-abcd" if index in bridges else "eth0")


@pytest.mark.parametrize(
    ("notices", "damage", "gone", "foreign"),
    [
        pytest.param([Notice(What.TABLE, TABLE, OTHER)], True, False, False, id="somebody changes our table"),
        pytest.param([Notice(What.TABLE, TABLE, OWN)], False, False, False, id="we change our table"),
        pytest.param([Notice(What.TABLE, "filter", OTHER)], False, False, True, id="somebody changes their own"),
        pytest.param([Notice(What.TABLE, "reconciler_efgh", OTHER)], False, False, False, id="another instance"),
        pytest.param([Notice(What.LOST)], True, False, True, id="messages were lost"),
        pytest.param([Notice(What.NO_LINK, "rc-abcd", index=7)], True, False, False, id="our bridge goes"),
        pytest.param([Notice(What.NO_LINK, "rc-abcd-0f0f0f", index=7)], True, False, False, id="a named one goes"),
        pytest.param([Notice(What.NO_LINK, LINK, index=9)], False, True, False, id="a pod's link goes"),
        pytest.param([Notice(What.NO_LINK, "eth0", index=2)], False, False, False, id="another link goes"),
        pytest.param([Notice(What.NO_ADDRESS, index=7)], True, False, False, id="our bridge loses an address"),
        pytest.param([Notice(What.NO_ADDRESS, index=2)], False, False, False, id="another link loses an address"),
        pytest.param([Notice(What.FORWARDING, index=ALL, on=False)], True, False, False, id="forwarding goes off"),
        pytest.param([Notice(What.FORWARDING, index=ALL)], False, False, False, id="forwarding goes on"),
        pytest.param([Notice(What.FORWARDING, index=2, on=False)], False, True, False, id="of another's link only"),
        pytest.param([Notice(What.FORWARDING, index=7)], False, False, False, id="our bridge forwards"),
        pytest.param([Notice(What.LINK, LINK, index=9)], True, False, False, id="a link has left its bridge"),
        pytest.param(
            [Notice(What.LINK, LINK, index=9), Notice(What.LINK, LINK, index=9, master=7)], False, False, False,
            id="a link is put on its bridge",
        ),
        pytest.param(
            [Notice(What.LINK, LINK, index=9), Notice(What.NO_LINK, LINK, index=9)], False, True, False,
            id="a link leaves its bridge because it goes",
        ),
        pytest.param([Notice(What.LINK, "rc-abcd", index=7)], False, False, True, id="our bridge is new"),
        pytest.param([Notice(What.LINK, "rc-abcd", index=7, on=False)], True, False, True, id="our bridge is down"),
    ],
)  # fmt: skip
def test_what_is_heard(notices: list[Notice], damage: bool, gone: bool, foreign: bool) -> None:
    heard = judge(7).hear(notices)
    assert (heard.damage, heard.gone, heard.foreign) == (damage, gone, foreign)


def test_a_known_bridge_is_no_news() -> None:
    one = judge(7)
    assert one.hear([Notice(What.LINK, "rc-abcd", index=7)]).foreign
    assert not one.hear([Notice(What.LINK, "rc-abcd", index=7)]).foreign


def test_the_culprit_is_who_ended_the_transaction_that_touched_us() -> None:
    one = judge()
    one.hear([Notice(What.TABLE, "filter", OTHER), Notice(What.COMMIT, "iptables", OTHER)])
    assert one.culprit() == ""
    one.hear([Notice(What.TABLE, TABLE, OTHER), Notice(What.COMMIT, "nft", OTHER)])
    one.hear([Notice(What.TABLE, TABLE, OWN), Notice(What.COMMIT, "python3", OWN)])
    assert one.culprit() == "nft"
    assert one.culprit() == "", "it is told once"


def test_a_burst_of_repairs_then_a_pause() -> None:
    limit = Limit(burst=3, window=10)
    assert [limit.count(now) for now in (1.0, 2.0, 3.0)] == [False, False, True]
    assert limit.free_at() == 11.0
    assert limit.count(11.0) is True, "the window has moved on by one"
    assert limit.free_at() == 12.0


def test_a_repair_that_fails_is_tried_again() -> None:
    """With the real thread, in the network namespace that the tests live in; the engine is a fake."""
    tried = threading.Event()
    times = []

    class Failing(FakeEngine):
        def mend_network(self, by: str = "") -> tuple[str, ...]:
            times.append(by)
            if len(times) == 1:
                raise TryLater("cannot publish ports: nftables: busy")
            tried.set()
            return ("the bridge rc-abcd is gone: put right",)

    log = Kept()
    watcher = FirewallWatcher("abcd", Failing(), SystemClock(), log)
    watcher.start()
    try:
        assert tried.wait(60)
    finally:
        watcher.stop()
    assert log.said[0] == ("cannot mend the network", {"cause": "cannot publish ports: nftables: busy"})
    assert ("network mended", {"what": "the bridge rc-abcd is gone: put right"}) in log.said


class Kept:
    """A log that is looked at."""

    def __init__(self) -> None:
        self.said: list[tuple[str, dict[str, object]]] = []

    def info(self, event: str, **values: object) -> None:
        self.said.append((event, values))

    warning = error = info


def test_damaged_messages_end_the_reading() -> None:
    assert list(messages(b"\x04\x00\x00\x00" + bytes(12))) == []
    assert list(attributes(b"\x02\x00\x01\x00")) == []
    assert list(attributes(b"\x06\x00\x01\x80ab\x00\x00")) == [(1, b"ab")]
