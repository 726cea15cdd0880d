"""One HTTP request as the kubelet's prober and its hooks make it (pkg/probe/http): one deadline for all of it, however
slowly the other side speaks, no certificate looked at, redirects followed as long as they stay with one host.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import re
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from urllib.parse import quote, urljoin, urlsplit

from reconciler.engine import dialling
from reconciler.engine.dialling import Deadline, Unreachable, joined, left
from reconciler.model.probe import Asked, HttpAction, NameValues, Outcome

MOST = 10 * 1024
"""Bytes of an answer's body that are looked at."""
REDIRECTS = 10
FOLLOWED = frozenset({301, 302, 303, 307, 308})
VERSION = "1.36"
_PORTS = {"http": 80, "https": 443}
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")


@dataclass(frozen=True, slots=True)
class _Request:
    """``called``: the Host header that was asked for, or ""."""

    scheme: str
    host: str
    port: int
    path: str
    called: str
    headers: NameValues

    def __str__(self) -> str:
        return f"{self.scheme}://{joined(self.host, self.port)}{self.path}"


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    location: str
    body: str


def get(action: HttpAction, address: str, timeout: float, asked: Asked = Asked.PROBE) -> Outcome:
    """Ask once, and say whether the answer is a good one. ``address``: where no host is named."""
    until = time.monotonic() + timeout
    request = _first(action, address, asked)
    try:
        answer = _followed(request, until)
    except _SpeaksPlainly as e:
        if asked is not Asked.LIFECYCLE:
            return Outcome(False, _sentence(request, e))
        plain = tuple((name, value) for name, value in request.headers if name.lower() != "authorization")
        return get(replace_scheme(action, plain), address, max(0.0, until - time.monotonic()), asked)
    except (OSError, Unreachable, http.client.HTTPException, ValueError) as e:
        return Outcome(False, _sentence(request, e))
    return _verdict(answer)


def replace_scheme(action: HttpAction, headers: NameValues) -> HttpAction:
    """The same without TLS: a hook that meets a server which has none tries so (KEP: ConsistentHTTPGetHandlers)."""
    return HttpAction(action.port, action.path, action.host, "HTTP", headers)


def _verdict(answer: _Answer) -> Outcome:
    if not 200 <= answer.status < 400:
        return Outcome(False, f"HTTP probe failed with statuscode: {answer.status}", answered=True)
    if answer.status >= 300:
        text = f"Probe terminated redirects, Response body: {answer.body}"
        return Outcome(True, text, warning=True, answered=True)
    return Outcome(True, answer.body, answered=True)


def _sentence(request: _Request, trouble: Exception) -> str:
    """Go's."""
    late = isinstance(trouble, TimeoutError) or (isinstance(trouble, Unreachable) and trouble.timed_out)
    cause = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)" if late else _cause(trouble)
    return f'Get "{request}": {cause or "EOF"}'


def _cause(trouble: Exception) -> str:
    match trouble:
        case http.client.RemoteDisconnected() | ssl.SSLEOFError() | ssl.SSLZeroReturnError():
            return "EOF"
        case http.client.IncompleteRead():
            return "unexpected EOF"
        case ConnectionResetError():
            return "read: connection reset by peer"
        case BrokenPipeError():
            return "write: broken pipe"
        case _:
            return str(trouble)


def _first(action: HttpAction, address: str, asked: Asked) -> _Request:
    headers = list(action.headers)
    names = {name.lower() for name, _ in headers}
    if "user-agent" not in names:
        headers.append(("User-Agent", f"{asked}/{VERSION}"))
    if "accept" not in names:
        headers.append(("Accept", "*/*"))
    called = next((value for name, value in headers if name.lower() == "host"), "")
    sent = tuple(
        (name, value)
        for name, value in headers
        if name.lower() != "host" and (value or name.lower() not in ("accept", "user-agent"))
    )
    scheme = action.scheme.lower()
    return _Request(scheme, action.host or address, action.port, _path_of(action.path), called, sent)


