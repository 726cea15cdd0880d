"""hosts, hostname and resolv.conf of a pod: the kubelet's text, and how they are written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reconciler.engine.network import files
from reconciler.engine.network.files import PodFiles
from reconciler.model.errors import TryLater
from reconciler.model.spec import HostAlias

FILES = PodFiles("127.0.0.1\tlocalhost\n", "web\n", "nameserver 10.0.0.1\n")
LOCAL = [
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "fe00::0\tip6-localnet",
    "fe00::0\tip6-mcastprefix",
    "fe00::1\tip6-allnodes",
    "fe00::2\tip6-allrouters",
]
ALIASES = (HostAlias("192.0.2.1", ("db", "db.lan")), HostAlias("2001:db8::1", ("six",)))


@pytest.fixture
def pod(tmp_path: Path) -> Path:
    path = tmp_path / "pod"
    path.mkdir()
    return path


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        pytest.param(
            files.hosts("web", "", ["10.101.0.2"]),
            ["# Kubernetes-managed hosts file.", *LOCAL, "10.101.0.2\tweb"],
            id="a pod with one address",
        ),
        pytest.param(
            files.hosts("web", "", ["10.101.0.2", "fd00::2"]),
            ["# Kubernetes-managed hosts file.", *LOCAL, "10.101.0.2\tweb", "fd00::2\tweb"],
            id="every address of the pod has its line",
        ),
        pytest.param(
            files.hosts("web", "sub.ns.svc.cluster.local", ["10.101.0.2"]),
            ["# Kubernetes-managed hosts file.", *LOCAL, "10.101.0.2\tweb.sub.ns.svc.cluster.local\tweb"],
            id="a subdomain: the whole name first",
        ),
        pytest.param(
            files.hosts("web", "", ["10.101.0.2"], ALIASES),
            [
                "# Kubernetes-managed hosts file.",
                *LOCAL,
                "10.101.0.2\tweb",
                "",
                "# Entries added by HostAliases.",
                "192.0.2.1\tdb\tdb.lan",
                "2001:db8::1\tsix",
            ],
            id="aliases at the end, a line for each address",
        ),
        pytest.param(
            files.host_hosts("127.0.0.1 localhost\n10.0.0.9 printer\n", ALIASES[:1]),
            [
                "# Kubernetes-managed hosts file (host network).",
                "127.0.0.1 localhost",
                "10.0.0.9 printer",
                "",
                "# Entries added by HostAliases.",
                "192.0.2.1\tdb\tdb.lan",
            ],
            id="on the host's network the host's file, and the aliases",
        ),
    ],
)
def test_hosts_is_as_the_kubelet_writes_it(text: str, lines: list[str]) -> None:
    assert text == "".join(f"{line}\n" for line in lines)


def test_three_files_are_written(pod: Path) -> None:
    files.write(pod, FILES)
    assert {p.name: p.read_text() for p in pod.iterdir()} == {
        "hosts": FILES.hosts,
        "hostname": FILES.hostname,
        "resolv.conf": FILES.resolv_conf,
    }
    assert {p.stat().st_mode & 0o777 for p in pod.iterdir()} == {0o644}


def test_files_keep_their_inode(pod: Path) -> None:
    files.write(pod, PodFiles("a\nrather\nlong\ntext\n", "a-rather-long-name\n", "search here and there\n"))
    before = {p.name: p.stat().st_ino for p in pod.iterdir()}
    files.write(pod, FILES)
    assert {p.name: p.stat().st_ino for p in pod.iterdir()} == before
    assert (pod / "hostname").read_text() == "web\n", "nothing of the longer text is left"


def test_a_file_that_says_it_already_is_not_touched(pod: Path) -> None:
    files.write(pod, FILES)
    before = {p.name: p.stat().st_mtime_ns for p in pod.iterdir()}
    files.write(pod, FILES)
    assert {p.name: p.stat().st_mtime_ns for p in pod.iterdir()} == before


def test_the_stamp_tells_contents_apart() -> None:
    others = [PodFiles("x", "y", "z"), PodFiles("xy", "", "z"), PodFiles("", "xy", "z"), FILES]
    assert len({one.stamp for one in others}) == len(others)
    assert PodFiles("x", "y", "z").stamp == others[0].stamp


def test_a_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(TryLater, match=r"cannot write .*hosts: No such file"):
        files.write(tmp_path / "missing", FILES)


def test_what_a_container_wrote_there_is_replaced_whatever_it_is(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_bytes(b"\xff\xfe not text")
    os.truncate(path, 1 << 40)  # read whole, it would fill the memory
    before = path.stat().st_ino
    files.put(path, "127.0.0.1\tlocalhost\n")
    assert path.read_text() == "127.0.0.1\tlocalhost\n" and path.stat().st_ino == before
