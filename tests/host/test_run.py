"""Containers and pods made by hand, on the command line, with real runtimes and no controller."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host import groups
from tests.host.instance import DEADLINE, Instance, fresh_instance, until
from tests.host.manifests import container, pod, put

pytestmark = pytest.mark.host

HEX = re.compile(r"[0-9a-f]{64}")


@pytest.fixture(params=["crun", "runc"])
def there(request: pytest.FixtureRequest, loaded_images: Path) -> Iterator[Instance]:
    with fresh_instance(loaded_images, "--runtime", request.param) as made:
        try:
            yield made
        finally:
            made.stop_controllers()
            made.run("pod", "rm", "-f", "-t", "0", "-a")
            made.run("rm", "-f", "-t", "0", "-a")
            assert made.leaks() == ()


def states(there: Instance) -> dict[str, str]:
    return {row["Names"][0]: row["State"] for row in json.loads(there.ok("ps", "-a", "--format", "json"))}


def members(there: Instance) -> dict[str, str]:
    return {name: state for name, state in states(there).items() if not name.endswith("-infra")}


def pids(there: Instance) -> dict[str, int]:
    return {row["Names"][0]: row["Pid"] for row in json.loads(there.ok("ps", "-a", "--format", "json"))}


def test_a_command_is_run_with_our_streams_and_its_exit_code(there: Instance, image: str):
    done = there.run("run", "--rm", image, "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")
    done = there.run("run", "--rm", "-i", image, "cat", input="typed\n")
    assert (done.returncode, done.stdout) == (0, "typed\n")
    assert states(there) == {}
    assert there.ok("pod", "ps", "-q") == ""


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("nosuch",), 127, "nosuch"),
        (("/etc",), 126, "permission denied"),
    ],
)
def test_what_cannot_be_run_has_podmans_codes_and_leaves_nothing(
    there: Instance, image: str, words: tuple[str, ...], code: int, said: str
):
    for options in (("--rm",), ("-d",), ()):
        done = there.run("run", *options, image, *words)
        assert done.returncode == code, done.stderr
        assert said in done.stderr.lower()
        assert len(done.stderr.splitlines()) <= 2
    assert states(there) == {}


def test_what_is_wrong_with_the_command_line_is_125(there: Instance, image: str):
    for words in (("run", "--nonsense", image), ("run", "-p", "nope", image, "true"), ("run",), ("start", "nobody")):
        done = there.run(*words)
        assert done.returncode == 125, (words, done.stderr)
        assert "Traceback" not in done.stderr


def test_pods_containers_and_infra_containers_share_one_space_of_names(there: Instance, image: str):
    there.ok("pod", "create", "--name", "first", "--infra-name", "holder")
    second = there.ok("pod", "create", "second").strip()
    for name in ("first", "holder", f"{second[:12]}-infra"):
        for words in (("create", "--name", name, image), ("create", "--pod", "second", "--name", name, image)):
            done = there.run(*words, "true")
            assert (done.returncode, "in use by" in done.stderr or "the name is in use" in done.stderr) == (125, True)
        assert there.run("pod", "create", name).returncode == 125
    there.ok("pod", "rm", "first")
    there.ok("create", "--pod", "second", "--name", "holder", image, "true")
    assert set(states(there)) == {"holder", f"{second[:12]}-infra"}


def test_whom_the_kernel_kills_for_want_of_memory_is_not_decided_by_us(there: Instance, image: str):
    """The score is podman's, and not the kubelet's (1000, or by what is reserved)."""
    ours = groups.score(os.getpid())
    wanted = 0 if groups.may_lower_scores() else max(0, ours)
    for options in ((), ("--memory-reservation", "64m")):
        score = there.ok("run", "--rm", *options, image, "cat", "/proc/self/oom_score_adj")
        assert int(score) == wanted


def test_errors_of_ours_in_exec_attach_and_logs_are_125(there: Instance, image: str):
    there.ok("create", "--name", "idle", image, "true")
    for words in (("exec", "nobody", "true"), ("exec", "idle", "true"), ("attach", "idle"), ("logs", "nobody")):
        done = there.run(*words)
        assert done.returncode == 125, (words, done.stderr)
        assert done.stderr.startswith("reconciler: cannot ")


def test_a_container_keeps_its_id_and_files_over_stop_start_and_restart(there: Instance, image: str):
    ident = there.ok("run", "-d", "--name", "db", image, "sleep", "1000").strip()
    assert HEX.fullmatch(ident)
    there.ok("exec", "db", "--", "sh", "-c", "echo kept >/file")
    first = pids(there)["db"]
    assert there.ok("stop", "-t", "0", "db") == "db\n"
    assert states(there) == {"db": "exited"}
    assert there.ok("start", ident[:12]) == f"{ident[:12]}\n"
    there.ok("restart", "-t", "0", "db")
    assert there.ok("exec", "db", "--", "cat", "/file") == "kept\n"
    assert pids(there)["db"] != first
    assert there.ok("ps", "--no-trunc", "-q").strip() == ident
    assert there.run("rm", "db").returncode == 125
    there.ok("rm", "-f", "-t", "0", "db")
    assert states(there) == {}


def test_create_start_wait_and_logs(there: Instance, image: str):
    there.ok("create", "--name", "job", image, "sh", "-c", "echo done; exit 3")
    assert states(there) == {"job": "created"}
    there.ok("start", "job")
    assert there.ok("wait", "job") == "3\n"
    assert there.ok("logs", "job") == "done\n"
    there.ok("start", "job")
    assert there.ok("wait", "job") == "3\n"
    assert there.ok("logs", "job") == "done\ndone\n"


def test_pause_and_kill(there: Instance, image: str):
    there.ok(
        "run", "-d", "--name", "one", image, "sh", "-c", "trap 'exit 9' HUP; echo hears; while :; do sleep 0.1; done"
    )
    until(lambda: there.ok("logs", "one") == "hears\n", "its trap is set")
    there.ok("pause", "one")
    assert states(there) == {"one": "paused"}
    there.ok("unpause", "one")
    assert states(there) == {"one": "running"}
    there.ok("kill", "-s", "HUP", "one")
    assert there.ok("wait", "one") == "9\n"
    there.ok("start", "one")
    there.ok("kill", "one")
    assert there.ok("wait", "one") == "137\n"


def test_signals_to_a_run_in_the_foreground_are_the_containers(there: Instance, image: str):
    script = "trap 'echo heard; exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    words = there.command("run", "--rm", image, "sh", "-c", script)
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "heard\n"
        assert process.wait(DEADLINE) == 5
    assert states(there) == {}


def test_a_terminal(there: Instance, image: str):
    ours, theirs = pty.openpty()
    words = there.command("run", "--rm", "-it", image, "sh", "-c", "tty; read line; echo got $line; exit 4")
    with subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as process:
        os.close(theirs)
        said = b""
        while b"/dev/" not in said:
            said += os.read(ours, 4096)
        os.write(ours, b"typed\r")
        while b"got typed" not in said:
            said += os.read(ours, 4096)
        assert process.wait(DEADLINE) == 4
    os.close(ours)


def test_it_is_restarted_without_a_controller(there: Instance, image: str):
    there.ok("run", "-d", "--name", "crash", "--restart", "on-failure:1", image, "sh", "-c", "sleep 0.2; exit 3")
    rows = until(lambda: _ended_after_restart(there), "it was restarted once and given up")
    assert rows["Restarts"] == 1


def _ended_after_restart(there: Instance) -> dict[str, object] | None:
    row = json.loads(there.ok("ps", "-a", "--format", "json"))[0]
    return row if row["Restarts"] == 1 and row["State"] == "exited" else None


def test_it_is_restarted_again_when_its_back_off_is_over(there: Instance, image: str):
    there.ok("run", "-d", "--name", "crash", "--restart", "always", image, "false")
    until(lambda: _restarts(there) == 2, "the first restart came at once, the second after ten seconds", 60)
    there.ok("stop", "crash")
    assert states(there) == {"crash": "exited"}


def _restarts(there: Instance) -> int:
    return int(json.loads(there.ok("ps", "-a", "--format", "json"))[0]["Restarts"])


def test_what_is_to_be_removed_is_when_it_ends_on_its_own(there: Instance, image: str):
    ident = there.ok("run", "-d", "--rm", image, "sleep", "0.5").strip()
    assert HEX.fullmatch(ident)
    until(lambda: states(there) == {}, "it is removed")
    there.ok("run", "-d", "--rm", image, "true")
    until(lambda: states(there) == {}, "it is removed")


def test_a_pods_ports_are_another_after_recreate_and_all_else_is_the_same(there: Instance, image: str):
    ident = there.ok("run", "-d", "--pod", "new:web", "--name", "www", "-p", "18601:80/udp", image, "sleep", "1000")
    there.ok("run", "-d", "--pod", "web", "--name", "side", "-l", "a=b", image, "sleep", "1000")
    there.ok("exec", "www", "--", "sh", "-c", "echo kept >/file")
    done = there.run("run", "-d", "--pod", "web", "-p", "18602:81/udp", image, "true")
    assert done.returncode == 125
    assert "ports belong to its infra container and were fixed at creation" in done.stderr
    command = done.stderr.rpartition("reconciler ")[2].split()
    assert command[:3] == ["pod", "recreate", "web"]
    pod_before = json.loads(there.ok("pod", "ps", "--format", "json"))
    there.ok(*command)
    pod_after = json.loads(there.ok("pod", "ps", "--format", "json"))
    assert [p["Id"] for p in pod_after] == [p["Id"] for p in pod_before]
    rows = {row["Names"][0]: row for row in json.loads(there.ok("ps", "--format", "json"))}
    assert rows["www"]["Id"] == ident.strip()
    assert [(p["host_port"], p["range"]) for p in rows["www"]["Ports"]] == [(18601, 2)]
    assert rows["side"]["Labels"] == {"a": "b"}
    assert there.ok("exec", "www", "--", "cat", "/file") == "kept\n"


def test_a_pod_stopped_and_started_and_its_members_states(there: Instance, image: str):
    there.ok("pod", "create", "--name", "p")
    there.ok("create", "--pod", "p", "--name", "waits", image, "sleep", "1000")
    there.ok("run", "-d", "--pod", "p", "--name", "runs", image, "sleep", "1000")
    assert {n: s for n, s in states(there).items() if not n.endswith("-infra")} == {
        "waits": "created",
        "runs": "running",
    }
    there.ok("pod", "stop", "-t", "0", "p")
    assert states(there)["runs"] == "exited"
    there.ok("pod", "start", "p")
    assert {n: s for n, s in states(there).items() if not n.endswith("-infra")} == {
        "waits": "running",
        "runs": "running",
    }


def test_a_managed_container_is_restarted_by_hand_and_stopped_with_a_warning(there: Instance, image: str, folder: Path):
    put(folder / "web.yaml", pod("web", container("app", image), container("side", image)))
    there.ok("apply", "--wait", folder)
    before = there.running("web")
    there.ok("restart", "-t", "0", "web/app")
    after = there.running("web")
    assert {name for name in after if after[name] != before[name]} == {"app"}
    done = there.run("stop", "-t", "0", "web/app")
    assert done.returncode == 0
    assert "suspend" in done.stderr
    assert set(there.running("web")) == {"infra", "side"}
    assert there.run("rm", "-f", "web/app").returncode == 125


def test_a_controller_looks_after_what_is_made_by_hand_and_prunes_nothing(there: Instance, image: str, folder: Path):
    put(folder / "web.yaml", pod("web", container("app", image)))
    there.watch(folder)
    until(lambda: set(there.running("web")) == {"infra", "app"}, "the folder's pod runs")
    there.ok("run", "-d", "--name", "mine", "--restart", "always", image, "sleep", "1000")
    first = pids(there)["mine"]
    os.kill(first, signal.SIGKILL)
    until(lambda: pids(there).get("mine") not in (0, first, None), "it is restarted")
    (folder / "web.yaml").unlink()
    until(lambda: "web" not in [key.name for key in tuple(there.engine.keys())], "the folder's pod is gone")
    assert states(there) == {"mine": "running"}


def test_killed_between_word_and_work_the_next_command_finishes_it(there: Instance, image: str):
    for name in ("one", "two"):
        with subprocess.Popen(there.command("run", "-d", "--name", name, image, "sleep", "1000")) as process:
            until(lambda name=name: (there.root / f"state/hand/default/{name}.json").exists(), "the word is written")
            process.kill()
    there.ok("start", "--all")
    assert states(there) == {"one": "running", "two": "running"}
