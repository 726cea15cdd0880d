"""Bad input: one clear error each, where users look, while all that runs goes on; mended, it is taken up by itself.

A live ``watch`` on one folder, a healthy pod in it whose processes never change, and the real command line beside.
"""

from __future__ import annotations

import json
import os
import re
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.host.instance import Instance, until
from tests.host.manifests import Manifest, container, pod, put

pytestmark = pytest.mark.host

NOWHERE = "127.0.0.1:1/nope:1"
"""An image of a registry that refuses connections."""


@pytest.fixture
def healthy(instance: Instance, image: str, folder: Path) -> Iterator[dict[str, Any]]:
    """A pod under a live controller; at the end of the test its processes are still the same. It reads only what
    it hears of: on a slow machine a resync would come in the middle, and read what is half written."""
    instance.watch("--resync", "0", folder)  # type: ignore[arg-type]
    put(folder / "healthy.yaml", pod("healthy", container("app", image), container("side", image)))
    until(lambda: runs(instance, "healthy"), "the healthy pod runs")
    before = instance.running("healthy")
    yield before
    assert instance.running("healthy") == before


def runs(instance: Instance, name: str) -> bool:
    return "Running" in words(instance).get(name, "")


def words(instance: Instance) -> dict[str, str]:
    """The STATUS column of ``get pods`` by pod."""
    rows = [line.split() for line in instance.run("get", "pods", "--no-headers").stdout.splitlines()]
    return {row[0]: row[2] for row in rows}


def log(instance: Instance) -> str:
    return (instance.root / "controller.log").read_text()


def status(instance: Instance, folder: Path) -> dict[str, str]:
    """The rows of ``status`` by file name; exit code 2 is expected of it where one is in error."""
    done = instance.run("status", folder)
    rows: dict[str, str] = {}
    for line in done.stdout.splitlines()[1:]:
        words = line.split()
        # A line that begins with a blank tells a further problem of the file above it.
        name = list(rows)[-1] if line.startswith(" ") else Path(words.pop(0)).name
        rows[name] = " ".join([*rows.get(name, "").split(), *words])
    assert done.returncode == (
        2 if any(re.search(r"\b(Error|Held)\b", row) for row in rows.values()) else done.returncode
    )
    return rows


def events(instance: Instance, about: str) -> list[str]:
    return [event.message for event in instance.engine.events(about=about)]


# --- files in error ------------------------------------------------------------------------------------------------


def with_spec(name: str, **spec: Any) -> str:
    return text(pod(name, container("app", "a:1"), **spec))


def with_app(name: str, **fields: Any) -> str:
    return text(pod(name, {**container("app", "a:1"), **fields}))


def text(manifest: Manifest) -> str:
    return json.dumps(manifest, indent=1)


def without_image(name: str) -> str:
    manifest = pod(name, container("app", "a:1"))
    del manifest["spec"]["containers"][0]["image"]
    return text(manifest)


def alias_bomb() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    return "\n".join(lines)


POD_HEAD = "apiVersion: v1\nkind: Pod\nmetadata:\n"
C = "spec.containers[0]"
PLACE = r":\d+:\d+: "

