"""The verbs of crun and runc on real containers, and how one of them is chosen."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.engine import cgroups, gate, processes
from reconciler.engine import choice as choosing
from reconciler.engine.cgroups import LimitBelowUsage
from reconciler.engine.execute import exec_process
from reconciler.engine.layout import Layout
from reconciler.engine.oci.host import CgroupMode
from reconciler.engine.runtime import Runtime
from reconciler.model.errors import HostUnfit, RuntimeFailed
from reconciler.model.spec import ContainerSpec, Resources
from tests.host.instance import until
from tests.host.oci_pod import DEADLINE, HostPod, Running, left_cgroups, pod

pytestmark = pytest.mark.host

MIB = 1 << 20
FOREVER = ContainerSpec("c", "i", command=("/bin/sleep", "1000"), env=(("A", "1"),))


@pytest.fixture(params=["crun", "runc"], scope="module")
def one(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostPod]:
    with pod(tmp_path_factory.mktemp("pod"), request.param) as made:
        yield made


def test_a_container_from_created_to_gone_with_every_verb_twice(one: HostPod) -> None:
    made = one.create(FOREVER)
    assert (one.runtime.state(made.id) or {})["status"] == "created"
    for _ in range(2):
        one.runtime.start(made.id)
        assert (one.runtime.state(made.id) or {})["status"] == "running"
    assert made.id in one.runtime.known()
    with pytest.raises(RuntimeFailed, match="cannot delete container"):
        one.runtime.delete(made.id)
    one.runtime.kill(made.id, signal.SIGKILL)
    assert processes.wait_gone(made.pid, DEADLINE)
    one.runtime.kill(made.id, signal.SIGTERM)
    for _ in range(2):
        one.runtime.delete(made.id)
        assert one.runtime.state(made.id) is None
    assert made.id not in one.runtime.known()
    with pytest.raises(RuntimeFailed, match="cannot start container"):
        one.runtime.start(made.id)


def test_a_start_that_was_killed_when_it_had_let_the_process_go_is_finished(one: HostPod) -> None:
    """Here by who does the half of it: meets the process at the FIFO where it waits, and leaves that there."""
    made = one.create(FOREVER)
    fifo = one.runtime.state_dir / made.id / "exec.fifo"
    if one.runtime.name == "runc":
        assert fifo.read_bytes() == b"0"
    else:
        fifo.write_bytes(b"0")
    until(lambda: Path(f"/proc/{made.pid.pid}/comm").read_text() == "sleep\n", "the program runs")
    for _ in range(2):
        one.runtime.start(made.id)
        assert (one.runtime.state(made.id) or {})["status"] == "running"
    one.end(made)


def test_a_start_needs_no_program(one: HostPod, monkeypatch: pytest.MonkeyPatch) -> None:
    made = one.create(FOREVER)
    with monkeypatch.context() as patched:
        patched.setattr(Runtime, "_run", lambda _self, *words: pytest.fail(f"called: {words}"))
        one.runtime.start(made.id)
    until(lambda: Path(f"/proc/{made.pid.pid}/comm").read_text() == "sleep\n", "the program runs")
    assert (one.runtime.state(made.id) or {})["status"] == "running"
    one.end(made)


@pytest.mark.parametrize("other", ["FIFO", "_STATE"])
def test_a_runtime_that_keeps_another_gate_starts_it_itself(
    one: HostPod, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, other, {"FIFO": "other", "_STATE": {one.runtime.name: ("other", "pid", "start")}}[other])
    made = one.create(FOREVER)
    for _ in range(2):
        one.runtime.start(made.id)
        assert (one.runtime.state(made.id) or {})["status"] == "running"
    one.end(made)


def test_what_ended_before_its_start_is_told_in_the_runtimes_words(one: HostPod) -> None:
    made = one.create(FOREVER)
    os.kill(made.pid.pid, signal.SIGKILL)
    assert processes.wait_gone(made.pid, DEADLINE)
    with pytest.raises(RuntimeFailed, match="cannot start container"):
        one.runtime.start(made.id)
    one.end(made)


def test_a_living_container_is_deleted_by_force(one: HostPod) -> None:
    made = one.create(FOREVER)
    one.runtime.start(made.id)
    one.runtime.delete(made.id, force=True)
    assert processes.wait_gone(made.pid, DEADLINE)
    assert one.runtime.state(made.id) is None


def test_a_container_that_was_never_started_is_deleted(one: HostPod) -> None:
    made = one.create(FOREVER)
    one.end(made)
    assert one.runtime.state(made.id) is None


def test_exec_has_the_containers_environment_and_gives_its_exit_code(one: HostPod, tmp_path: Path) -> None:
    made = one.create(FOREVER)
    one.runtime.start(made.id)
    words = ["/bin/sh", "-c", "echo $A $B $HOSTNAME $(pwd); exit 7"]
    done = execute(one, made, words, tmp_path, {"B": "2"}, "/tmp")
    assert (done.returncode, done.stdout) == (7, b"1 2 podname /tmp\n")
    done = execute(one, made, ["/bin/sh", "-c", "env; cat /proc/self/status"], tmp_path, {})
    status = done.stdout.decode()
    assert "Seccomp:\t2" in status
    assert {"A=1", "HOSTNAME=podname", "HOME=/root"} <= set(status.splitlines())
    assert "CapEff:\t00000000800405fb" in status


def execute(
    one: HostPod, made: Running, argv: list[str], tmp_path: Path, env: dict[str, str], cwd: str = ""
) -> subprocess.CompletedProcess[bytes]:
    config = json.loads((made.bundle.directory / "config.json").read_text())
    process = tmp_path / "process.json"
    process.write_text(json.dumps(exec_process(config["process"], argv, env, cwd)))
    command = one.runtime.exec_argv(made.id, process)
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=DEADLINE, check=False)


def test_limits_are_in_the_cgroup_and_change_while_it_runs(one: HostPod) -> None:
    limits = Resources(cpu_request=500, cpu_limit=1000, memory_limit=64 * MIB)
    made = one.create(replace(FOREVER, resources=limits))
    one.runtime.start(made.id)
    path = made.bundle.cgroups_path
    assert cgroups.memory_limit(path) == 64 * MIB
    assert cpu_settings(path) == (512, 100000)
    assert made.pid.pid in cgroups.pids(path)
    cgroups.update(path, Resources(cpu_request=250, memory_limit=32 * MIB))
    assert cgroups.memory_limit(path) == 32 * MIB
    assert cpu_settings(path) == (256, -1)
    cgroups.update(path, Resources())
    assert cgroups.memory_limit(path) is None
    assert processes.alive(made.pid)


def test_a_limit_below_usage_is_refused_and_nobody_dies(one: HostPod) -> None:
    script = "/bin/busybox dd if=/dev/zero of=/dev/shm/f bs=1M count=16 2>/dev/null; echo full; /bin/sleep 1000"
    made = one.create(ContainerSpec("c", "i", command=("/bin/sh", "-c", script)))
    one.runtime.start(made.id)
    assert made.read_line() == "full"
    with pytest.raises(LimitBelowUsage, match="in use"):
        cgroups.update(made.bundle.cgroups_path, Resources(memory_limit=8 * MIB))
    assert cgroups.memory_limit(made.bundle.cgroups_path) is None
    assert processes.alive(made.pid)


def test_a_command_that_is_not_there_is_told_in_the_runtimes_words(one: HostPod) -> None:
    with pytest.raises((AssertionError, RuntimeFailed), match="/no/such"):
        one.runtime.start(one.create(ContainerSpec("c", "i", command=("/no/such",))).id)


def cpu_settings(path: str) -> tuple[int, int]:
    """Shares (v1's unit) and quota, -1 for none."""
    where = cgroups.current()
    if where.mode is CgroupMode.V2:
        directory = where.all[0].root / path[1:]
        quota = (directory / "cpu.max").read_text().split()[0]
        weight = int((directory / "cpu.weight").read_text())
        return {20: 512, 10: 256}.get(weight, weight), -1 if quota == "max" else int(quota)
    cpu = where.v1("cpu")
    assert cpu is not None
    directory = cpu.root / path[1:]
    return int((directory / "cpu.shares").read_text()), int((directory / "cpu.cfs_quota_us").read_text())


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    made = Layout.at(tmp_path)
    made.make()
    yield made
    assert not list(left_cgroups(made.tag)), "the probe left cgroups"
    assert not list(made.cache.glob("probe-*")), "the probe left its bundle"


def test_crun_is_preferred_and_the_answer_is_remembered(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    first = choosing.choose(layout)
    assert first.runtime.name == "crun"
    assert first.facts.runtime == "crun"
    assert first.runtime.state_dir.is_absolute()
    monkeypatch.setattr(choosing, "run", lambda *_, **__: pytest.fail("asked again"))
    assert choosing.choose(layout) == first


def test_a_changed_binary_is_asked_again(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    choosing.choose(layout, "crun")
    monkeypatch.setattr(choosing, "boot_id", lambda: "another boot")
    asked: list[str] = []
    monkeypatch.setattr(choosing, "_probe", lambda _layout, made, _facts: asked.append(made.name) or "")
    choosing.choose(layout, "crun")
    assert asked == ["crun"]


def test_a_damaged_memory_is_no_memory(layout: Layout) -> None:
    first = choosing.choose(layout, "crun")
    (layout.cache / "runtime-crun.json").write_text('{"key": 5')
    assert choosing.choose(layout, "crun") == first


@pytest.mark.parametrize("name", ["crun", "runc"])
@pytest.mark.parametrize("point", ["runtime.probe:before", "runtime.probe:after", "runtime.forget-probe:before"])
def test_a_probe_that_was_killed_leaves_nothing_once_asked_again(layout: Layout, name: str, point: str) -> None:
    script = (
        "import sys; from pathlib import Path; from reconciler.engine.layout import Layout;"
        "from reconciler.engine import choice as choosing; choosing.choose(Layout.at(Path(sys.argv[1])), sys.argv[2])"
    )
    killed = subprocess.run(
        [sys.executable, "-c", script, str(layout.state.parent), name],
        env={**os.environ, "RECONCILER_FAULT": point},
        cwd=Path(__file__).parents[2],
        timeout=DEADLINE,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert choosing.choose(layout, name).runtime.name == name


def test_what_kept_a_runtime_from_answering_is_not_remembered(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(choosing, "PROBE_TIMEOUT", 0.001)
        with pytest.raises(HostUnfit, match="no end after"):
            choosing.choose(layout, "runc")
    assert choosing.choose(layout, "runc").runtime.name == "runc"


def test_where_crun_does_not_work_runc_is_taken_and_the_reason_kept(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "bin" / "crun"
    fake.parent.mkdir()
    fake.write_text(
        "#!/bin/sh\ntest $1 = --version && echo crun version 0.1 && exit 0\necho 'no cgroups for you' >&2; exit 1\n"
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    choice = choosing.choose(layout)
    assert choice.runtime.name == "runc"
    assert choice.why_not == {"crun": "no cgroups for you"}
    with pytest.raises(HostUnfit, match="crun: no cgroups for you"):
        choosing.choose(layout, "crun")
