"""`stats`, `pod stats`, `port` and `pod logs` on real containers, by both runtimes."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.model.key import Key
from tests.host.conftest import IMAGE
from tests.host.instance import DEADLINE, Instance, fresh_instance, until
from tests.host.manifests import SERVE, Manifest, container, pod, put

pytestmark = pytest.mark.host

MB = 1_000_000
FIELDS = "CPU", "AvgCPU", "MemLimit", "NetInput", "NetOutput", "PIDs", "CPUNano"


def member(name: str, script: str, **fields: object) -> Manifest:
    return container(name, IMAGE, command=["sh", "-c", f'trap "exit 0" TERM\n{script}'], **fields)


def limits(**each: str) -> Manifest:
    return {"resources": {"limits": each}}


def requests(**each: str) -> Manifest:
    return {"resources": {"requests": each}}


BUSY = "while :; do :; done"
HOLDS = "head -c 40000000 /dev/zero | tail -c 40000000 | { sleep 1000 & wait; }"
"""40 MB in tail's memory, as nobody reads what it writes."""
WRITES = "dd if=/dev/zero of=/file bs=1M count=24 2>/dev/null; echo done; sleep 1000 & wait"
"""24 MB in the page cache, and hardly any of its own."""


@pytest.fixture(params=["crun", "runc"], scope="module")
def there(
    request: pytest.FixtureRequest, loaded_images: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Instance]:
    """A pod whose containers do one thing each, and one on the host's network."""
    folder = tmp_path_factory.mktemp("pods")
    ports = [
        {"containerPort": 80, "hostPort": 18061},
        {"containerPort": 53, "hostPort": 18062, "protocol": "UDP"},
    ]
    work = pod(
        "work",
        member("holds", HOLDS, **limits(memory="128Mi")),
        member("writes", WRITES, **limits(memory="64Mi")),
        member("idle", SERVE, ports=ports),
    )
    put(folder / "pods.yaml", work, pod("host", member("app", SERVE), hostNetwork=True))
    with fresh_instance(loaded_images, "--runtime", request.param) as instance:
        instance.ok("apply", "--wait", "--timeout", 60, folder)
        yield instance


def numbers(there: Instance, name: str) -> dict[str, float]:
    """What ``stats`` says of one container."""
    form = "[" + ",".join(f"{{{{.{field}}}}}" for field in FIELDS) + "]"
    values = json.loads(there.ok("stats", "--no-stream", "--format", form, name))
    return dict(zip(FIELDS, values, strict=True))


def texts(there: Instance, name: str) -> dict[str, str]:
    (found,) = json.loads(there.ok("stats", "--no-stream", "--format", "json", name))
    return found