BROKEN: dict[str, tuple[str | bytes, str]] = {
    "wrong-type": (
        with_spec("wrong-type", hostNetwork="yes"),
        PLACE + "spec.hostNetwork: must be true or false, not a string: 'yes'",
    ),
    "unknown-field": (
        with_app("unknown-field", imagePullPolcy="Never"),
        PLACE + re.escape(f"{C}.imagePullPolcy: unknown field, did you mean imagePullPolicy?"),
    ),
    "unknown-word": (
        with_app("unknown-word", imagePullPolicy="Newer"),
        PLACE + re.escape(f"{C}.imagePullPolicy: ") + ".*Never",
    ),
    "missing-image": (without_image("missing-image"), PLACE + re.escape(f"{C}.image: missing")),
    "no-reference": (with_app("no-reference", image="Foo//bar:::1"), PLACE + re.escape(f"{C}.image: ") + ".*reference"),
    "quantity": (
        with_app("quantity", resources={"limits": {"memory": "12x"}}),
        PLACE + re.escape(f"{C}.resources.limits.memory: '12x' has an unknown suffix"),
    ),
    "port-range": (
        with_app("port-range", ports=[{"containerPort": 80, "hostPort": 70000}]),
        PLACE + re.escape(f"{C}.ports[0].hostPort: 70000 is more than 65535"),
    ),
    "no-volume": (
        with_app("no-volume", volumeMounts=[{"name": "v", "mountPath": "/v"}]),
        PLACE + re.escape(f"{C}.volumeMounts[0].name: there is no volume called 'v'"),
    ),
    "security": (
        with_app("security", securityContext={"windowsOptions": {"runAsUserName": "x"}}),
        PLACE + re.escape(f"{C}.securityContext.windowsOptions: not supported: this machine runs Linux"),
    ),
    "alias-bomb": (alias_bomb(), PLACE + ".*aliases"),
    "large": ("# " + "x" * 50_000_000 + "\nkind: Pod\n", "it has 500000.. bytes, more than the 10485760"),
    "utf-8": (b'apiVersion: v1\nkind: Pod\nmetadata:\n  name: "u\xff"\n', r":4:\d+: not UTF-8: byte 0xff"),
    "nul": (b"apiVersion: v1\nkind: Pod\0\n", r":2:\d+: "),
    "truncated": (with_spec("truncated")[:180], PLACE + ".*end of stream"),
    "deployment": (
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n",
        ":2:7: kind: Deployment is not supp",
    ),
    "tabs": (f"{POD_HEAD}\tname: tabs\n", ":4:1: a tab where YAML wants spaces"),
    "list": ("- a\n- b\n", ":1:1: must be a Kubernetes object"),
    "scalar": ("hello\n", ":1:1: must be a Kubernetes object"),
}
"""Content by name of file, and what is said of it after its path."""


