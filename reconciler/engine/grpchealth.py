"""One call of grpc.health.v1.Health/Check over a connection without TLS, as the kubelet makes it (pkg/probe/grpc).

The message and its answer are one protobuf field each, so they are written and read here; HTTP/2 is the library's.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from socket import socket
from urllib.parse import unquote

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import H2Error, ProtocolError

from reconciler.engine import dialling
from reconciler.engine.dialling import Deadline, Unreachable, joined, left
from reconciler.model.probe import Asked, GrpcAction, Outcome

VERSION = "1.36"
PIECE = 16384
MOST = 1 << 20
"""Bytes that the other side may say in all: the answer has ten."""

SETTINGS_AT, SETTINGS = 3, 4
"""Where the first frame says its kind, and what that must be (RFC 9113, 3.4). Else its length would be waited for."""

SERVING = 1
HEALTH = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
CODES = (
    *("OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists"),
    *("PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented"),
    *("Internal", "Unavailable", "DataLoss", "Unauthenticated"),
)
UNIMPLEMENTED, DEADLINE_EXCEEDED, UNKNOWN = CODES.index("Unimplemented"), CODES.index("DeadlineExceeded"), 2


@dataclass(slots=True)
class _Said:
    """What came back until now. ``greeted``: the other side speaks HTTP/2."""

    greeted: bool = False
    over: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    message: bytes = b""
    lost: str = ""


def check(action: GrpcAction, address: str, timeout: float) -> Outcome:
    """Ask once how the service is; whatever keeps it from saying that it serves is a failure."""
    until, target = time.monotonic() + timeout, joined(address, action.port)
    said = _Said()
    try:
        with dialling.dialled(address, action.port, until) as connection:
            _call(connection, action.service, target, timeout, until, said)
    except (Unreachable, TimeoutError) as e:
        if isinstance(e, TimeoutError) or e.timed_out:
            return Outcome(False, _too_late(said, target, timeout))
        return Outcome(False, f'error: failed to connect service at "{target}": {e}')
    except (OSError, H2Error) as e:
        if not said.greeted:
            return Outcome(False, f'error: failed to connect service at "{target}": {e}')
        said.lost = said.lost or str(e)
    return _verdict(said, timeout)


def _too_late(said: _Said, target: str, timeout: float) -> str:
    if said.greeted:
        return f"timeout: health rpc did not complete within {timeout:g}s"
    return f'timeout: failed to connect service "{target}" within {timeout:g}s: context deadline exceeded'


def _call(connection: socket, service: str, target: str, timeout: float, until: Deadline, said: _Said) -> None:
    """Say all that there is to say, and hear what comes back into ``said``."""
    h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
    h2.initiate_connection()
    stream = h2.get_next_available_stream_id()
    h2.send_headers(stream, _headers(target, timeout))
    h2.send_data(stream, _framed(_asking(service)), end_stream=True)
    heard = b""
    while not said.over:
        connection.settimeout(left(until))
        connection.sendall(h2.data_to_send())
        connection.settimeout(left(until))
        piece = connection.recv(PIECE)
        heard += piece
        if not piece or len(heard) > MOST:
            said.lost = "the connection was closed" if not piece else "it says too much"
            break
        if len(heard) > SETTINGS_AT and heard[SETTINGS_AT] != SETTINGS:
            raise ProtocolError("it does not speak HTTP/2")
        for event in h2.receive_data(piece):
            _hear(event, said)


def _headers(target: str, timeout: float) -> list[tuple[str, str]]:
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/grpc.health.v1.Health/Check"),
        (":authority", target),
        ("content-type", "application/grpc"),
        ("user-agent", f"{Asked.PROBE}/{VERSION}"),
        ("te", "trailers"),
        ("grpc-timeout", f"{max(1, int(timeout * 1000))}m"),
    ]


def _hear(event: Event, said: _Said) -> None:
    match event:
        case RemoteSettingsChanged():
            said.greeted = True
        case ResponseReceived(headers=headers) | TrailersReceived(headers=headers):
            said.headers |= {_text(name): _text(value) for name, value in headers or ()}
        case DataReceived(data=data):
            said.message += data or b""
        case StreamEnded():
            said.over = True
        case StreamReset(error_code=code) | ConnectionTerminated(error_code=code):
            said.over, said.lost = True, f"the server ended it with error code {code}"


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode(errors="replace")


def _verdict(said: _Said, timeout: float) -> Outcome:
    code = said.headers.get("grpc-status", "")
    if not code.isascii() or not code.isdigit():
        status = said.headers.get(":status", "")
        why = said.lost or (f"unexpected HTTP status code received from server: {status}" if status else "no answer")
        return Outcome(False, f"error: health rpc probe failed: rpc error: code = Unavailable desc = {why}")
    number, message = int(code), unquote(said.headers.get("grpc-message", ""))
    if number == UNIMPLEMENTED:
        text = "error: this server does not implement the grpc health protocol (grpc.health.v1.Health)"
        return Outcome(False, f"{text}: {message}")
    if number == DEADLINE_EXCEEDED:
        return Outcome(False, f"timeout: health rpc did not complete within {timeout:g}s")
    if number:
        word = CODES[number] if number < len(CODES) else f"Code({number})"
        return Outcome(False, f"error: health rpc probe failed: rpc error: code = {word} desc = {message}")
    health = _health(said.message)
    if health != SERVING:
        word = HEALTH[health] if health < len(HEALTH) else str(health)
        return Outcome(False, f'service unhealthy (responded with "{word}")')
    return Outcome(True, "service healthy")


def _asking(service: str) -> bytes:
    """HealthCheckRequest: field 1, a string."""
    name = service.encode()
    return b"\x0a" + _varint(len(name)) + name if name else b""


def _framed(message: bytes) -> bytes:
    """gRPC's length-prefixed message, not compressed."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def _health(data: bytes) -> int:
    """HealthCheckResponse: field 1, an enum; 0 where it is not there, or cannot be read (UNKNOWN)."""
    message = data[5 : 5 + int.from_bytes(data[1:5], "big")]
    place = 0
    while place < len(message):
        tag, place = _read_varint(message, place)
        kind = tag & 7
        if kind == 0:
            value, place = _read_varint(message, place)
            if tag >> 3 == 1:
                return value
        elif kind == 2:
            size, place = _read_varint(message, place)
            place += size
        elif kind in (1, 5):
            place += 8 if kind == 1 else 4
        else:
            return 0
    return 0


def _read_varint(message: bytes, place: int) -> tuple[int, int]:
    number = shift = 0
    while place < len(message):
        byte = message[place]
        number |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            break
    return number, place
