"""A part of a volume is mounted as it is found below the volume, whatever somebody in there does meanwhile.

In a mount namespace of this test's own thread of work: a child that unshares, and writes what it found."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from conmon import parts
from tests.host.instance import until

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

ROUNDS = 200

CHILD = """
import os, sys
from conmon import libc, parts
volume, path, target = map(os.fsencode, sys.argv[1:4])
libc.unshare(libc.CLONE_NEWNS)
libc.mount(b"none", b"/", b"", libc.MS_REC | libc.MS_SLAVE, b"")
for _ in range(int(sys.argv[4])):
    try:
        parts.mount(volume, volume, path, target)
    except OSError as error:
        print("refused:", error.strerror, flush=True)
        continue
    directory = os.path.isdir(target)
    print("seen:", " ".join(sorted(os.listdir(os.fsdecode(target)))) if directory else open(target).read(), flush=True)
    libc.umount(target, libc.MNT_DETACH)
"""


def mounts(volume: Path, path: str, target: Path, rounds: int = 1) -> list[str]:
    """What was seen at ``target`` in each round, or why it was refused."""
    words = [sys.executable, "-c", CHILD, str(volume), path, str(target), str(rounds)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    (tmp_path / "outside" / "a").mkdir(parents=True)
    (tmp_path / "outside" / "a" / "secret").write_text("of the host")
    top = tmp_path / "volume"
    (top / "real" / "a").mkdir(parents=True)
    (top / "real" / "a" / "mine").write_text("of the volume")
    top.chmod(0o2770)
    os.chown(top, 33, 44)
    return top


OUTSIDE = f"refused: {parts.OUTSIDE}"

CASES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "a directory": (lambda v: None, "real/a", "seen: mine"),
    "a file": (lambda v: None, "real/a/mine", "seen: of the volume"),
    "a link that stays inside": (lambda v: (v / "l").symlink_to("real"), "l/a", "seen: mine"),
    "a link in the middle that leaves": (lambda v: (v / "l").symlink_to("../outside"), "l/a", OUTSIDE),
    "an absolute link": (lambda v: (v / "l").symlink_to(v.parent / "outside"), "l/a", OUTSIDE),
    "an absolute link to the volume itself": (lambda v: (v / "l").symlink_to(v / "real"), "l/a", OUTSIDE),
    "a link at the end that leaves": (lambda v: (v / "l").symlink_to("../outside"), "l", OUTSIDE),
    "what is missing below a link that leaves": (lambda v: (v / "l").symlink_to("../outside"), "l/new", OUTSIDE),
    "a link to nothing": (lambda v: (v / "l").symlink_to("nothing"), "l", "refused: Not a directory"),
    "a file in the middle": (lambda v: (v / "f").touch(), "f/x", "refused: Not a directory"),
}


@pytest.mark.parametrize(("arrange", "path", "expected"), CASES.values(), ids=CASES.keys())
def test_a_part_is(arrange: Callable[[Path], object], path: str, expected: str, volume: Path, tmp_path: Path) -> None:
    arrange(volume)
    assert mounts(volume, path, tmp_path / "target") == [expected]
    assert not (tmp_path / "outside" / "new").exists()


def test_what_is_missing_is_made_like_the_volume(volume: Path, tmp_path: Path) -> None:
    assert mounts(volume, "new/deep", tmp_path / "target") == ["seen: "]
    for path in (volume / "new", volume / "new" / "deep"):
        info = path.stat()
        assert (info.st_uid, info.st_gid, info.st_mode & 0o7777) == (33, 44, 0o2770)


def test_a_link_that_is_swapped_all_the_time_never_leads_out(volume: Path, tmp_path: Path) -> None:
    """A directory and a link to the outside change places as fast as they can while the part is mounted again and
    again; also where it must be made."""
    (volume / "d").symlink_to("real")
    (volume / "other").symlink_to("../outside")
    stop, exchange, here, libc = threading.Event(), 2, -100, ctypes.CDLL(None)

    def swap() -> None:
        while not stop.is_set():
            assert libc.renameat2(here, bytes(volume / "d"), here, bytes(volume / "other"), exchange) == 0

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        for path in ("d/a", "d/new"):
            found: set[str] = set()

            def both(path: str = path, found: set[str] = found) -> bool:
                found.update(mounts(volume, path, tmp_path / path.replace("/", "-"), ROUNDS))
                return OUTSIDE in found and any(line.startswith("seen") for line in found)

            until(both, "it was seen, and refused")
            assert not any("secret" in line for line in found)
    finally:
        stop.set()
        swapping.join()
    assert sorted(path.name for path in (tmp_path / "outside").iterdir()) == ["a"]
