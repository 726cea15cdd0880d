"""Which lines of a container's notify messages go through."""

from __future__ import annotations

import pytest

from conmon.notify import passed

MESSAGES = {
    "it is ready": (b"READY=1", b"READY=1"),
    "the last line's newline is none of its own": (b"READY=1\n", b"READY=1"),
    "several lines keep their order": (b"STOPPING=1\nSTATUS=bye now", b"STOPPING=1\nSTATUS=bye now"),
    "another value is another line": (b"READY=0\nREADY=11\nWATCHDOG=2", b""),
    "a value may be empty": (b"STATUS=", b"STATUS="),
    "processes and descriptors are not the container's to name": (b"MAINPID=1\nFDSTORE=1\nNOTIFYACCESS=all", b""),
    "the rest of such a message goes through": (b"MAINPID=1\nERRNO=2\nX=1", b"ERRNO=2"),
    "an empty message": (b"", b""),
}


@pytest.mark.parametrize(("message", "heard"), MESSAGES.values(), ids=MESSAGES.keys())
def test_lines(message: bytes, heard: bytes) -> None:
    assert passed(message) == heard
