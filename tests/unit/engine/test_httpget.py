"""A GET as a probe makes it, against servers of the test's own that say what the row says."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from reconciler.engine import httpget
from reconciler.model.probe import Asked, HttpAction
from tests.grpc_server import deaf_port
from tests.slowness import seconds

TIME = seconds(20)
HELLO = b"\x16\x03"
"""How TLS begins."""
Answer = Callable[[str], bytes]
"""From the head of a request to all that is said to it."""


@contextmanager
def served(answer: Answer, address: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Iterator[int]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as listener:
        threading.Thread(target=_serve, args=(listener, answer, tls), daemon=True).start()
        yield listener.getsockname()[1]


def _serve(listener: socket.socket, answer: Answer, tls: ssl.SSLContext | None) -> None:
    while True:
        try:
            connection, _ = listener.accept()
            if tls is not None:
                connection = tls.wrap_socket(connection, server_side=True)
        except OSError:
            return
        with connection, suppress(OSError):  # who has what he wants hangs up
            head = b""
            while b"\r\n\r\n" not in head and not head.startswith(HELLO) and (piece := connection.recv(4096)):
                head += piece
            if head.startswith(HELLO):
                connection.sendall(said("400 Bad Request"))
            elif b"\r\n\r\n" in head:
                connection.sendall(answer(head.decode()))


def said(status: str, body: str = "", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join((*lines, f"Content-Length: {len(body)}", "", body)).encode()


@pytest.mark.parametrize(
    ("status", "passed", "warning", "output"),
    [
        pytest.param("200 OK", True, False, "fine", id="200 passes, with what it said"),
        pytest.param("204 No Content", True, False, "", id="204 passes"),
        pytest.param("304 Not Modified", True, True, "Probe terminated redirects, Response body: ", id="3xx is odd"),
        pytest.param(
            "302 Found",
            True,
            True,
            "Probe terminated redirects, Response body: fine",
            id="a redirect to nowhere is odd",
        ),
        pytest.param("404 Not Found", False, False, "HTTP probe failed with statuscode: 404", id="404 fails"),
        pytest.param("500 Oh", False, False, "HTTP probe failed with statuscode: 500", id="500 fails"),
    ],
)
def test_the_status_decides(status: str, passed: bool, warning: bool, output: str) -> None:
    with served(lambda head: said(status, "fine")) as port:
        outcome = httpget.get(HttpAction(port), "127.0.0.1", TIME)
    assert (outcome.passed, outcome.warning, outcome.output, outcome.answered) == (passed, warning, output, True)


def test_a_request_says_who_asks_and_what_it_was_given() -> None:
    heads: list[str] = []
    asked = HttpAction(0, "/a b?x=1#f", headers=(("X-One", "1"), ("X-One", "zwei ü"), ("Host", "web.example")))
    with served(lambda head: heads.append(head) or said("200 OK")) as port:
        assert httpget.get(HttpAction(port, asked.path, headers=asked.headers), "127.0.0.1", TIME).passed
        assert httpget.get(HttpAction(port), "127.0.0.1", TIME, Asked.LIFECYCLE).passed
        assert httpget.get(HttpAction(port, headers=(("user-agent", "me"), ("Accept", ""))), "127.0.0.1", TIME).passed
    assert heads[0].split("\r\n") == [
        *("GET /a%20b?x=1 HTTP/1.1", "Host: web.example", "X-One: 1", "X-One: zwei ü"),
        *("User-Agent: kube-probe/1.36", "Accept: */*", "Connection: close", "", ""),
    ]
    assert f"Host: 127.0.0.1:{port}\r\nUser-Agent: kube-lifecycle/1.36\r\n" in heads[1]
    assert "user-agent: me\r\n" in heads[2] and "ccept" not in heads[2] and "kube" not in heads[2]


@pytest.mark.parametrize(
    ("path", "sent"),
    [("healthz", "/healthz"), ("", "/"), ("http://else/x?y", "/x?y"), ("/%41?q=%20", "/%41?q=%20"), ("/[", "/[")],
)
def test_any_path_becomes_one_that_can_be_asked_for(path: str, sent: str) -> None:
    heads: list[str] = []
    with served(lambda head: heads.append(head) or said("200 OK")) as port:
        assert httpget.get(HttpAction(port, path), "127.0.0.1", TIME).passed
    assert heads[0].startswith(f"GET {sent} HTTP/1.1\r\n")


def test_redirects_are_followed_on_one_host_only() -> None:
    def answer(head: str) -> bytes:
        if head.startswith("GET /there"):
            return said("200 OK", "arrived")
        place = "http://elsewhere.invalid/" if "GET /away" in head else "there?x=1"
        return said("302 Found", "moved", Location=place)

    with served(answer) as port:
        near = httpget.get(HttpAction(port, "/here"), "127.0.0.1", TIME)
        far = httpget.get(HttpAction(port, "/away"), "127.0.0.1", TIME)
    assert (near.passed, near.output, near.warning) == (True, "arrived", False)
    assert (far.passed, far.warning) == (True, True)
    assert far.output == "Probe terminated redirects, Response body: moved"


def test_redirects_that_never_end_fail() -> None:
    with served(lambda head: said("301 Moved", Location="/again")) as port:
        outcome = httpget.get(HttpAction(port), "127.0.0.1", TIME)
    assert not outcome.passed and outcome.output.endswith("stopped after 10 redirects")


def test_nobody_who_listens_is_told_as_a_kubelet_tells_it() -> None:
    with deaf_port() as port:
        outcome = httpget.get(HttpAction(port, "/z"), "127.0.0.1", TIME)
    where = f"127.0.0.1:{port}"
    assert outcome.output == f'Get "http://{where}/z": dial tcp {where}: connect: connection refused'
    assert not outcome.passed and not outcome.answered


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="nothing at all"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", id="no body"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX-Slow: ", id="half of its headers"),
    ],
)
def test_time_is_over_however_slowly_it_is_answered(answer: bytes) -> None:
    """A byte now and then does not make it longer."""
    over = threading.Event()

    def drip(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):  # whose time is over hangs up
            connection.sendall(answer)
            while answer.endswith(b" ") and not over.wait(0.05):
                connection.sendall(b"x")
            over.wait()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        dripping = threading.Thread(target=drip, args=(listener,))
        dripping.start()
        begun = time.monotonic()
        outcome = httpget.get(HttpAction(listener.getsockname()[1]), "127.0.0.1", 0.4)
        over.set()
        dripping.join()
    assert not outcome.passed and "context deadline exceeded" in outcome.output
    assert 0.4 <= time.monotonic() - begun < 0.4 + seconds(5)


def test_a_body_is_looked_at_as_far_as_it_is_of_interest() -> None:
    with served(lambda head: said("200 OK", "x" * 200_000)) as port:
        outcome = httpget.get(HttpAction(port), "127.0.0.1", TIME)
    assert outcome.passed and outcome.output == "x" * 10240


def test_garbage_is_a_failure() -> None:
    with served(lambda head: b"\x00\xff\r\n\r\n") as port:
        assert not httpget.get(HttpAction(port), "127.0.0.1", TIME).passed
        assert not httpget.get(HttpAction(port, headers=(("X", "a\r\nY: b"),)), "127.0.0.1", TIME).passed


def test_a_server_that_hangs_up_is_told_as_a_kubelet_tells_it() -> None:
    with served(lambda head: b"") as port:
        outcome = httpget.get(HttpAction(port, "/z"), "127.0.0.1", TIME)
    assert outcome.output == f'Get "http://127.0.0.1:{port}/z": EOF'
    with served(lambda head: b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab") as port:
        outcome = httpget.get(HttpAction(port, "/z"), "127.0.0.1", TIME)
    assert outcome.output in (f'Get "http://127.0.0.1:{port}/z": unexpected EOF', "ab")


def test_an_ipv6_address_is_written_in_brackets() -> None:
    heads: list[str] = []
    with served(lambda head: heads.append(head) or said("200 OK"), "::1") as port:
        assert httpget.get(HttpAction(port), "::1", TIME).passed
    assert f"Host: [::1]:{port}\r\n" in heads[0]


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A server's side with a certificate that nobody would trust."""
    place = tmp_path_factory.mktemp("tls")
    key, cert = place / "key", place / "cert"
    words = f"req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=nobody -keyout {key} -out {cert}"
    subprocess.run(["openssl", *words.split()], check=True, capture_output=True, timeout=60)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


