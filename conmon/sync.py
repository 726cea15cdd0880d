"""The sync pipe: how the launcher learns the container's pid, or why there is none.

One message is one line and one write, because the launcher may read it from a SOCK_SEQPACKET socket
with a buffer of 4096 bytes.
"""

from __future__ import annotations

import os

LONGEST = 4095
_SHORT = {0x22: b'\\"', 0x5C: b"\\\\", 0x2F: b"\\/", 10: b"\\n", 13: b"\\r", 9: b"\\t", 8: b"\\b", 12: b"\\f"}
_ESCAPES = {**{code: b"\\u%04x" % code for code in (*range(0x20), 0x7F)}, **_SHORT}


class Sync:
    """The launcher's end of the line, if there is one. ``fd`` None: nobody asked."""

    def __init__(self, fd: int | None, key: str) -> None:
        self._fd = fd
        self._key = key.encode()

    def send(self, number: int, text: bytes | None = None) -> None:
        """Send one message. A launcher that has gone is no error."""
        if self._fd is None:
            return
        try:
            os.write(self._fd, message(self._key, number, text))
        except BrokenPipeError:
            os.close(self._fd)
            self._fd = None


def key(*, api_version: bool, executing: bool) -> str:
    """The name of the number: it depends on the API version and the mode."""
    return "data" if api_version else "exit_code" if executing else "pid"


def message(name: bytes, number: int, text: bytes | None) -> bytes:
    """One line of at most LONGEST bytes: a longer text is cut, between characters of its escaped form."""
    head = b'{"' + name + b'": ' + str(number).encode()
    if text is None:
        return head + b"}\n"
    head += b', "message": "'
    room = LONGEST - len(head) - len(b'"}\n')
    body = b""
    for code in text:
        piece = _ESCAPES.get(code) or bytes((code,))
        if len(body) + len(piece) > room:
            break
        body += piece
    return head + body + b'"}\n'