def processor_time(pid: int) -> float:
    """Seconds that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_busy_loop_uses_a_cpu_and_one_with_a_limit_its_share(there: Instance, folder: Path) -> None:
    put(
        folder / "cpu.yaml",
        pod("cpu", member("busy", BUSY, **requests(cpu="2")), member("slow", BUSY, **limits(cpu="100m"))),
    )
    there.ok("apply", "--wait", "--timeout", 60, folder)
    busy = there.running("cpu")["busy"].pid

    def is_told() -> bool:
        """More than half of a CPU, or about what others left it of one."""
        before, begun = processor_time(busy), time.monotonic()
        told = numbers(there, "busy")["CPU"]
        share = 100 * (processor_time(busy) - before) / (time.monotonic() - begun)
        return told > 50 or 0 < share / 3 < told < share * 3

    until(is_told, "a busy loop uses all that it gets of a CPU")
    slow = until(
        lambda: 0 < numbers(there, "slow")["AvgCPU"] < 20 and numbers(there, "slow"), "its average is its limit"
    )
    assert slow["CPU"] < 45, "0.1 CPU, measured over three of the kernel's periods"
    assert numbers(there, "idle")["CPU"] < 10
    before = numbers(there, "busy")["CPUNano"]
    assert until(lambda: numbers(there, "busy")["CPUNano"] - before, "its time grows") > 0
    there.ok("down", folder)


def memory(there: Instance, name: str) -> tuple[float, str]:
    """Megabytes, and the limit as it is told."""
    used, _, limit = texts(there, name)["mem_usage"].partition(" / ")
    scale = {"kB": 1e-3, "MB": 1.0, "GB": 1e3}
    return float(used[:-2]) * scale[used[-2:]], limit


def test_memory_is_what_a_container_holds_and_not_what_can_be_had_back(there: Instance) -> None:
    until(lambda: memory(there, "holds")[0] > 40, "tail has it all")
    used, limit = memory(there, "holds")
    assert used < 120
    assert limit == "134.2MB"
    assert numbers(there, "holds")["MemLimit"] == 128 << 20
    until(lambda: "done" in there.ok("logs", "work/writes"), "the file is written and read")
    used, limit = memory(there, "writes")
    assert used < 20, "24 MB are in the cache, which the kernel counts as its"
    assert limit == "67.11MB"
    assert numbers(there, "idle")["MemLimit"] == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_the_number_of_processes(there: Instance) -> None:
    until(lambda: numbers(there, "idle")["PIDs"] == 2, "the shell and its child")
    until(lambda: numbers(there, "writes")["PIDs"] == 2, "the shell, and dd or sleep")


def test_bytes_of_the_network_grow_by_what_is_sent(there: Instance) -> None:
    before = numbers(there, "work/idle")
    gateway = there.ok("exec", "work/idle", "--", "ip", "route", "show", "default").split()[2]
    with socket.create_server((gateway, 0)) as server:
        taken = threading.Thread(target=take_all, args=[server])
        taken.start()
        send = f"head -c {MB} /dev/zero | nc {gateway} {server.getsockname()[1]}"
        there.ok("exec", "work/idle", "--", "sh", "-c", send)
        taken.join(DEADLINE)
    after = numbers(there, "work/holds")
    assert MB <= after["NetOutput"] - before["NetOutput"] < 2 * MB, "of the pod: its containers have one network"
    assert after["NetInput"] - before["NetInput"] < MB / 2
    assert texts(there, "host/app")["net_io"] == "-- / --", "the machine's network is not its own"


def take_all(server: socket.socket) -> None:
    """Read from who connects until he has no more to say."""
    server.settimeout(DEADLINE)
    with server.accept()[0] as client:
        while client.recv(1 << 16):
            pass


def test_a_stream_ends_with_ctrl_c(there: Instance) -> None:
    with subprocess.Popen(
        there.command("stats", "-i", "0.2", "--format", "{{.Name}}", "work/idle"), stdout=-1, stderr=-1, text=True
    ) as stream:
        assert stream.stdout is not None
        lines = [stream.stdout.readline() for _ in range(3)]
        stream.send_signal(signal.SIGINT)
        _, errors = stream.communicate(timeout=DEADLINE)
    assert lines == ["work/idle\n"] * 3
    assert (stream.returncode, errors) == (130, "")


def test_a_terminal_is_written_over_and_left_as_it_was(there: Instance) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (6, 40))
    as_it_was = termios.tcgetattr(theirs)
    with subprocess.Popen(
        there.command("stats", "-i", "0.2"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm"},
    ) as stream:
        written = b""
        while written.count(b"\x1b[J") < 3:
            written += os.read(ours, 1 << 16)
        stream.send_signal(signal.SIGINT)
        assert stream.wait(DEADLINE) == 130
    assert termios.tcgetattr(theirs) == as_it_was
    os.close(ours)
    os.close(theirs)
    frames = written.decode().split("\x1b[J")
    assert [frame.count("\x1b[2J") for frame in frames[:3]] == [1, 0, 0]
    lines = frames[1].removeprefix("\x1b[H").replace("\x1b[K", "").split("\r\n")
    assert lines[0].startswith("ID ")
    assert lines[4] == "(3 more lines)"
    assert len(lines) == 6, "five lines and an end: the terminal does not scroll"
    assert max(map(len, lines)) == 40


def test_the_containers_of_a_pod(there: Instance) -> None:
    shown = json.loads(there.ok("pod", "stats", "--no-stream", "--format", "json", "work"))
    sandbox = there.engine.look(Key("default", "work")).sandbox
    assert sandbox is not None
    assert {one["Name"] for one in shown} == {
        *(f"work/{name}" for name in ("holds", "writes", "idle")),
        f"{sandbox.id[:12]}-infra",
    }
    assert {one["Pod"] for one in shown} == {sandbox.id[:12]}
    assert len({one["NetIO"].split(".")[0] for one in shown}) == 1


def test_what_has_ended_uses_nothing(there: Instance) -> None:
    """The last one in this file: it ends a container for good."""
    until(lambda: "is up" in there.ok("logs", "host/app"), "it hears signals")
    there.run("exec", "host/app", "--", "sh", "-c", "kill 1")
    until(lambda: "host/app" not in there.ok("stats", "--no-stream"), "it is not shown any more")
    rows = {row.split()[1]: row.split() for row in there.ok("stats", "--no-stream", "--all").splitlines()}
    assert " ".join(rows["host/app"][2:]) == "-- -- / -- -- -- / -- -- / -- -- -- --"


def test_ports_as_podman_tells_them(there: Instance) -> None:
    assert there.ok("port", "work/idle") == "53/udp -> 0.0.0.0:18062\n80/tcp -> 0.0.0.0:18061\n"
    assert there.ok("port", "work/holds", "80") == "0.0.0.0:18061\n"
    assert there.run("port", "work/holds", "80/udp").returncode == 125
    assert there.ok("port", "--all").count("80/tcp -> 0.0.0.0:18061") == 4
    assert there.ok("port", "host/app") == ""


def test_logs_of_a_pod_are_told_apart(there: Instance) -> None:
    until(lambda: "done" in there.ok("logs", "work/writes"), "the file is written")
    until(lambda: "is up" in there.ok("logs", "work/idle"), "the other has said its word, too")
    lines = there.ok("pod", "logs", "--names", "work").splitlines()
    assert sorted(lines) == ["idle idle is up", "writes done"]
    (stamped,) = there.ok("pod", "logs", "-t", "-c", "writes", "work").splitlines()
    assert stamped.endswith(" done")
    (own,) = there.ok("pod", "logs", "--tail", "1", "-c", "idle", "work").splitlines()
    assert own == "idle is up"
    command = there.command("pod", "logs", "-f", "-n", "work")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as followed:
        assert followed.stdout is not None
        assert sorted(followed.stdout.readline() for _ in range(2)) == ["idle idle is up\n", "writes done\n"]
        there.ok("exec", "work/idle", "--", "sh", "-c", "echo more >/proc/1/fd/1")
        assert followed.stdout.readline() == "idle more\n"
        followed.terminate()
