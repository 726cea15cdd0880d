"""A server of grpc.health.v1 for tests, on the library that we ask with: `python -m tests.grpc_server PORT [FILE]`.

What each service is said to be: its line in FILE ("web NOT_SERVING"), read at each call; SERVING without one. A word
that is no health is a gRPC status code's number.
"""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, StreamEnded

HEALTH = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")


@contextmanager
def deaf_port() -> Iterator[int]:
    """A port of 127.0.0.1 that nobody else gets, and where nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def serve(listener: socket.socket, health: Callable[[str], str]) -> None:
    """Answer every call on every connection, until the listener is closed."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_converse, args=(connection, health), daemon=True).start()


def _converse(connection: socket.socket, health: Callable[[str], str]) -> None:
    h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
    h2.initiate_connection()
    asked: dict[int, bytes] = {}
    with connection, suppress(OSError):  # who has his answer hangs up
        connection.sendall(h2.data_to_send())
        while piece := connection.recv(65536):
            for event in h2.receive_data(piece):
                if isinstance(event, DataReceived):
                    asked[event.stream_id] = asked.get(event.stream_id, b"") + event.data
                elif isinstance(event, StreamEnded):
                    _answer(h2, event.stream_id, health(_service(asked.pop(event.stream_id, b""))))
            connection.sendall(h2.data_to_send())


def _service(message: bytes) -> str:
    return message[7:].decode()  # five bytes of frame, a tag, a length


def _answer(h2: H2Connection, stream: int, word: str) -> None:
    head = [(":status", "200"), ("content-type", "application/grpc")]
    if word not in HEALTH:
        h2.send_headers(stream, [*head, ("grpc-status", word), ("grpc-message", "so%20it%20is")], end_stream=True)
        return
    message = bytes([8, HEALTH.index(word)])
    h2.send_headers(stream, head)
    h2.send_data(stream, b"\0" + len(message).to_bytes(4, "big") + message)
    h2.send_headers(stream, [("grpc-status", "0")], end_stream=True)


def _by_file(path: Path) -> Callable[[str], str]:
    def health(service: str) -> str:
        lines = [line.split(" ") for line in path.read_text().splitlines()] if path.exists() else []
        return dict(map(tuple, lines)).get(service, "SERVING")

    return health


if __name__ == "__main__":
    with socket.create_server(("0.0.0.0", int(sys.argv[1]))) as server:
        serve(server, _by_file(Path(*sys.argv[2:3] or ["/dev/null"])))
