"""Probes on real containers, asked by a real controller; what is looked at are events, and what others see by the
command line. Periods are a second, so each change takes about that long."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from reconciler.model.observed import Container, PidRef
from reconciler.model.probe import ExecAction, HttpAction
from tests.host.instance import DEADLINE, Instance, until
from tests.host.manifests import SERVE, Manifest, container, pod, put

pytestmark = pytest.mark.host

CHECKOUT = Path(__file__).resolve().parents[2]
EVERY_SECOND = {"periodSeconds": 1, "timeoutSeconds": 30}
SH = ["sh", "-c"]

ON_AND_OFF = """
trap 'exit 0' TERM
while :; do
  until test -e /flag/ok; do sleep 0.05; done
  httpd -f -p 8080 & server=$!
  while test -e /flag/ok; do sleep 0.05; done
  kill $server; wait $server
done
"""
"""A server that listens while the file is there."""


def member(image: str, **fields: Any) -> Manifest:
    """The container ``web``; what it finds in /flag is the test's."""
    return container("web", image, volumeMounts=[{"name": "flag", "mountPath": "/flag"}], **fields)


def web(image: str, flags: Path, *others: Manifest, spec: dict[str, Any] | None = None, **fields: Any) -> Manifest:
    flags.mkdir(exist_ok=True)
    volumes = [{"name": "flag", "hostPath": {"path": str(flags)}}]
    return pod("web", member(image, **fields), *others, volumes=volumes, **(spec or {}))


def told(instance: Instance, reason: str, about: str = "default/web") -> list[str]:
    return [e.message for e in instance.engine.events() if e.about == about and e.reason == reason]


def times(instance: Instance, reason: str, text: str) -> int:
    return sum(e.count for e in instance.engine.events() if e.reason == reason and text in e.message)


def shown(instance: Instance) -> dict[str, Any]:
    """The status of ``web`` as another process tells it."""
    status: dict[str, Any] = json.loads(instance.ok("get", "pods", "web", "-o", "json"))["status"]
    return status


def conditions(instance: Instance) -> dict[str, str]:
    return {c["type"]: c["status"] for c in shown(instance)["conditions"]}


def is_ready(instance: Instance) -> bool:
    return instance.ok("get", "pods", "web", "--no-headers").split()[1] == "1/1"


def runs(instance: Instance, name: str = "web") -> PidRef:
    return until(lambda: instance.running("web").get(name), f"container {name} runs")


def now(instance: Instance, name: str = "web") -> Container:
    return instance.containers("web")[name]


@contextmanager
def grpc_server(instance: Instance, flags: Path) -> Iterator[None]:
    """In the pod's network, as the container's own server would be."""
    runs(instance)
    words = ["nsenter", "--net", "--target", str(instance.running("web")["infra"].pid)]
    program = [sys.executable, "-m", "tests.grpc_server", "9000", str(flags / "health")]
    server = subprocess.Popen([*words, *program], cwd=CHECKOUT)
    try:
        yield
    finally:
        server.kill()
        server.wait(DEADLINE)


Turn = Callable[[Path, bool], None]


def by_file(flags: Path, on: bool) -> None:
    if on:
        (flags / "ok").touch()
    else:
        (flags / "ok").unlink()


def by_health(flags: Path, on: bool) -> None:
    (flags / "health").write_text("db SERVING\n" if on else "db NOT_SERVING\n")


@pytest.mark.parametrize(
    ("probe", "command", "turn", "said"),
    [
        pytest.param(
            {"exec": {"command": ["cat", "/flag/ok"]}},
            SERVE,
            by_file,
            "Readiness probe failed: cat: can't open '/flag/ok': No such file or directory",
            id="exec",
        ),
        pytest.param(
            {"httpGet": {"port": "web", "path": "/ok"}},
            "exec httpd -f -p 8080 -h /flag",
            by_file,
            "Readiness probe failed: HTTP probe failed with statuscode: 404",
            id="httpGet",
        ),
        pytest.param(
            {"tcpSocket": {"port": "web"}}, ON_AND_OFF, by_file, "connect: connection refused", id="tcpSocket"
        ),
        pytest.param(
            {"grpc": {"port": 9000, "service": "db"}},
            SERVE,
            by_health,
            'Readiness probe failed: service unhealthy (responded with "NOT_SERVING")',
            id="grpc",
        ),
    ],
)
def test_a_container_is_ready_while_its_probe_passes(
    probe: dict[str, Any],
    command: str,
    turn: Turn,
    said: str,
    instance: Instance,
    image: str,
    folder: Path,
    tmp_path: Path,
) -> None:
    flags = tmp_path / "flags"
    ports = [{"containerPort": 8080, "name": "web"}]
    readiness = {**probe, **EVERY_SECOND, "failureThreshold": 1}
    put(folder / "web.yaml", web(image, flags, command=[*SH, command], ports=ports, readinessProbe=readiness))
    if turn is by_health:
        turn(flags, False)
    instance.watch(folder)
    with grpc_server(instance, flags):
        before = runs(instance)
        until(lambda: any(said in text for text in told(instance, "Unhealthy")), "its first failure is told")
        assert conditions(instance)["Ready"] == "False" and not is_ready(instance)
        turn(flags, True)
        until(lambda: is_ready(instance), "it is ready")
        status = shown(instance)
        assert conditions(instance)["ContainersReady"] == "True"
        assert (status["containerStatuses"][0]["ready"], status["containerStatuses"][0]["started"]) == (True, True)
        turn(flags, False)
        until(lambda: not is_ready(instance), "it is not ready any more")
        assert instance.running("web")["web"] == before, "nothing is done about it"


