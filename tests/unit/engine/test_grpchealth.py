"""A health check over gRPC, against a server that speaks it, and against others."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from reconciler.engine import grpchealth
from reconciler.model.probe import GrpcAction
from tests.grpc_server import deaf_port, serve
from tests.slowness import seconds

TIME = seconds(20)


@contextmanager
def served(words: dict[str, str]) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener, lambda service: words[service]), daemon=True).start()
        yield listener.getsockname()[1]


@contextmanager
def silent(greeting: bytes = b"") -> Iterator[int]:
    """Somebody who takes a connection, says his piece, and no more."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):  # who has heard enough hangs up
                connection.sendall(greeting)
                over.wait()

        over = threading.Event()
        greeter = threading.Thread(target=greet)
        greeter.start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            greeter.join()


@pytest.mark.parametrize(
    ("service", "word", "said"),
    [
        pytest.param("", "SERVING", "service healthy", id="the whole server serves"),
        pytest.param("liveness", "SERVING", "service healthy", id="a service serves"),
        pytest.param("x" * 300, "SERVING", "service healthy", id="its name is long"),
        pytest.param("a", "NOT_SERVING", 'service unhealthy (responded with "NOT_SERVING")', id="it does not serve"),
        pytest.param("a", "UNKNOWN", 'service unhealthy (responded with "UNKNOWN")', id="it does not know"),
        pytest.param(
            "a",
            "5",
            "error: health rpc probe failed: rpc error: code = NotFound desc = so it is",
            id="it knows no such service",
        ),
        pytest.param(
            "a",
            "12",
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): so it is",
            id="it has no health to tell",
        ),
        pytest.param("a", "4", f"timeout: health rpc did not complete within {TIME:g}s", id="it gives up by itself"),
    ],
)
def test_what_a_server_answers_is_told_in_the_kubelets_words(service: str, word: str, said: str) -> None:
    with served({service[:200] if len(service) > 127 else service: word, service: word} | _cut(service, word)) as port:
        outcome = grpchealth.check(GrpcAction(port, service), "127.0.0.1", TIME)
    assert (outcome.output, outcome.passed) == (said, word == "SERVING")


def _cut(service: str, word: str) -> dict[str, str]:
    """A long name's length takes two bytes, of which the server takes one for the name's."""
    return {chr(len(service) >> 7) + service: word} if len(service) > 127 else {}


def test_nobody_who_listens_is_a_failure_at_once() -> None:
    with deaf_port() as port:
        outcome = grpchealth.check(GrpcAction(port), "127.0.0.1", TIME)
    assert not outcome.passed
    assert outcome.output == (
        f'error: failed to connect service at "127.0.0.1:{port}": '
        f"dial tcp 127.0.0.1:{port}: connect: connection refused"
    )


def test_one_who_says_nothing_has_not_been_reached() -> None:
    with silent() as port:
        outcome = grpchealth.check(GrpcAction(port), "127.0.0.1", 0.2)
    start = f'timeout: failed to connect service "127.0.0.1:{port}" within 0.2s'
    assert not outcome.passed and outcome.output.startswith(start)


def test_one_who_greets_and_says_no_more_is_late() -> None:
    with silent(b"\0\0\0\4\0\0\0\0\0") as port:  # SETTINGS, of nothing
        outcome = grpchealth.check(GrpcAction(port), "127.0.0.1", 0.5)
    assert (outcome.passed, outcome.output) == (False, "timeout: health rpc did not complete within 0.5s")


def test_one_who_speaks_something_else_is_no_grpc_server() -> None:
    with silent(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n") as port:
        outcome = grpchealth.check(GrpcAction(port), "127.0.0.1", TIME)
    assert not outcome.passed and outcome.output.startswith("error: failed to connect service at")


@pytest.mark.parametrize(
    ("answer", "health"),
    [
        pytest.param(b"", 0, id="nothing"),
        pytest.param(b"\0\0\0\0\0", 0, id="the default is not written"),
        pytest.param(b"\0\0\0\0\2\x08\x01", 1, id="the field"),
        pytest.param(b"\0\0\0\0\x05\x12\x01z\x08\x02", 2, id="after a field that is not known"),
        pytest.param(b"\0\0\0\0\x03\x12\xff\x08", 0, id="a field longer than the message"),
        pytest.param(b"\0\0\0\0\x02\x0b\x08", 0, id="a kind that nobody uses"),
        pytest.param(b"\0\0\0\0\x01\xff", 0, id="cut short"),
    ],
)
def test_an_answer_is_read_whatever_is_in_it(answer: bytes, health: int) -> None:
    assert grpchealth._health(answer) == health
