"""The main job as a user does it: manifests in a folder, the command line, real containers."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.host.instance import DEADLINE, Instance, until
from tests.host.manifests import Manifest, container, pod, put

pytestmark = pytest.mark.host


def web(image: str, **fields: object) -> Manifest:
    return pod("web", container("app", image, **fields), container("side", image))


# --- apply, look, edit, add, remove --------------------------------------------------------------------------------


def test_apply_wait_then_nothing_is_left_to_do(instance: Instance, image: str, folder: Path) -> None:
    put(folder / "web.yaml", web(image))
    assert "1 of 1 pod as wanted" in instance.ok("apply", "--wait", "--timeout", 60, folder)
    running = instance.running("web")
    assert set(running) == {"infra", "app", "side"}

    assert instance.ok("apply", "--wait", folder) == "1 of 1 pod as wanted (nothing to do)\n"
    assert instance.ok("diff", folder) == ""
    assert "Converged" in instance.ok("status", folder)
    assert instance.running("web") == running


def test_what_runs_can_be_looked_at(instance: Instance, image: str, folder: Path) -> None:
    put(folder / "web.yaml", web(image))
    instance.ok("apply", "--wait", "--timeout", 60, folder)

    (line,) = instance.ok("get", "pods", "--no-headers").splitlines()
    assert line.split()[:4] == ["web", "2/2", "Running", "0"]
    listed = json.loads(instance.ok("get", "pods", "-o", "json"))
    assert listed["kind"] == "PodList"
    status = listed["items"][0]["status"]
    assert status["phase"] == "Running"
    assert {c["name"]: c["ready"] for c in status["containerStatuses"]} == {"app": True, "side": True}
    assert instance.ok("get", "pods", "web", "-o", "yaml").startswith("apiVersion: v1\nkind: Pod\n")

    shown = json.loads(instance.ok("ps", "--format", "json"))
    pids = {c["Names"][0]: c["Pid"] for c in shown if not c["IsInfra"]}
    assert pids == {f"web/{name}": instance.running("web")[name].pid for name in ("app", "side")}
    until(lambda: instance.ok("logs", "web/app") == "app is up\n", "it has spoken")
    until(lambda: instance.ok("logs", "web", "-c", "side") == "side is up\n", "so has the other")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[0-9:.]+(Z|\+00:00) app is up\n", instance.ok("logs", "-t", "app"))
    reasons = [line.split()[2] for line in instance.ok("events", "--for", "web").splitlines()[1:]]
    assert reasons.count("Started") == 2
    assert json.loads(instance.ok("info", "--format", "json"))["runtime"]["name"] in ("crun", "runc")
    assert "clean" in instance.ok("system", "check")


@pytest.mark.parametrize(
    ("command", "code", "output"),
    [
        pytest.param(["sh", "-c", "echo $NAME; exit 7"], 7, "app\n", id="its exit code, and the container's variables"),
        pytest.param(["sh", "-c", "exit 255"], 255, "", id="255 is a code like any other"),
        pytest.param(["sh", "-c", "kill -9 $$"], 137, "", id="128 and the signal"),
        pytest.param(["no-such-thing"], 127, "", id="127 where the command is not there"),
        pytest.param(["/etc/passwd"], 126, "", id="126 where it cannot be run"),
    ],
)
def test_exec(command: list[str], code: int, output: str, instance: Instance, image: str, folder: Path) -> None:
    put(folder / "web.yaml", web(image))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    done = instance.run("exec", "web/app", "--", *command)
    assert (done.returncode, done.stdout) == (code, output)


@pytest.mark.parametrize("runtime", ["crun", "runc"])
def test_exec_has_the_rights_of_the_containers_first_process(
    runtime: str, instance: Instance, image: str, folder: Path
) -> None:
    confined = {
        "runAsUser": 1000,
        "runAsGroup": 3000,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"], "add": ["CHOWN"]},
    }
    put(folder / "a.yaml", pod("a", container("app", image, securityContext=confined, workingDir="/var")))
    instance.ok("--runtime", runtime, "apply", "--wait", "--timeout", 60, folder)
    lines = "'^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp)' "
    for options in ([], ["--env", "A=1"]):
        first, own = (
            instance.ok("exec", *options, "a", "--", "sh", "-c", f"grep -E {lines} {path}; pwd")
            for path in ("/proc/1/status", "/proc/self/status")
        )
        assert own == first
        assert "Uid:\t1000" in own
        assert own.endswith("\n/var\n")


def test_a_published_port_answers_and_is_told_when_taken(instance: Instance, image: str, folder: Path) -> None:
    serve = ["sh", "-c", "mkdir /site; echo hello > /site/index.html; exec httpd -f -p 80 -h /site"]
    one = container("app", image, command=serve, ports=[{"containerPort": 80, "hostPort": 18090}])
    put(folder / "web.yaml", pod("web", one, terminationGracePeriodSeconds=0))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    until(lambda: b"hello" in fetch(18090), "the page is served")

    put(folder / "other.yaml", pod("other", one, terminationGracePeriodSeconds=0))
    instance.in_vain(folder, "18090/tcp", "default/web")
    assert b"hello" in fetch(18090)


def test_edit_add_and_remove_by_a_controller(instance: Instance, image: str, folder: Path) -> None:
    instance.watch(folder)
    put(folder / "web.yaml", web(image))
    before = until_running(instance, "web", {"infra", "app", "side"})

    put(folder / "web.yaml", web(image, workingDir="/tmp"))
    until(lambda: instance.running("web").get("app") not in (None, before["app"]), "the edited container is replaced")
    after = until_running(instance, "web", {"infra", "app", "side"})
    assert {n for n in before if before[n] == after[n]} == {"infra", "side"}

    put(folder / "more.yaml", pod("more", container("app", image)))
    until_running(instance, "more", {"infra", "app"})
    (folder / "web.yaml").unlink()
    until(lambda: "web " not in instance.ok("get", "pods"), "the pod of the removed file is gone")
    assert set(instance.running("more")) == {"infra", "app"}


def test_a_killed_process_is_started_again_and_nobody_else(instance: Instance, image: str, folder: Path) -> None:
    instance.watch(folder)
    put(folder / "web.yaml", web(image))
    before = until_running(instance, "web", {"infra", "app", "side"})
    os.kill(before["app"].pid, signal.SIGKILL)
    until(lambda: instance.running("web").get("app") not in (None, before["app"]), "the container runs again")
    after = instance.running("web")
    assert {n for n in before if before[n] == after[n]} == {"infra", "side"}
    pods = json.loads(instance.ok("get", "pods", "web", "-o", "json"))
    (app,) = (c for c in pods["status"]["containerStatuses"] if c["name"] == "app")
    assert app["restartCount"] == 1
    assert app["lastState"]["terminated"]["exitCode"] == 137


def test_a_pod_that_loses_its_infra_process_comes_back(instance: Instance, image: str, folder: Path) -> None:
    instance.watch(folder)
    put(folder / "web.yaml", web(image))
    before = until_running(instance, "web", {"infra", "app", "side"})
    os.kill(before["infra"].pid, signal.SIGKILL)
    until(
        lambda: len(now := instance.running("web")) == 3 and not set(now.values()) & set(before.values()),
        "all three run anew",
    )


def test_down_removes_what_the_folder_owns_and_is_refused_while_watched(
    instance: Instance, image: str, folder: Path
) -> None:
    controller = instance.watch(folder)
    put(folder / "web.yaml", web(image))
    until_running(instance, "web", {"infra", "app", "side"})
    refused = instance.run("down", folder)
    assert refused.returncode == 1
    assert str(controller.pid) in refused.stderr
    second = instance.run("watch", folder, timeout=30)
    assert second.returncode == 1
    assert f"pid {controller.pid}" in second.stderr

    instance.stop_controllers()
    assert set(instance.running("web")) == {"infra", "app", "side"}
    assert "1 of 1 pod gone" in instance.ok("down", folder)
    assert instance.running("web") == {}
    assert instance.ok("ps", "-a", "-q") == ""


def test_logs_follow_ends_with_the_container(instance: Instance, image: str, folder: Path) -> None:
    told = container("app", image, command=["sh", "-c", "echo one; read line < /pipe/p; echo $line; printf unended"])
    told["volumeMounts"] = [{"name": "pipe", "mountPath": "/pipe"}]
    pipe = folder.parent / "pipe"
    pipe.mkdir()
    os.mkfifo(pipe / "p")
    volumes = [{"name": "pipe", "hostPath": {"path": str(pipe)}}]
    put(folder / "web.yaml", pod("web", told, restartPolicy="Never", volumes=volumes))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    with subprocess.Popen(instance.command("logs", "-f", "web"), stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline() == "one\n"
        (pipe / "p").write_text("two\n")
        assert follower.stdout.read() == "two\nunended"
    assert follower.returncode == 0
    assert instance.ok("get", "pods", "--no-headers").split()[2] == "Completed"


# --- apply --wait says who is not ready, and why -------------------------------------------------------------------


def test_apply_wait_names_each_container_that_is_not_ready(instance: Instance, image: str, folder: Path) -> None:
    bad = container("bad", image, command=["sh", "-c", "exit 3"])
    put(folder / "web.yaml", pod("web", container("good", image), bad, restartPolicy="Never"))
    instance.run("apply", folder)
    until(lambda: instance.containers("web")["bad"].exit, "it has failed: a moment before it looks as wanted")
    done = instance.in_vain(folder, "pod default/web: container bad: ", limit=30)
    assert "container good" not in done.stderr.split("not ready:", 1)[1]


def test_apply_wait_counts_success(instance: Instance, image: str, folder: Path) -> None:
    done = container("once", image, command=["sh", "-c", "echo done"])
    put(folder / "job.yaml", pod("job", done, restartPolicy="OnFailure"))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    assert instance.ok("logs", "job") == "done\n"


def test_apply_wait_ends_at_its_timeout(instance: Instance, image: str, folder: Path) -> None:
    put(folder / "web.yaml", pod("web", container("app", image, command=["sh", "-c", "exit 1"])))
    instance.in_vain(folder, re.compile(r"the time is over \(\d+ s\)"), "back-off", limit=3)


# --- bad input -----------------------------------------------------------------------------------------------------

Bad = Callable[[Manifest, Path], Manifest | bytes]


@dataclass(frozen=True)
class Row:
    """``text`` is in what `status` says of the file; ``place``: with line and column."""

    make: Bad
    text: str
    place: bool = True


def app(m: Manifest) -> Manifest:
    first: Manifest = m["spec"]["containers"][0]
    return first


def changed(**fields: object) -> Bad:
    def make(m: Manifest, _: Path) -> Manifest:
        app(m).update(fields)
        return m

    return make


def without_image(m: Manifest, _: Path) -> Manifest:
    del app(m)["image"]
    return m


def missing_source(m: Manifest, where: Path) -> Manifest:
    app(m)["volumeMounts"] = [{"name": "v", "mountPath": "/v"}]
    m["spec"]["volumes"] = [{"name": "v", "hostPath": {"path": str(where / "nowhere"), "type": "Directory"}}]
    return m


def duplicate(m: Manifest, _: Path) -> Manifest:
    m["metadata"]["name"] = "good"
    return m


def half_written(m: Manifest, _: Path) -> bytes:
    text = json.dumps(m)
    return text[: len(text) // 2].encode()


BOMB = b"a: &a [x,x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (98 + n, 98 + n, b",".join([b"*%c" % (97 + n)] * 10)) for n in range(12)
)

BAD = {
    "a wrong type": Row(changed(command="sleep"), "spec.containers[0].command"),
    "an unknown field": Row(changed(comand=["x"]), "did you mean command?"),
    "no image": Row(without_image, "spec.containers[0].image"),
    "an invalid quantity": Row(changed(resources={"limits": {"memory": "64Mib"}}), "64Mib"),
    "a port out of range": Row(changed(ports=[{"containerPort": 70000}]), "70000"),
    "a field that is not supported": Row(
        changed(securityContext={"windowsOptions": {"runAsUserName": "x"}}), "this machine runs Linux"
    ),
    "an image that does not exist": Row(changed(image="localhost/no/such:1"), "localhost/no/such:1", False),
    "a command that the image has not": Row(changed(command=["/no/such"]), "/no/such", False),
    "a missing mount source": Row(missing_source, "nowhere", False),
    "an alias bomb": Row(lambda m, _: BOMB, "alias"),
    "50 MB": Row(lambda m, _: b"# " + b"x" * (50 << 20), "52428802 bytes", False),
    "invalid UTF-8": Row(lambda m, _: b"apiVersion: v1\nkind: \xff\xfe\n", "UTF-8"),
    "a half-written file": Row(half_written, ""),
    "a pod that another file defines": Row(duplicate, "good.yaml", False),
}


@pytest.mark.parametrize("row", BAD.values(), ids=BAD.keys())
def test_bad_input_is_told_and_stops_nothing(row: Row, instance: Instance, image: str, folder: Path) -> None:
    put(folder / "good.yaml", pod("good", container("app", image)))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    before = instance.running("good")

    bad = folder / "bad.yaml"
    content = row.make(pod("bad", container("app", image)), folder)
    _ = bad.write_bytes(content) if isinstance(content, bytes) else put(bad, content)
    done = instance.in_vain(folder, row.text)

    told = instance.run("status", folder)
    assert told.returncode == 2
    lines = [line for line in told.stdout.splitlines() if str(bad) in line and "Error" in line]
    assert any(row.text in line for line in lines), told.stdout
    if row.place:
        assert any(has_place(line, str(bad)) for line in lines), told.stdout
    assert row.text in instance.ok("events")
    assert instance.running("good") == before
    assert "Traceback" not in done.stderr + told.stderr


def has_place(line: str, path: str) -> bool:
    """``path:LINE:COLUMN: `` stands in the line."""
    parts = line.partition(f"{path}:")[2].split(":")
    return len(parts) > 2 and parts[0].isdecimal() and parts[1].isdecimal()


def test_all_that_is_bad_at_once_beside_a_live_controller(instance: Instance, image: str, folder: Path) -> None:
    controller = instance.watch(folder)
    put(folder / "good.yaml", pod("good", container("app", image)))
    before = until_running(instance, "good", {"infra", "app"})
    for number, row in enumerate(BAD.values()):
        content = row.make(pod(f"bad{number}", container("app", image)), folder)
        path = folder / f"bad{number}.yaml"
        _ = path.write_bytes(content) if isinstance(content, bytes) else put(path, content)
    put(folder / "late.yaml", pod("late", container("app", image)))
    until_running(instance, "late", {"infra", "app"})
    until(lambda: "localhost/no/such:1" in instance.ok("events"), "the last of them is told")
    assert instance.running("good") == before
    assert controller.poll() is None


def test_a_port_that_a_process_holds_is_told_with_its_name(instance: Instance, image: str, folder: Path) -> None:
    with socket.socket() as held:
        held.bind(("0.0.0.0", 18091))
        held.listen()
        put(folder / "web.yaml", pod("web", container("app", image, ports=[{"containerPort": 80, "hostPort": 18091}])))
        instance.in_vain(folder, f"18091/tcp is held by pid {os.getpid()}")
    instance.ok("apply", "--wait", "--timeout", 60, folder)


# --- helpers -------------------------------------------------------------------------------------------------------


def until_running(instance: Instance, name: str, names: set[str]) -> dict[str, object]:
    return until(
        lambda: dict(now) if set(now := instance.running(name)) == names else None, f"{sorted(names)} of {name} run"
    )


def fetch(port: int) -> bytes:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            connection.settimeout(DEADLINE)
            return connection.makefile("rb").read()
    except OSError:
        return b""
