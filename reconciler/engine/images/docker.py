"""One question to the docker daemon of this host, by its socket. Imported where there is one: an HTTP client costs
every command 10 ms."""

from __future__ import annotations

import http.client
import json
import socket
from contextlib import closing
from urllib.parse import quote

from reconciler.engine.images.reference import id_prefix

_PATIENCE = 2.0


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_PATIENCE)
        self.sock.connect(self._path)


def image_id(path: str, name: str) -> str:
    """``docker image inspect`` (Docker Engine API: ImageInspect); "" where there is none, or no answer."""
    with closing(_Connection(path)) as connection:
        try:
            connection.request("GET", f"/images/{quote(name, safe='/:@')}/json")
            answer = connection.getresponse()
            said = json.loads(answer.read()) if answer.status == 200 else {}
        except (OSError, ValueError, RecursionError, http.client.HTTPException):
            return ""
    return id_prefix(str(said.get("Id", ""))) if isinstance(said, dict) else ""
