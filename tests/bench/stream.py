"""Both ends of a measured TCP stream: ``sink PORT`` and ``send IP PORT SECONDS``, each started in a network namespace.

The same program on both sides of both contenders, so that only the way between them differs. The sink counts: what
arrived from the first byte to the last, in bytes a second, for each connection a line.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import time

BLOCK = 1 << 20


def sink(port: int) -> None:
    buffer = bytearray(BLOCK)
    with socket.socket(socket.AF_INET6) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        server.bind(("::", port))
        server.listen()
        print("listening", flush=True)
        while True:
            connection, _ = server.accept()
            with connection:
                print(f"{_rate(connection, buffer):.0f}", flush=True)


def _rate(connection: socket.socket, buffer: bytearray) -> float:
    got = connection.recv_into(buffer)
    begun, total = time.monotonic(), 0
    while got := connection.recv_into(buffer):
        total += got
    return total / max(time.monotonic() - begun, 1e-9)


def send(ip: str, port: int, seconds: float) -> None:
    block = bytes(BLOCK)
    with socket.create_connection((ip, port), 10) as connection:
        end = time.monotonic() + seconds
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < end:
                connection.sendall(block)


if __name__ == "__main__":
    if sys.argv[1] == "sink":
        sink(int(sys.argv[2]))
    else:
        send(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
