"""The lines on the sync pipe, as launchers parse them."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conmon.sync import LONGEST, Sync, key, message

MESSAGES = {
    "a pid": ((b"data", 7, None), b'{"data": 7}\n'),
    "a failure": ((b"pid", -1, b"no"), b'{"pid": -1, "message": "no"}\n'),
    "an empty text": ((b"data", -1, b""), b'{"data": -1, "message": ""}\n'),
    "what JSON has letters for": (
        (b"data", -1, b'\\"/\n\r\t\b\f'),
        b'{"data": -1, "message": "\\\\\\"\\/\\n\\r\\t\\b\\f"}\n',
    ),
    "other control characters": ((b"data", -1, b"\x01\x1f\x7f"), b'{"data": -1, "message": "\\u0001\\u001f\\u007f"}\n'),
    "bytes beyond ASCII as they are": ((b"data", -1, b"\xc3\xa4\xff"), b'{"data": -1, "message": "\xc3\xa4\xff"}\n'),
}
KEYS = {(True, True): "data", (True, False): "data", (False, True): "exit_code", (False, False): "pid"}


@pytest.mark.parametrize(("arguments", "expected"), MESSAGES.values(), ids=MESSAGES)
def test_message(arguments: tuple[bytes, int, bytes | None], expected: bytes) -> None:
    assert message(*arguments) == expected


@pytest.mark.parametrize(("mode", "expected"), KEYS.items())
def test_key(mode: tuple[bool, bool], expected: str) -> None:
    assert key(api_version=mode[0], executing=mode[1]) == expected


@given(st.text(max_size=200))
def test_json_reads_the_text_back(text: str) -> None:
    line = message(b"data", -1, text.encode(errors="replace"))
    assert json.loads(line)["message"] == text.encode(errors="replace").decode()


@pytest.mark.parametrize("text", [b"x" * 9000, b"\n" * 9000, b"\x01" * 9000])
def test_a_long_text_is_cut_to_one_read_of_the_launcher(text: bytes) -> None:
    line = message(b"data", -1, text)
    assert LONGEST - 6 < len(line) <= LONGEST
    assert text.decode().startswith(json.loads(line)["message"])


def test_a_launcher_that_has_gone_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    sync = Sync(writer, "data")
    sync.send(1)
    sync.send(2)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(writer)
