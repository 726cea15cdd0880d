"""The processes of a container by what /proc says of them, and names by a root directory that means harm."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.engine import inside
from reconciler.engine.inside import (
    IdMap,
    Ids,
    at_depth,
    id_map_of,
    ids,
    mapped,
    names_of,
    status_of,
    terminal,
    text_in,
)

STATUS = """Name:\tsleep
Umask:\t0022
State:\tS (sleeping)
Tgid:\t41
PPid:\t38
Uid:\t165536\t165569\t165569\t165569
Gid:\t165536\t165569\t165569\t165569
Groups:\t165569 165546 
NStgid:\t4141\t41\t3
NSpid:\t4141\t41\t3
NSpgid:\t4138\t38\t1
VmRSS:\t    1380 kB
Seccomp:\t2
CapEff:\t00000000a00425fb
"""


def test_a_status_is_read_line_by_line() -> None:
    status = status_of(STATUS)
    assert status["Name"] == "sleep"
    assert status["NSpid"] == "4141\t41\t3"
    assert status["VmRSS"] == "1380 kB"
    assert ids(status["Uid"]) == Ids(165536, 165569)
    assert ids(status["Gid"], status["Groups"]) == Ids(165536, 165569, (165569, 165546))


@pytest.mark.parametrize(
    ("depth", "number"),
    [
        pytest.param(1, 4141, id="the host's own, where the container shares its namespace"),
        pytest.param(2, 41, id="the container's"),
        pytest.param(3, 3, id="that of a namespace that the container made itself"),
        pytest.param(4, 0, id="of a namespace that it is not in"),
    ],
)
def test_a_process_has_a_number_in_each_namespace(depth: int, number: int) -> None:
    assert at_depth(status_of(STATUS)["NSpid"], depth) == number


def test_ids_are_told_as_the_user_namespace_has_them() -> None:
    id_map = id_map_of("         0     165536      65536\n     70000     300000          1\n")
    assert mapped(Ids(165536, 165569, (300000,)), id_map) == Ids(0, 33, (70000,))
    assert id_map.inside(0) == 65534, "the machine's root is nobody there"
    assert id_map.inside(165536 + 65536) == 65534
    assert IdMap().inside(1000) == 1000, "no namespace of its own"


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (0, "?"),
        (os.makedev(136, 0), "pts/0"),
        (os.makedev(137, 3), "pts/259"),
        (os.makedev(4, 1), "tty1"),
        (os.makedev(4, 64), "ttyS0"),
        (os.makedev(5, 1), "console"),
        (os.makedev(204, 64), "?"),
    ],
)
def test_a_terminal_has_the_name_of_its_device(number: int, name: str) -> None:
    assert terminal(number) == name


def test_names_by_number() -> None:
    odd = ":x:5:5::/:\nbroken\nx:x:-1:0::/:\nx:x:٣:0::/:\nx:x:99999999999:0::/:\n"
    text = f"root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:\n{odd}www:x:33:33::/:\n"
    assert names_of(text) == {0: "root", 33: "www"}


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    """A root directory with an /etc in which nothing is, beside a file that is none of its business."""
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "root/etc").mkdir(parents=True)
    fd = os.open(tmp_path / "root", os.O_PATH | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def test_a_file_is_read_by_what_the_root_shows(root: int, tmp_path: Path) -> None:
    (tmp_path / "root/etc/passwd").write_text("plain")
    assert text_in(root, "etc/passwd") == "plain"
    (tmp_path / "root/etc/other").symlink_to("/etc/passwd")
    assert text_in(root, "etc/other") == "plain", "a link from the root is one from that root"
    assert text_in(root, "etc/none") == ""


@pytest.mark.parametrize("target", ["{out}/secret", "../../secret", "../../../../../../../{out}/secret"])
def test_no_link_leads_out_of_the_root(root: int, tmp_path: Path, target: str) -> None:
    (tmp_path / "root/etc/passwd").symlink_to(target.format(out=tmp_path))
    assert text_in(root, "etc/passwd") == ""


def test_a_link_of_proc_leads_nowhere(root: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "root/etc/passwd").symlink_to(f"fd/{root}/../secret")
    proc = os.open("/proc/self", os.O_PATH | os.O_DIRECTORY)
    try:
        assert text_in(proc, f"fd/{root}/etc") == ""
        assert text_in(proc, "exe") == ""
        assert text_in(proc, "comm") != "", "a file beside them is found"
    finally:
        os.close(proc)


def test_neither_a_pipe_nor_a_directory_is_opened(root: int, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "root/etc/passwd")
    assert text_in(root, "etc/passwd") == "", "opening it would wait for a writer"
    assert text_in(root, "etc") == ""


def test_a_kernel_that_cannot_do_it_costs_the_names_only(root: int, tmp_path: Path) -> None:
    from tests.fakes.linux import RecordingKernel

    (tmp_path / "root/etc/passwd").write_text("plain")
    assert text_in(root, "etc/passwd", RecordingKernel(refuse={"find_in_root": 38})) == ""


def test_only_so_much_is_read(root: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inside, "_MOST", 5)
    (tmp_path / "root/etc/passwd").write_text("plain and more")
    assert text_in(root, "etc/passwd") == "plain"
