"""Asking name servers as a pod does: over its own network, by its own resolv.conf; and one to be asked."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from reconciler.engine.dns.resolver import parse
from reconciler.linux.syscalls import in_network
from reconciler.model.key import Key
from tests.host.instance import Instance
from tests.slowness import seconds

A, AAAA = 1, 28
NXDOMAIN = 3

_DEADLINE, _PATIENCE = seconds(30.0), seconds(0.25)
"""The server of Debian 12 loses what it is asked in the milliseconds in which it reads its tables again: so it is asked
again after so long."""


class NoAnswer(Exception):
    """The server refused, or has nothing to say."""


def resolve(instance: Instance, asker: Key, name: str, kind: int = A) -> set[str]:
    """The addresses that ``name`` leads to for a process in the pod, through the search list as libc goes through it;
    empty where there is no such name."""
    sandbox = instance.engine.observe(asker, None).sandbox
    assert sandbox is not None
    assert sandbox.infra is not None
    assert sandbox.infra.pid is not None
    conf = parse((instance.engine.layout.pod(sandbox.id) / "resolv.conf").read_text())
    searched = [f"{name}.{domain}" for domain in conf.searches]
    fd = os.open(f"/proc/{sandbox.infra.pid.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return in_network(fd, lambda: _first([*searched, name], conf.nameservers[0], kind))
    finally:
        os.close(fd)


def _first(names: list[str], server: str, kind: int) -> set[str]:
    for name in names:
        code, found = query(server, name, kind)
        if code == 0:
            return found
    return set()


def query(server: str, name: str, kind: int = A, port: int = 53) -> tuple[int, set[str]]:
    """One question: response code and addresses. Raises NoAnswer."""
    question = b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split(".")) + b"\0"
    packet = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + question + struct.pack(">HH", kind, 1)
    with socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(_PATIENCE)
        one.connect((server, port))
        end = time.monotonic() + _DEADLINE
        while time.monotonic() < end:
            try:
                one.send(packet)
                return _parse(one.recv(4096), len(packet))
            except ConnectionRefusedError:
                threading.Event().wait(_PATIENCE / 10)
            except TimeoutError:
                pass
    raise NoAnswer(f"{server} says nothing of {name}")


def _parse(answer: bytes, at: int) -> tuple[int, set[str]]:
    found = set()
    for _ in range(struct.unpack(">H", answer[6:8])[0]):
        while answer[at] and answer[at] & 0xC0 != 0xC0:
            at += answer[at] + 1
        at += 2 if answer[at] & 0xC0 == 0xC0 else 1
        kind, _, _, size = struct.unpack(">HHIH", answer[at : at + 10])
        if kind in (A, AAAA):
            data = answer[at + 10 : at + 10 + size]
            found.add(socket.inet_ntop(socket.AF_INET if kind == A else socket.AF_INET6, data))
        at += 10 + size
    return answer[3] & 15, found


@contextmanager
def upstream(ip: str, answer: str) -> Iterator[list[str]]:
    """A name server on the host that says ``answer`` to every question; what it was asked."""
    asked: list[str] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind((ip, 53))
        thread = threading.Thread(target=_answer, args=(one, answer, asked), daemon=True)
        thread.start()
        try:
            yield asked
        finally:
            one.sendto(b"", (ip, 53))  # the end
            thread.join(_DEADLINE)


def _answer(one: socket.socket, answer: str, asked: list[str]) -> None:
    while True:
        data, peer = one.recvfrom(4096)
        if not data:
            return
        end = data.index(b"\0", 12) + 5
        asked.append(_name(data[12:]))
        record = b"\xc0\x0c" + struct.pack(">HHIH", A, 1, 60, 4) + socket.inet_aton(answer)
        one.sendto(data[:2] + b"\x81\x80" + struct.pack(">HHHH", 1, 1, 0, 0) + data[12:end] + record, peer)


def _name(question: bytes) -> str:
    labels, at = [], 0
    while question[at]:
        labels.append(question[at + 1 : at + 1 + question[at]].decode())
        at += question[at] + 1
    return ".".join(labels)


@contextmanager
def taken(kind: socket.SocketKind, ip: str, port: int) -> Iterator[None]:
    """Somebody else has the port."""
    with socket.socket(socket.AF_INET, kind) as one:
        one.bind((ip, port))
        yield
