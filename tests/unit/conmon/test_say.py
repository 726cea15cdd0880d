"""What conmon says about itself reaches syslog, if somebody takes it."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from conmon import say


@pytest.fixture
def syslog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """At the place of the machine's."""
    monkeypatch.setattr(say, "_settings", dict(say._settings))
    monkeypatch.setattr(say, "SYSLOG", str(tmp_path / "log"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
        syslog.bind(say.SYSLOG)
        syslog.setblocking(False)
        say.configure(None, "0123456789" * 3, syslog=True)
        yield syslog


def test_a_warning_is_said_there_with_who_says_it(syslog: socket.socket) -> None:
    say.warn("so \udcff")
    head, said = syslog.recv(4096).split(b"]: ", 1)
    assert said == b"conmon 01234567890123456789: so \xff"
    assert re.fullmatch(rf"<28>[A-Z][a-z][a-z] [ 0-9]\d \d\d:\d\d:\d\d conmon\[{os.getpid()}", head.decode())


def test_a_failure_is_worse_than_a_warning(syslog: socket.socket) -> None:
    say.failure(say.Fail("over"))
    assert syslog.recv(4096).startswith(b"<27>")


def test_one_that_is_stuck_is_not_waited_for(syslog: socket.socket) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as others, pytest.raises(BlockingIOError):
        others.setblocking(False)
        while True:
            others.sendto(b"x", say.SYSLOG)
    say.warn("nobody takes this")
    assert syslog.recv(4096) == b"x"


def test_without_one_nothing_is_said(syslog: socket.socket, tmp_path: Path) -> None:
    (tmp_path / "log").unlink()
    say.warn("nobody is there")


def test_who_did_not_ask_for_it_is_not_told(syslog: socket.socket) -> None:
    say.configure(None, "x", syslog=False)
    say.warn("elsewhere")
    with pytest.raises(BlockingIOError):
        syslog.recv(4096)
