"""Files of mount operations: how they are read. (What they do: tests/host/test_conmon.py.)"""

from __future__ import annotations

from pathlib import Path

import pytest

from conmon.prepare import parse, perform
from conmon.say import Fail

REFUSED = {
    "an unknown operation": (b"unshare\nunmake\t/x\n", "line 2: 'unmake'"),
    "too few arguments": (b"mount\ta\tb\n", "line 1: 'mount' with 2 arguments"),
    "a mode that is no number": (b"mkdir\t/x\t9\n", "line 1: not a number"),
    "flags that are no number": (b"mount\ta\tb\tc\td\te\n", "line 1: not a number"),
    "a broken escape": (b"chdir\t/%2\n", "line 1: % without"),
    "a percent sign by itself": (b"chdir\t/a%\n", "line 1: % without"),
}


def test_fields_are_decoded() -> None:
    operations = parse(
        b"# why\n\nunshare\nmount\tover%09lay\t/a%25b\toverlay\t4096\tlowerdir=a:b,x=%0A\nmkdir\t/d\t0700"
    )
    assert [(operation.line, operation.verb, operation.arguments) for operation in operations] == [
        (3, "unshare", []),
        (4, "mount", [b"over\tlay", b"/a%b", b"overlay", b"4096", b"lowerdir=a:b,x=\n"]),
        (5, "mkdir", [b"/d", b"0700"]),
    ]


@pytest.mark.parametrize(("text", "words"), REFUSED.values(), ids=REFUSED)
def test_refused(text: bytes, words: str) -> None:
    with pytest.raises(Fail) as fail:
        parse(text)
    assert words in fail.value.text


def test_mkdir_again_is_fine_and_the_directory_is_the_old_one_afterwards(tmp_path: Path) -> None:
    home = Path.cwd()
    operations = parse(f"chdir\t{tmp_path}\nmkdir\td\t0711\nmkdir\td\t0710\n".encode())
    perform(operations)
    assert Path.cwd() == home
    assert (tmp_path / "d").stat().st_mode & 0o7777 == 0o711


def test_a_failure_names_the_operation(tmp_path: Path) -> None:
    with pytest.raises(Fail) as fail:
        perform(parse(f"mkdir\t{tmp_path}/a/b\t0700\n".encode()))
    expected = f"cannot prepare the container: mkdir {tmp_path}/a/b 0700 (line 1): No such file or directory"
    assert fail.value.text == expected
