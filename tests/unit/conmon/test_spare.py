"""A connection for which there is no descriptor is taken and closed; the limit is this process' own, for a moment."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conmon.fds import Spare


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        listener.setblocking(False)
        yield listener


@pytest.fixture
def client(listener: socket.socket) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.connect(listener.getsockname())
        client.setblocking(False)
        yield client


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    free = os.dup(0)
    os.close(free)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_connection_is_accepted(listener: socket.socket, client: socket.socket) -> None:
    spare = Spare()
    connection = spare.accept(listener)
    assert connection is not None
    connection.close()
    assert client.recv(1) == b""
    spare.close()


def test_nobody_is_there(listener: socket.socket) -> None:
    spare = Spare()
    assert spare.accept(listener) is None
    spare.close()


def test_there_is_no_descriptor_for_it(listener: socket.socket, client: socket.socket) -> None:
    spare = Spare()
    with no_descriptor_left():
        for _ in range(2):
            assert spare.accept(listener) is None
        with pytest.raises(OSError, match="Too many open files"):
            os.dup(0)  # it is held again
    assert client.recv(1) == b""
    spare.close()