def _path_of(text: str) -> str:
    """What a request line may say: path and query of whatever was written there."""
    try:
        parts = urlsplit(text)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
    except ValueError:
        path = text
    path = quote(path, safe="/%:=&?~+!$,;'@()*[]-._")
    return path if path.startswith("/") else f"/{path}"


def _followed(request: _Request, until: Deadline) -> _Answer:
    """The first answer that is no redirect to the same host (Go: Client.Do; the kubelet: RedirectChecker)."""
    asked = request
    for _ in range(REDIRECTS):
        answer = _exchange(asked, until)
        if answer.status not in FOLLOWED or not answer.location:
            return answer
        target = urlsplit(urljoin(str(asked), answer.location))
        if target.hostname != request.host.lower():
            return answer
        if target.scheme not in _PORTS:
            raise ValueError(f'unsupported protocol scheme "{target.scheme}"')
        relative = not urlsplit(answer.location).netloc
        asked = replace(
            asked,
            scheme=target.scheme,
            port=target.port or _PORTS[target.scheme],
            path=_path_of(target._replace(scheme="", netloc="").geturl()),
            called=asked.called if relative else "",
        )
    raise ValueError(f"stopped after {REDIRECTS} redirects")


def _exchange(request: _Request, until: Deadline) -> _Answer:
    text = _encoded(request)
    with dialling.dialled(request.host, request.port, until) as plain, _wrapped(plain, request, until) as connection:
        connection.settimeout(left(until))
        connection.sendall(text)
        answer = http.client.HTTPResponse(_Spoken(connection, until), method="GET")  # type: ignore[arg-type]
        try:
            answer.begin()
            body = _body(answer)
            return _Answer(answer.status, answer.getheader("Location") or "", body.decode(errors="replace"))
        finally:
            answer.close()


def _body(answer: http.client.HTTPResponse) -> bytes:
    try:
        return answer.read(MOST)
    except http.client.IncompleteRead as e:
        return e.partial


def _encoded(request: _Request) -> bytes:
    host = request.host if ":" not in request.host else f"[{request.host}]"
    usual = host if request.port == _PORTS[request.scheme] else f"{host}:{request.port}"
    lines = [f"GET {request.path} HTTP/1.1".encode()]
    for name, value in (("Host", request.called or usual), *request.headers, ("Connection", "close")):
        field, text = name.encode(), value.encode()
        if not _TOKEN.match(field) or any((byte < 32 and byte != 9) or byte == 127 for byte in text):
            raise ValueError(f'net/http: invalid header field value for "{name}"')
        lines.append(field + b": " + text)
    return b"\r\n".join((*lines, b"", b""))


class _SpeaksPlainly(Exception):
    """TLS was spoken to a server that has none."""

    def __init__(self) -> None:
        super().__init__("http: server gave HTTP response to HTTPS client")


@contextlib.contextmanager
def _wrapped(plain: socket.socket, request: _Request, until: Deadline) -> Iterator[socket.socket]:
    """The connection to speak on; raises ssl.SSLError, _SpeaksPlainly."""
    if request.scheme == "http":
        yield plain
        return
    plain.settimeout(left(until))
    try:
        connection = _unverified().wrap_socket(plain, server_hostname=request.host)
    except ssl.SSLError as e:
        if e.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST"):
            raise _SpeaksPlainly from e
        raise
    with connection:
        yield connection


@cache
def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # as Go: short keys are no reason to call a container ill
    return context


class _Spoken(io.RawIOBase):
    """What the other side says until the deadline, as ``HTTPResponse`` asks a socket for it."""

    def __init__(self, connection: socket.socket, until: Deadline) -> None:
        self._connection = connection
        self._until = until

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        self._connection.settimeout(left(self._until))
        return self._connection.recv_into(buffer)  # type: ignore[arg-type]