def test_files_in_error(healthy: dict[str, Any], instance: Instance, image: str, folder: Path) -> None:
    for name, (content, _) in BROKEN.items():
        (folder / f"{name}.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    put(folder / "zz.yaml", pod("zz", container("app", image)))
    until(lambda: runs(instance, "zz"), "the good file that comes last is taken up")

    rows, lines = status(instance, folder), log(instance).splitlines()
    every = [re.compile(f"{re.escape(str(folder / f'{name}.yaml'))}.*{said}") for name, (_, said) in BROKEN.items()]
    applied = instance.in_vain(folder, *every)
    compared = instance.run("diff", folder)
    assert (applied.returncode, compared.returncode) == (1, 2)
    for name, (_, said) in BROKEN.items():
        file = folder / f"{name}.yaml"
        expected = re.compile(f"{re.escape(str(file))}.*{said}")
        assert expected.search(rows[file.name]), f"status of {name}: {rows[file.name]}"
        assert [e for e in events(instance, str(file)) if expected.search(e)], f"events of {name}"
        assert len([line for line in lines if str(file) in line]) == 1, f"log of {name}: not one line"
        assert any(expected.search(line) for line in lines), f"log of {name}"
        assert expected.search(applied.stderr), f"apply of {name}"
        assert expected.search(compared.stderr), f"diff of {name}"
        checked = instance.run("validate", file)
        assert (checked.returncode, len(checked.stdout.splitlines())) == (1, 2), checked.stdout
        assert expected.search(checked.stdout), f"validate of {name}: {checked.stdout}"
    assert not re.search(r":0\b", applied.stderr + compared.stderr), "a line or column that is none"
    assert set(words(instance)) == {"healthy", "zz"}

    for name in BROKEN:
        put(folder / f"{name}.yaml", pod(name, container("app", image)))
    until(
        lambda: set(words(instance).values()) == {"Running"} and len(words(instance)) == len(BROKEN) + 2, "all mended"
    )
    assert instance.run("status", folder).returncode == 0


def test_validate_tells_all_problems_of_a_file_in_one_pass(root: Path, folder: Path) -> None:
    bad = pod("multi", container("app", "a:1", imagePullPolcy="Never", ports=[{"containerPort": 0}]), hostPid=True)
    other = pod("other", container("app", "a:1", livenessProbe={}))
    done = Instance(root).run("validate", put(folder / "multi.yaml", bad, other))
    assert done.returncode == 1
    found = [line.partition("multi.yaml:")[2].split(": ")[1] for line in done.stdout.splitlines()[:-1]]
    assert found == ["spec.hostPid", f"{C}.imagePullPolcy", f"{C}.ports[0].containerPort", f"{C}.livenessProbe"]


# --- what is no file -----------------------------------------------------------------------------------------------


def bind_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(os.path.relpath(path))


SPECIAL: dict[str, tuple[Callable[[Path], Any], str]] = {
    "fifo": (os.mkfifo, "it is not a regular file"),
    "socket": (bind_socket, "it is not a regular file"),
    "device": (lambda p: os.mknod(p, stat.S_IFCHR | 0o644, os.makedev(1, 5)), "it is not a regular file"),
    "loop": (lambda p: p.symlink_to(p.name), "too many levels of symbolic links"),
    "dangling": (lambda p: p.symlink_to("nowhere"), "no such file"),
}


def test_what_is_no_file(
    healthy: dict[str, Any], instance: Instance, image: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    for name, (make, _) in SPECIAL.items():
        make(folder / f"{name}.yaml")
    (folder / "dir.yaml").mkdir()
    (folder / "round").symlink_to(".")
    (folder / "empty.yaml").touch()
    put(folder / "dir.yaml" / "below.yaml", pod("below", container("app", image)))
    crlf = text(pod("crlf", container("app", image))).replace("\n", "\r\n")
    (folder / "crlf.yaml").write_bytes(crlf.encode())
    until(lambda: runs(instance, "below") and runs(instance, "crlf"), "what is good is taken up")

    rows = status(instance, folder)
    for name, (_, said) in SPECIAL.items():
        file = f"{name}.yaml"
        assert said in rows[file], f"status of {name}: {rows}"
        assert [e for e in events(instance, str(folder / file)) if said in e], f"events of {name}"
        assert said in log(instance)
        checked = instance.run("validate", folder / file)
        assert (checked.returncode in (1, 2), "Traceback" in checked.stderr) == (True, False)
    assert "Error" not in rows["empty.yaml"]
    assert sorted(words(instance)) == ["below", "crlf", "healthy"]

    for name in SPECIAL:
        (folder / f"{name}.yaml").unlink()
        put(folder / f"{name}.yaml", pod(name, container("app", image)))
    until(lambda: all(runs(instance, name) for name in SPECIAL), "all mended")


def test_a_file_counts_when_it_is_closed(healthy: dict[str, Any], instance: Instance, image: str, folder: Path) -> None:
    whole = text(pod("half", container("app", image)))
    with (folder / "half.yaml").open("w") as file:
        file.write(whole[:200])
        file.flush()
        put(folder / "later.yaml", pod("later", container("app", image)))
        until(lambda: runs(instance, "later"), "the next file is taken up")
        assert events(instance, str(folder / "half.yaml")) == []
        file.write(whole[200:])
        file.flush()
        put(folder / "last.yaml", pod("last", container("app", image)))
        until(lambda: runs(instance, "last"), "the one after it is taken up")
        assert "half" not in words(instance)
    until(lambda: runs(instance, "half"), "it is closed, and taken up")
    assert "half.yaml" not in log(instance)


def test_two_files_that_define_one_pod(healthy: dict[str, Any], instance: Instance, image: str, folder: Path) -> None:
    owner, rival = folder / "b.yaml", folder / "a.yaml"
    put(owner, pod("twice", container("app", image)))
    until(lambda: runs(instance, "twice"), "the pod runs")
    before = instance.running("twice")
    put(rival, pod("twice", container("app", image, env=[{"name": "NAME", "value": "rival"}])))
    until(lambda: "DuplicatePod" in log(instance), "the log tells")

    rows = status(instance, folder)
    assert f"{rival}:1: pod default/twice is already defined in {owner}:1, which counts" in rows["a.yaml"]
    assert rows["b.yaml"] == "default/twice Converged"
    assert [e.reason for e in instance.engine.events(about=str(rival))] == ["DuplicatePod"]
    assert instance.run("apply", "--wait", "--timeout", 5, folder).returncode == 1
    assert instance.run("diff", folder).returncode == 2
    assert instance.running("twice") == before

    owner.unlink()
    until(lambda: "Converged" in status(instance, folder).get("a.yaml", "Error"), "the other file takes over")
    after = instance.running("twice")
    assert after["infra"] == before["infra"]
    assert after["app"] != before["app"]


# --- what cannot run here ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stuck:
    """A pod that is well written and cannot run: container fields, pod fields, STATUS, and what is said."""

    word: str
    said: str
    fields: dict[str, Any]
    spec: dict[str, Any]


STUCK = {
    "not-here": Stuck(
        "ImagePullBackOff", "cannot pull image localhost/nope:1: .*not here", {"image": "localhost/nope:1"}, {}
    ),
    "never": Stuck(
        "ErrImageNeverPull",
        "image localhost/nope:1 is not here and imagePullPolicy is Never",
        {"image": "localhost/nope:1", "imagePullPolicy": "Never"},
        {},
    ),
    "no-registry": Stuck(
        "ImagePullBackOff", f"cannot pull image {NOWHERE}: its registry cannot be reached", {"image": NOWHERE}, {}
    ),
    "no-command": Stuck(
        "RunContainerError", "command '/bin/nosuch' is not in image", {"command": ["/bin/nosuch", "x"]}, {}
    ),
    "no-source": Stuck(
        "CreateContainerConfigError",
        "cannot mount volume v: hostPath /nonexistent/x does not exist",
        {"volumeMounts": [{"name": "v", "mountPath": "/v"}]},
        {"volumes": [{"name": "v", "hostPath": {"path": "/nonexistent/x", "type": "Directory"}}]},
    ),
    "no-directory": Stuck(
        "CreateContainerError", "cannot create container app: .*[Nn]ot a directory", {"workingDir": "/etc/passwd"}, {}
    ),
}


def test_what_cannot_run_here(healthy: dict[str, Any], instance: Instance, image: str, folder: Path) -> None:
    for name, stuck in STUCK.items():
        put(folder / f"{name}.yaml", pod(name, container("app", image) | stuck.fields, **stuck.spec))
    wanted = {name: stuck.word for name, stuck in STUCK.items()} | {"healthy": "Running"}
    until(lambda: words(instance) == wanted, f"get pods shows {wanted}")

    rows = status(instance, folder)
    applied = instance.in_vain(folder, *(re.compile(stuck.said) for stuck in STUCK.values()))
    assert instance.run("diff", folder).returncode == 1
    for name, stuck in STUCK.items():
        told = re.compile(rf"(container app: .*)?{stuck.said}")
        assert rows[f"{name}.yaml"].startswith(f"default/{name} Error"), rows
        assert told.search(rows[f"{name}.yaml"]), f"status of {name}: {rows[f'{name}.yaml']}"
        warnings = [e for e in instance.engine.events(about=f"default/{name}") if e.type == "Warning"]
        assert [e for e in warnings if told.search(e.message)], f"events of {name}: {warnings}"
        assert len(warnings) == 1, f"the same is told again and again: {warnings}"
        assert re.search(rf"level=warning.*pod=default/{name} .*{stuck.said}", log(instance)), f"log of {name}"
        assert re.search(rf"not ready: pod default/{name}: .*{stuck.said}", applied.stderr), applied.stderr
        assert (
            json.loads(instance.ok("get", "pod", name, "-o", "json"))["status"]["containerStatuses"][0]["state"][
                "waiting"
            ]["reason"]
            == stuck.word
        )

    for name in STUCK:
        put(folder / f"{name}.yaml", pod(name, container("app", image)))
    until(lambda: set(words(instance).values()) == {"Running"}, "all mended")
    assert instance.run("status", folder).returncode == 0

    put(folder / "healthy.yaml", pod("healthy", container("app", "localhost/nope:1"), container("side", image)))
    said = "default/healthy Error default/healthy: container app: cannot pull image localhost/nope:1"
    until(lambda: status(instance, folder)["healthy.yaml"].startswith(said), "status tells of an edit in vain")
    assert instance.running("healthy") == healthy


def test_ports_that_are_taken(healthy: dict[str, Any], instance: Instance, image: str, folder: Path) -> None:
    def publishing(name: str, port: int) -> Manifest:
        return pod(name, container("app", image, ports=[{"containerPort": 80, "hostPort": port}]))

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
        put(folder / "taken.yaml", publishing("taken", port))
        name = Path("/proc/self/comm").read_text().strip()
        said = f"port {port}/tcp is held by pid {os.getpid()} ({name})"
        until(lambda: said in status(instance, folder).get("taken.yaml", ""), "status names the process")
        until(lambda: said in log(instance), "the log names it")
        assert events(instance, "default/taken") == [said]
        assert said in instance.run("diff", folder).stdout
        instance.in_vain(folder, f"not ready: pod default/taken: {said}", limit=2)
    until(lambda: runs(instance, "taken"), "the port is freed")

    put(folder / "rival.yaml", publishing("rival", port))
    said = f"port {port}/tcp is held by pod default/taken"
    until(lambda: said in status(instance, folder).get("rival.yaml", ""), "status names the pod")
    assert events(instance, "default/rival") == [said]
    (folder / "taken.yaml").unlink()
    until(lambda: runs(instance, "rival"), "the other pod has gone", 15)


UNSUPPORTED: dict[str, Callable[[Manifest], Any]] = {
    f"{C}.securityContext.windowsOptions": lambda m: app(m).update(
        securityContext={"windowsOptions": {"runAsUserName": "x"}}
    ),
    f"{C}.volumeDevices": lambda m: app(m).update(volumeDevices=[{"name": "disk", "devicePath": "/dev/xvda"}]),
    "spec.ephemeralContainers": lambda m: m["spec"].update(ephemeralContainers=[container("look", "a:1")]),
    "spec.volumes[0].nfs": lambda m: m["spec"].update(
        volumes=[{"name": "far", "nfs": {"server": "far.example", "path": "/"}}]
    ),
}


def app(manifest: Manifest) -> Manifest:
    found: Manifest = manifest["spec"]["containers"][0]
    return found


def test_a_field_that_is_not_supported_yet_stops_nothing(
    healthy: dict[str, Any], instance: Instance, image: str, folder: Path
) -> None:
    for field, change in UNSUPPORTED.items():
        wanted = pod("healthy", container("app", image), container("side", image))
        change(wanted)
        app(wanted)["env"] = [{"name": "NAME", "value": field}]
        put(folder / "healthy.yaml", wanted)
        place = re.escape(str(folder / "healthy.yaml")) + PLACE
        said = re.compile(place + re.escape(field) + "[^:]*: not supported")
        until(lambda said=said: said.search(log(instance)), f"the log tells of {field}")
        assert said.search(status(instance, folder)["healthy.yaml"]), f"status of {field}"
        until(lambda said=said: [e for e in events(instance, "default/healthy") if said.search(e)], f"event of {field}")
        instance.in_vain(folder, said)
        assert instance.running("healthy") == healthy, field
    put(folder / "healthy.yaml", pod("healthy", container("app", image), container("side", image)))
    until(lambda: "Converged" in status(instance, folder)["healthy.yaml"], "mended")