def test_https_is_spoken_and_no_certificate_looked_at(certified: ssl.SSLContext) -> None:
    with served(lambda head: said("200 OK", "secret"), tls=certified) as port:
        outcome = httpget.get(HttpAction(port, scheme="HTTPS"), "127.0.0.1", TIME)
    assert (outcome.passed, outcome.output) == (True, "secret")


def test_only_a_hook_asks_again_without_tls() -> None:
    heads: list[str] = []
    action = lambda port: HttpAction(port, scheme="HTTPS", headers=(("Authorization", "me"),))  # noqa: E731
    with served(_plain_only(heads)) as port:
        probed = httpget.get(action(port), "127.0.0.1", TIME)
        hooked = httpget.get(action(port), "127.0.0.1", TIME, Asked.LIFECYCLE)
    assert not probed.passed and probed.output.endswith("server gave HTTP response to HTTPS client")
    assert hooked.passed and "Authorization" not in heads[-1]


def _plain_only(heads: list[str]) -> Answer:
    return lambda head: heads.append(head) or said("200 OK")


def test_a_name_that_nobody_has_is_a_failure(tmp_path: Path) -> None:
    outcome = httpget.get(HttpAction(1, host="x" * 70 + ".invalid"), "127.0.0.1", TIME)
    assert not outcome.passed and "dial tcp: lookup" in outcome.output