def test_one_that_fails_liveness_is_ended_with_the_probes_grace_and_restarted(
    instance: Instance, image: str, folder: Path, tmp_path: Path
) -> None:
    """It ignores TERM, and its pod would give it an hour."""
    liveness = {"exec": {"command": ["test", "!", "-e", "/ill"]}, **EVERY_SECOND, "terminationGracePeriodSeconds": 1}
    deaf = "trap '' TERM; while :; do sleep 1000; done"
    put(
        folder / "web.yaml",
        web(
            image,
            tmp_path / "flags",
            container("side", image),
            command=[*SH, deaf],
            livenessProbe={**liveness, "failureThreshold": 2},
            spec={"terminationGracePeriodSeconds": 3600},
        ),
    )
    instance.watch(folder)
    first, side = runs(instance), runs(instance, "side")
    instance.ok("exec", "web/web", "--", "touch", "/ill")
    until(lambda: now(instance).restarts == 1 and runs(instance) != first, "it is restarted")
    assert instance.running("web")["side"] == side
    assert times(instance, "Unhealthy", "container web: Liveness probe failed: ") >= 2
    assert "Container web failed liveness probe, will be restarted" in told(instance, "Killing")
    last = next(c for c in shown(instance)["containerStatuses"] if c["name"] == "web")["lastState"]["terminated"]
    assert last["exitCode"] == 137
    assert now(instance).unhealthy == "", "the new one is well"


def test_startup_holds_the_other_probes_back_until_it_has_passed(
    instance: Instance, image: str, folder: Path, tmp_path: Path
) -> None:
    flags = tmp_path / "flags"
    manifest = web(
        image,
        flags,
        startupProbe={"exec": {"command": ["test", "-e", "/flag/up"]}, **EVERY_SECOND, "failureThreshold": 1000},
        livenessProbe={"exec": {"command": ["touch", "/flag/alive"]}, **EVERY_SECOND},
        readinessProbe={"exec": {"command": ["touch", "/flag/ready"]}, **EVERY_SECOND},
    )
    put(folder / "web.yaml", manifest)
    instance.watch(folder)
    before = runs(instance)
    until(lambda: times(instance, "Unhealthy", "Startup probe failed: ") >= 2, "startup has failed twice")
    assert sorted(p.name for p in flags.iterdir()) == []
    member_status = shown(instance)["containerStatuses"][0]
    assert (member_status["started"], member_status["ready"]) == (False, False)
    (flags / "up").touch()
    until(lambda: is_ready(instance), "it is up and ready")
    until(lambda: (flags / "alive").exists(), "liveness is asked, too")
    assert shown(instance)["containerStatuses"][0]["started"]
    assert instance.running("web")["web"] == before


def test_one_that_never_starts_up_is_given_up_where_nothing_is_restarted(
    instance: Instance, image: str, folder: Path, tmp_path: Path
) -> None:
    startup = {"exec": {"command": ["false"]}, **EVERY_SECOND, "failureThreshold": 1}
    spec = {"restartPolicy": "Never"}
    put(folder / "web.yaml", web(image, tmp_path / "flags", startupProbe=startup, spec=spec))
    instance.watch(folder)
    until(lambda: "Container web failed startup probe" in told(instance, "Killing"), "it is ended")
    until(lambda: shown(instance)["phase"] in ("Failed", "Succeeded"), "its pod is over")
    assert now(instance).restarts == 0


