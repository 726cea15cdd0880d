"""hosts, hostname and resolv.conf of a pod."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.engine.network import files
from reconciler.model.errors import TryLater


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    path = tmp_path / "etc"
    path.mkdir()
    (path / "hosts").write_text("127.0.0.1 localhost\n10.0.0.9 printer\n")
    (path / "resolv.conf").write_text("search lan\nnameserver 10.0.0.1\n")
    return path


@pytest.fixture
def pod(tmp_path: Path) -> Path:
    path = tmp_path / "pod"
    path.mkdir()
    return path


def test_hosts_is_as_the_kubelet_writes_it() -> None:
    assert files.hosts("web", "10.101.0.2").splitlines() == [
        "# Kubernetes-managed hosts file.",
        "127.0.0.1\tlocalhost",
        "::1\tlocalhost ip6-localhost ip6-loopback",
        "fe00::0\tip6-localnet",
        "fe00::0\tip6-mcastprefix",
        "fe00::1\tip6-allnodes",
        "fe00::2\tip6-allrouters",
        "10.101.0.2\tweb",
    ]


def test_three_files_are_written(pod: Path, etc: Path) -> None:
    files.write(pod, "web", "10.101.0.2", etc, etc / "none")
    assert (pod / "hostname").read_text() == "web\n"
    assert (pod / "hosts").read_text().endswith("10.101.0.2\tweb\n")
    assert (pod / "resolv.conf").read_text() == "search lan\nnameserver 10.0.0.1\n"
    assert {p.stat().st_mode & 0o777 for p in pod.iterdir()} == {0o644}


def test_a_pod_in_the_hosts_network_has_the_hosts_files(pod: Path, etc: Path) -> None:
    (etc / "resolv.conf").write_text("nameserver 127.0.0.53\n")
    files.write(pod, "node", "", etc, etc / "none")
    first, *rest = (pod / "hosts").read_text().splitlines()
    assert first == "# Kubernetes-managed hosts file (host network)."
    assert rest == (etc / "hosts").read_text().splitlines()
    assert (pod / "resolv.conf").read_text() == "nameserver 127.0.0.53\n"


def test_files_keep_their_inode(pod: Path, etc: Path) -> None:
    files.write(pod, "a-rather-long-name", "10.101.0.222", etc)
    before = {p.name: p.stat().st_ino for p in pod.iterdir()}
    files.write(pod, "web", "10.101.0.2", etc)
    assert {p.name: p.stat().st_ino for p in pod.iterdir()} == before
    assert (pod / "hostname").read_text() == "web\n", "nothing of the longer text is left"


def test_a_file_that_says_it_already_is_not_touched(pod: Path, etc: Path) -> None:
    files.write(pod, "web", "10.101.0.2", etc)
    before = {p.name: p.stat().st_mtime_ns for p in pod.iterdir()}
    files.write(pod, "web", "10.101.0.2", etc)
    assert {p.name: p.stat().st_mtime_ns for p in pod.iterdir()} == before


@pytest.mark.parametrize(
    ("host", "resolved", "expected"),
    [
        pytest.param(
            "nameserver 10.0.0.1\noptions edns0\n",
            "",
            "nameserver 10.0.0.1\noptions edns0\n",
            id="the host's, as it is",
        ),
        pytest.param(
            "nameserver 127.0.0.53\n",
            "nameserver 10.0.0.1\nsearch lan\n",
            "nameserver 10.0.0.1\nsearch lan\n",
            id="a stub on loopback: what systemd-resolved asks",
        ),
        pytest.param(
            "nameserver 127.0.0.1\nnameserver 10.0.0.1\n",
            "",
            "nameserver 10.0.0.1\n",
            id="loopback ones cannot be reached",
        ),
        pytest.param("search lan\nnameserver ::1\n", "", "search lan\n", id="nothing that could be reached"),
        pytest.param("", "", "", id="no file at all"),
        pytest.param("# nameserver 9.9.9.9\n", "", "# nameserver 9.9.9.9\n", id="a comment is no resolver"),
    ],
)
def test_resolvers_that_a_pod_can_reach(host: str, resolved: str, expected: str) -> None:
    assert files.resolv_conf(host, resolved) == expected


def test_a_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(TryLater, match=r"cannot write .*hosts: No such file"):
        files.write(tmp_path / "missing", "web", "10.101.0.2")
