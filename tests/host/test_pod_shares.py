"""What containers of a pod share with each other and with the host: read from the kernel, not from our records."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.host.instance import Instance
from tests.host.lives import ip_of, use_runtime
from tests.host.manifests import container, pod, put
from tests.slowness import seconds

pytestmark = pytest.mark.host

OURS = ("net", "uts", "ipc", "pid", "mnt")
POD = {"net", "uts", "ipc"}
ALL = {"hostNetwork": True, "hostPID": True, "hostIPC": True}


@pytest.fixture(params=["crun", "runc"])
def either(request: pytest.FixtureRequest, instance: Instance, image: str) -> Instance:
    """The instance under each runtime."""
    use_runtime(instance, request.param)
    return instance


def namespaces(pid: int | str) -> dict[str, str]:
    return {name: str(Path(f"/proc/{pid}/ns/{name}").readlink()) for name in OURS}


def shared(one: dict[str, str], other: dict[str, str]) -> set[str]:
    return {name for name in OURS if one[name] == other[name]}


@pytest.mark.parametrize(
    ("runtime", "spec", "with_host", "with_each_other"),
    [
        pytest.param("crun", {}, set(), POD, id="nothing"),
        pytest.param("crun", {"hostNetwork": True}, {"net", "uts"}, POD, id="hostNetwork"),
        pytest.param("crun", {"hostPID": True}, {"pid"}, {*POD, "pid"}, id="hostPID"),
        pytest.param("crun", {"hostIPC": True}, {"ipc"}, POD, id="hostIPC"),
        pytest.param("crun", {"shareProcessNamespace": True}, set(), {*POD, "pid"}, id="shareProcessNamespace"),
        pytest.param("runc", {"shareProcessNamespace": True}, set(), {*POD, "pid"}, id="shareProcessNamespace, runc"),
        pytest.param("crun", ALL, {*POD, "pid"}, {*POD, "pid"}, id="all of the host's"),
        pytest.param("runc", ALL, {*POD, "pid"}, {*POD, "pid"}, id="all of the host's, runc"),
    ],
)
def test_namespaces(
    runtime: str,
    spec: dict[str, bool],
    with_host: set[str],
    with_each_other: set[str],
    image: str,
    instance: Instance,
    folder: Path,
) -> None:
    use_runtime(instance, runtime)
    put(folder / "a.yaml", pod("a", container("one", image), container("two", image), **spec))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    running = instance.running("a")
    one, two, infra = (namespaces(running[name].pid) for name in ("one", "two", "infra"))
    assert shared(one, namespaces("self")) == with_host
    assert shared(one, two) == with_each_other
    assert shared(one, infra) >= with_each_other
    assert bool(ip_of(instance, "a")) is not bool(spec.get("hostNetwork"))
    instance.ok("system", "check")


def test_volumes(instance: Instance, image: str, folder: Path, tmp_path: Path) -> None:
    """An emptyDir is the pod's and outlives its containers; a hostPath is the host's, read-only where it says so."""
    (tmp_path / "host").mkdir()
    (tmp_path / "host" / "given").write_text("from the host")
    volumes = [{"name": "empty", "emptyDir": {}}, {"name": "host", "hostPath": {"path": str(tmp_path / "host")}}]
    empty = {"name": "empty", "mountPath": "/empty"}
    put(
        folder / "a.yaml",
        pod(
            "a",
            container("one", image, volumeMounts=[empty, {"name": "host", "mountPath": "/host", "readOnly": True}]),
            container("two", image, volumeMounts=[empty, {"name": "host", "mountPath": "/host"}]),
            volumes=volumes,
        ),
    )
    instance.ok("apply", "--wait", "--timeout", 60, folder)

    def sh(name: str, words: str) -> str:
        return instance.ok("exec", f"a/{name}", "--", "sh", "-c", words)

    sh("one", "echo hello > /empty/file")
    assert sh("two", "cat /empty/file") == "hello\n"
    assert sh("one", "cat /host/given") == "from the host"
    assert instance.run("exec", "a/one", "--", "touch", "/host/new").returncode != 0
    sh("two", "echo back > /host/new")
    assert (tmp_path / "host" / "new").read_text() == "back\n"
    manifest = pod("a", container("one", image, volumeMounts=[empty]), container("two", image), volumes=volumes)
    put(folder / "a.yaml", manifest)
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    assert sh("one", "cat /empty/file") == "hello\n"
    instance.ok("down", folder)
    assert sorted(p.name for p in (tmp_path / "host").iterdir()) == ["given", "new"]


SERVER = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("0.0.0.0", 7777))
print("ready", flush=True)
while True:
    client = server.recvfrom(64)[1]
    server.sendto(b"hello yourself", client)
"""


@contextmanager
def serving(pid: int) -> Iterator[None]:
    """An answer on UDP port 7777 of the pod that ``pid`` is in (the image has no server for it)."""
    words = ["nsenter", "--net", "--target", str(pid), sys.executable, "-c", SERVER]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout
            assert server.stdout.readline() == b"ready\n"
            yield
        finally:
            server.kill()


def test_a_udp_port_of_the_host(either: Instance, image: str, folder: Path) -> None:
    """It leads into the pod, also when the one who asked for it is another; a new number takes the old one's place."""

    def apply(port: int, **fields: Any) -> int:
        ports = [{"containerPort": 7777, "hostPort": port, "protocol": "UDP", "hostIP": "127.0.0.1"}]
        put(folder / "a.yaml", pod("a", container("one", image, ports=ports, **fields)))
        either.ok("apply", "--wait", "--timeout", 60, folder)
        return either.running("a")["infra"].pid

    pid = apply(18600)
    assert ask(18600) == "nobody"
    with serving(pid):
        assert ask(18600) == "hello yourself"
        assert apply(18600, args=["new"]) == pid
        assert ask(18600) == "hello yourself"
    with serving(apply(18601)):
        assert ask(18601) == "hello yourself"
        assert ask(18600) == "nobody"


def ask(port: int) -> str:
    """What comes back from a UDP port of the host: "nobody" for a refusal, "" for silence."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", port))
        try:
            client.send(b"hello")
            ready, _, _ = select.select([client], [], [], seconds(30))
            return client.recv(64).decode() if ready else ""
        except ConnectionRefusedError:
            return "nobody"


def test_host_pid_of_a_container_is_that_of_the_host(either: Instance, image: str, folder: Path) -> None:
    put(folder / "a.yaml", pod("a", container("one", image), hostPID=True))
    either.ok("apply", "--wait", "--timeout", 60, folder)
    seen = either.ok("exec", "a/one", "--", "sh", "-c", "ls /proc").split()
    assert str(os.getpid()) in seen
    assert str(either.running("a")["one"].pid) in seen