def test_apply_waits_until_all_is_ready(instance: Instance, image: str, folder: Path, tmp_path: Path) -> None:
    """Without a controller it asks by itself; with one it hears what that finds."""
    flags = tmp_path / "flags"
    readiness = {"exec": {"command": ["cat", "/flag/ok"]}, **EVERY_SECOND}
    put(folder / "web.yaml", web(image, flags, readinessProbe=readiness))
    instance.ok("apply", folder)
    instance.in_vain(folder, "container web: its readiness probe has not passed", limit=3)

    with waiting(instance, folder) as alone:
        before = times(instance, "Unhealthy", "Readiness")
        until(lambda: times(instance, "Unhealthy", "Readiness") > before, "it asks")
        assert alone.poll() is None, "it waits"
        by_file(flags, True)
    by_file(flags, False)

    instance.watch(folder)
    until(lambda: not is_ready(instance), "the controller asks")
    with waiting(instance, folder) as beside:
        until(lambda: hears(beside, instance.root / "run" / "probes"), "it listens")
        by_file(flags, True)
    assert is_ready(instance)


@contextmanager
def waiting(instance: Instance, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """``apply --wait``, which ends well after what is done inside."""
    command = instance.command("apply", "--wait", folder)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield process
        said, _ = process.communicate(timeout=DEADLINE)
        assert process.returncode == 0, said
    finally:
        process.kill()
        process.wait()


def hears(process: subprocess.Popen[str], directory: Path) -> bool:
    """Whether it is told of files there."""
    wanted = f"ino:{directory.stat().st_ino:x} "
    for info in Path(f"/proc/{process.pid}/fdinfo").glob("*"):
        with suppress(OSError):  # it may be closed meanwhile
            if wanted in info.read_text():
                return True
    return False


def test_an_edited_probe_counts_at_once_and_a_controller_that_begins_goes_on_from_there(
    instance: Instance, image: str, folder: Path, tmp_path: Path
) -> None:
    flags = tmp_path / "flags"
    probe = {"exec": {"command": ["cat", "/flag/ok"]}, **EVERY_SECOND, "failureThreshold": 1}
    put(folder / "web.yaml", web(image, flags, readinessProbe={**probe, "initialDelaySeconds": 3600}))
    first = instance.watch(folder)
    before = runs(instance)
    assert not is_ready(instance)
    by_file(flags, True)
    put(folder / "web.yaml", web(image, flags, readinessProbe=probe))
    until(lambda: is_ready(instance), "its new probe has passed")

    first.kill()
    first.wait(DEADLINE)
    by_file(flags, False)
    assert is_ready(instance), "what was found counts on without a controller"
    instance.watch(folder)
    until(lambda: not is_ready(instance), "the next controller asks")
    put(folder / "web.yaml", web(image, flags))
    until(lambda: is_ready(instance), "without a probe it is ready")
    assert instance.running("web")["web"] == before


def test_what_runs_in_a_container_for_a_probe_ends_with_its_time(
    instance: Instance, image: str, folder: Path, tmp_path: Path
) -> None:
    put(folder / "web.yaml", web(image, tmp_path / "flags"))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    web_id = now(instance).id
    slow = ExecAction(("sh", "-c", "echo begun; sleep 12345 & sleep 12345"))
    outcome = instance.engine.probe(web_id, slow, 0.5)
    assert outcome.output.endswith("timed out after 0.5s") and not outcome.passed and not outcome.errored
    until(lambda: "12345" not in instance.ok("top", "web/web", "args"), "all of it has been killed")
    much = instance.engine.probe(web_id, ExecAction(("sh", "-c", "yes | head -c 1000000; exit 3")), 30)
    assert (much.passed, len(much.output)) == (False, 10240)
    missing = instance.engine.probe(web_id, ExecAction(("no-such-program",)), 30)
    assert missing.errored and "no-such-program" in missing.output


@pytest.mark.parametrize("network", ["pod", "host"])
def test_a_pod_is_asked_where_it_is(network: str, instance: Instance, image: str, folder: Path, tmp_path: Path) -> None:
    """On its own addresses of both families; one on the machine's network at the machine's."""
    port = 18080
    spec = {"hostNetwork": True} if network == "host" else {}
    flags = tmp_path / "flags"
    put(folder / "web.yaml", web(image, flags, command=[*SH, f"exec httpd -f -p {port} -h /flag"], spec=spec))
    (flags / "ok").write_text("well")
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    web_id, have = now(instance).id, instance.engine.look(next(iter(instance.engine.keys())))
    assert have.sandbox is not None

    def answer(host: str) -> str:
        return instance.engine.probe(web_id, HttpAction(port, "/ok", host), 30).output

    until(lambda: answer("") == "well", "it is asked where it listens")
    hosts = [have.sandbox.ip, have.sandbox.ip6] if network == "pod" else ["127.0.0.1"]
    for host in filter(None, hosts):
        assert answer(host) == "well", host
