"""Messages to the service manager, with a socket of our own as the manager."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from reconciler.linux.notify import Notifier, from_environment


@pytest.fixture(params=["a path", "an abstract name"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[socket.socket, str]:
    """(socket, what NOTIFY_SOCKET would say)."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    request.addfinalizer(listener.close)
    listener.settimeout(60)
    if request.param == "a path":
        listener.bind(str(tmp_path / "notify"))
        return listener, str(tmp_path / "notify")
    listener.bind(f"\0reconciler-test-{os.getpid()}")
    return listener, f"@reconciler-test-{os.getpid()}"


def test_each_message_is_a_datagram_of_its_own(manager: tuple[socket.socket, str]) -> None:
    listener, address = manager
    notifier = Notifier(address)
    notifier.tell(READY=1, STATUS="two\nlines")
    notifier.tell(WATCHDOG=1)
    assert listener.recv(4096) == b"READY=1\nSTATUS=two lines"
    assert listener.recv(4096) == b"WATCHDOG=1"


def test_nobody_listens_and_nothing_fails(tmp_path: Path) -> None:
    Notifier("").tell(READY=1)
    Notifier(str(tmp_path / "nobody")).tell(READY=1)
    assert not Notifier("")


def test_a_manager_that_does_not_read_holds_nobody_up(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        for _ in range(5000):  # far more than a socket's queue takes
            Notifier(str(tmp_path / "notify")).tell(WATCHDOG=1)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, Notifier()),
        ({"NOTIFY_SOCKET": "/run/n"}, Notifier("/run/n")),
        ({"NOTIFY_SOCKET": "relative"}, Notifier()),
        ({"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "60000000"}, Notifier("@n", 60.0)),
        ({"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, Notifier("@n")),
        ({"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "5000000", "WATCHDOG_PID": "OURS"}, Notifier("@n", 5.0)),
        ({"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "soon"}, Notifier("@n")),
    ],
)
def test_the_environment_says_who_it_is_and_is_cleaned(
    variables: dict[str, str], expected: Notifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, str(os.getpid()) if value == "OURS" else value)
    assert from_environment() == expected
    assert not any(name in os.environ for name in names), "a runtime would pass it on to a container"
