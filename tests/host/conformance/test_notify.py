"""The notify socket: what a container says of its state reaches the host's service manager, and nothing else does."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host.conformance.bench import DEADLINE, Bench
from tests.host.conformance.programs import Program

pytestmark = pytest.mark.host


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """Plays the service manager."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.bind(str(tmp_path / "manager"))
    made.settimeout(DEADLINE)
    yield made
    made.close()


def relayed(bench: Bench, manager: socket.socket, message: bytes) -> bytes:
    """What the manager hears of a message of the container."""
    (bench.bundle / "notify").mkdir()
    go = bench.fifo("go")
    launched = bench.launch("--sdnotify-socket", str(bench.directory / "manager"), container=f"read _ < {go}")
    launched.message()
    path = bench.bundle / "notify/notify.sock"
    assert path.stat().st_mode & 0o777 == 0o777
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as container:
        container.connect(os.path.relpath(path))
        container.send(message)
        heard = manager.recv(65536)
    go.write_text("\n")
    launched.done()
    return heard.rstrip(b"\n")


def test_a_container_is_ready(bench: Bench, manager: socket.socket) -> None:
    assert relayed(bench, manager, b"MAINPID=1\nREADY=1\nFDSTORE=1\nREADY=1x\nX_READY=1") == b"READY=1"


@pytest.mark.since("2.2.0")
def test_all_that_is_about_the_container_itself(bench: Bench, manager: socket.socket) -> None:
    kept = b"RELOADING=1\nMONOTONIC_USEC=5\nSTATUS=at work\nERRNO=2\nBUSERROR=x\nWATCHDOG=trigger\nSTOPPING=1"
    assert relayed(bench, manager, b"WATCHDOG_USEC=1\n" + kept + b"\nNOTIFYACCESS=all\n") == kept


def test_a_manager_that_is_not_there(bench: Bench, conmon: Program) -> None:
    """2.1.6 ends, and the container has no monitor."""
    if not conmon.ours:
        return
    (bench.bundle / "notify").mkdir()
    launched = bench.launch("-i", "--sdnotify-socket", "/nope", container="read code; exit $code")
    launched.message()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as container, bench.connect() as client:
        container.connect(os.path.relpath(bench.bundle / "notify/notify.sock"))
        container.send(b"READY=1")
        client.send(b"3\n")
        launched.done()
    assert bench.ended.read_text() == "3"
