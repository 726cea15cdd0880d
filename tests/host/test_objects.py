"""ConfigMaps and Secrets of a folder as containers see them in their environment, on the real runtime."""

from __future__ import annotations

import base64
import json
import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.model.key import Key
from tests.host.instance import Instance, until
from tests.host.manifests import Manifest, container, pod, put

pytestmark = pytest.mark.host

HUSH = "hush-a-password-of-mine"


def config_map(name: str, **data: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def secret(name: str, **data: str) -> Manifest:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": "Opaque", "data": encoded}


def of_key(kind: str, name: str, key: str, **more: object) -> Manifest:
    return {"valueFrom": {f"{kind}KeyRef": {"name": name, "key": key, **more}}}


def user(image: str, *env: Manifest, **fields: object) -> Manifest:
    """A pod with one member that has this environment, and one that has none of it."""
    wanted = [{"name": "NAME", "value": "app"}, *env]
    return pod("web", container("app", image, env=wanted, **fields), container("side", image))


def environment(instance: Instance, name: str = "app") -> dict[str, str]:
    """What the first process of a member was given; it may still be the runtime's when it counts as running, and it may
    be replaced while we look."""

    def given() -> dict[str, str]:
        ref = instance.running("web").get(name)
        try:
            items = Path(f"/proc/{ref.pid}/environ").read_bytes().rstrip(b"\0").split(b"\0") if ref else []
        except OSError:
            return {}
        return dict(item.decode().partition("=")[::2] for item in items)

    return until(lambda: found if (found := given()).get("NAME") == name else {}, "its program has begun")


def events(instance: Instance) -> list[str]:
    return [f"{event.reason}: {event.message}" for event in instance.engine.events(about="default/web")]


def files_with(root: Path, text: str) -> list[Path]:
    """The files below a root, its images apart, in which the text stands, plainly or at the beginning of base64."""
    whole = text.encode()[: len(text) // 3 * 3]
    wanted = (text.encode(), base64.b64encode(whole))
    found = []
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink() and "images" not in path.relative_to(root).parts:
            content = path.read_bytes()
            found += [path] if any(one in content for one in wanted) else []
    return found


def test_every_source_of_a_variable_and_nobody_else_reads_a_secret(
    instance: Instance, image: str, folder: Path
) -> None:
    field = {"valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['tier']"}}}
    app = user(
        image,
        {"name": "COLOR", **of_key("configMap", "settings", "color")},
        {"name": "PASSWORD", **of_key("secret", "db", "password")},
        {"name": "URL", "value": "db://$(USER):$(PASSWORD)@$(HOST) $(COLOR) $$(COLOR) $(LATE)"},
        {"name": "LATE", "value": "x"},
        {"name": "ABSENT", **of_key("secret", "none", "x", optional=True)},
        {"name": "CM_size", "value": "mine"},
        {"name": "TIER", **field},
        {"name": "UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "ACCOUNT", "valueFrom": {"fieldRef": {"fieldPath": "spec.serviceAccountName"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "IPS", "valueFrom": {"fieldRef": {"fieldPath": "status.podIPs"}}},
        {"name": "MEMORY", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
        {"name": "CPUS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        envFrom=[
            {"configMapRef": {"name": "settings"}, "prefix": "CM_"},
            {"secretRef": {"name": "db"}},
            {"configMapRef": {"name": "nowhere", "optional": True}},
        ],
        args=["-", "$(COLOR)"],
        resources={"limits": {"memory": "64Mi"}},
    )
    app["metadata"]["labels"] = {"tier": "front"}
    app["spec"]["enableServiceLinks"] = True
    put(folder / "a-pod.yaml", app)
    put(folder / "m-settings.json", config_map("settings", color="blue $(NAME)", size="large", **{"odd-key.x": "odd"}))
    many = {"apiVersion": "v1", "kind": "List", "items": [secret("db", password=HUSH, USER="me", HOST="h:5432")]}
    put(folder / "z-secret.yaml", many)
    assert instance.run("validate", folder).returncode == 0
    instance.ok("apply", "--wait", "--timeout", 60, folder)

    found, have = environment(instance), instance.engine.observe(Key("default", "web"), None).sandbox
    assert have is not None
    wanted = {
        "COLOR": "blue $(NAME)",
        "PASSWORD": HUSH,
        "URL": f"db://me:{HUSH}@h:5432 blue $(NAME) $(COLOR) $(LATE)",
        "CM_color": "blue $(NAME)",
        "CM_size": "mine",
        "CM_odd-key.x": "odd",
        "USER": "me",
        "password": HUSH,
        "TIER": "front",
        "UID": have.uid,
        "NODE": os.uname().nodename,
        "ACCOUNT": "default",
        "IP": have.ip,
        "IPS": ",".join(ip for ip in (have.ip, have.ip6) if ip),
        "MEMORY": "64",
        "CPUS": str(os.cpu_count()),
    }
    assert {name: found.get(name) for name in wanted} == wanted
    assert "ABSENT" not in found
    assert "PASSWORD" not in environment(instance, "side")
    command = Path(f"/proc/{instance.running('web')['app'].pid}/cmdline").read_text()
    assert command.rstrip("\0").endswith("\0-\0blue $(NAME)")
    row = next(line for line in instance.ok("status", folder).splitlines() if "z-secret" in line)
    assert "Secret/default/db" in row and "Converged" in row

    app_id = instance.containers("web")["app"].id
    for words in (
        ("get", "pods", "-o", "json"), ("get", "pods", "-o", "yaml"), ("describe", "pod", "web"), ("inspect", app_id),
        ("pod", "inspect", "web"), ("kube", "generate", "web"), ("ps", "--no-trunc"), ("events",), ("status", folder),
        ("logs", "web/app"), ("info",), ("explain", "secret.data"),
    ):  # fmt: skip
        said = instance.ok(*words)
        assert HUSH not in said and base64.b64encode(HUSH.encode()).decode() not in said, words
    assert "<set to the key 'password' in secret 'db'>" in instance.ok("describe", "pod", "web")
    (shown,) = json.loads(instance.ok("inspect", app_id))
    assert {"PASSWORD=*******", "URL=*******", "USER=*******", "COLOR=blue $(NAME)"} <= set(shown["Config"]["Env"])
    assert shown["Args"][-1] == "$(COLOR)"
    holding = files_with(instance.root, HUSH)
    assert {path.name for path in holding} == {"objects.json", "config.json"}
    assert not any(path.stat().st_mode & 0o077 for path in holding)
    assert instance.run("diff", folder).returncode == 0


def test_what_is_missing_is_named_holds_up_its_user_alone_and_is_picked_up_when_it_comes(
    instance: Instance, image: str, folder: Path
) -> None:
    put(folder / "web.yaml", user(image, {"name": "PASSWORD", **of_key("secret", "db", "password")}))
    instance.watch(folder)
    until(lambda: "side" in instance.running("web"), "the member that needs nothing runs")
    lacking = 'secret "db" not found (needed by spec.containers[app].env[PASSWORD])'
    until(lambda: f"FailedSync: container app: {lacking}" in events(instance), "it is told")
    (row,) = [line for line in instance.ok("get", "pods").splitlines() if line.startswith("web ")]
    assert "CreateContainerConfigError" in row and "1/2" in row
    said = instance.run("status", folder)
    assert lacking in said.stdout and said.returncode == 2
    (shown,) = json.loads(instance.ok("get", "pods", "-o", "json"))["items"]
    assert shown["status"]["phase"] == "Pending"

    put(folder / "db.yaml", secret("db", other="x"))
    lacking = 'key "password" not found in secret "db" (needed by spec.containers[app].env[PASSWORD])'
    until(lambda: f"FailedSync: container app: {lacking}" in events(instance), "that the key is missing is told")
    put(folder / "db.yaml", secret("db", other="x", password=HUSH))
    until(lambda: "app" in instance.running("web"), "it starts as soon as it can")
    assert environment(instance)["PASSWORD"] == HUSH


def test_an_edit_replaces_those_who_use_it_and_one_that_refers_to_nothing_replaces_nobody(
    instance: Instance, image: str, folder: Path
) -> None:
    put(folder / "web.yaml", user(image, {"name": "COLOR", **of_key("configMap", "settings", "color")}))
    put(folder / "settings.yaml", config_map("settings", color="blue", unused="x"))
    instance.watch(folder)
    before = until(lambda: _all_run(instance), "all run")

    put(folder / "settings.yaml", config_map("settings", color="blue", unused="y"))
    put(folder / "other.yaml", config_map("other", more="x"))
    put(folder / "settings.yaml", config_map("settings", color="red", unused="y"))
    until(lambda: _now(instance, before) == {"app"}, "its user alone is replaced")
    until(lambda: environment(instance)["COLOR"] == "red", "it has the new value")
    replaced = [said for said in events(instance) if said.startswith("Created: Created container app")]
    assert replaced[1:] == ["Created: Created container app: ConfigMap settings changed"]

    running = instance.running("web")
    put(folder / "web.yaml", user(image, {"name": "COLOR", **of_key("configMap", "settings", "colour")}))
    lacking = 'key "colour" not found in configmap "settings" (needed by spec.containers[app].env[COLOR])'
    until(lambda: f"FailedSync: container app: {lacking}" in events(instance), "that it cannot be is told")
    assert instance.running("web") == running
    said = instance.run("diff", folder)
    assert lacking in said.stdout and said.returncode == 1
    put(folder / "settings.yaml", config_map("settings", colour="green"))
    until(lambda: environment(instance).get("COLOR") == "green", "it goes on")
    until(lambda: _now(instance, running) == {"app"}, "it alone is replaced")


def _all_run(instance: Instance) -> dict[str, object]:
    found = instance.running("web")
    return found if set(found) == {"infra", "app", "side"} else {}


def _now(instance: Instance, before: dict[str, object]) -> set[str]:
    """Which processes are others than before, as soon as all run."""
    after = _all_run(instance)
    return {name for name in after if after[name] != before[name]}


def test_diff_names_the_object_and_never_a_value(instance: Instance, image: str, folder: Path) -> None:
    put(folder / "web.yaml", user(image, envFrom=[{"secretRef": {"name": "db"}}]))
    put(folder / "db.yaml", secret("db", password=HUSH))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    put(folder / "db.yaml", secret("db", password=HUSH + "-too"))
    done = instance.run("diff", folder)
    assert (done.returncode, HUSH in done.stdout + done.stderr) == (1, False)
    assert "replace container app because Secret db changed" in done.stdout
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    assert environment(instance)["password"] == HUSH + "-too"
    put(folder / "a-db.yaml", secret("db", password="third"))
    said = instance.run("status", folder)
    assert (
        f"{folder}/db.yaml:1: Secret default/db is already defined in {folder}/a-db.yaml:1, which counts" in said.stdout
    )


def test_what_a_pod_was_made_with_outlives_the_object_its_file_and_the_machine(
    instance: Instance, image: str, folder: Path, reboot: Callable[[], None]
) -> None:
    put(folder / "web.yaml", user(image, {"name": "PASSWORD", **of_key("secret", "db", "password")}))
    put(folder / "db.yaml", secret("db", password=HUSH))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    (folder / "db.yaml").write_text("apiVersion: v1\nkind: Secret\nmetadata: {name: db\n")
    first = instance.running("web")["app"]
    instance.watch(folder)
    lacking = 'container app: secret "db" not found'
    until(lambda: any(lacking in said for said in events(instance)), "the controller has looked")
    os.kill(first.pid, signal.SIGKILL)
    until(lambda: instance.running("web").get("app", first) != first, "it is started again")
    assert environment(instance)["PASSWORD"] == HUSH

    instance.stop_controllers()
    (folder / "db.yaml").unlink()
    reboot()
    instance.watch(folder)
    until(lambda: _all_run(instance), "all run again")
    assert environment(instance)["PASSWORD"] == HUSH


def test_files_of_a_secret_outlive_the_secret_and_the_machine(
    instance: Instance, image: str, folder: Path, reboot: Callable[[], None]
) -> None:
    mounts = [{"name": "v", "mountPath": "/v"}]
    wanted = user(image, volumeMounts=mounts)
    wanted["spec"]["volumes"] = [{"name": "v", "secret": {"secretName": "db"}}]
    put(folder / "web.yaml", wanted)
    instance.watch(folder)
    lacking = 'secret "db" not found (needed by spec.volumes[v])'
    until(lambda: f"FailedSync: container app: {lacking}" in events(instance), "that it is missing is told")
    put(folder / "db.yaml", secret("db", password=HUSH))
    until(lambda: _all_run(instance), "all run")
    assert instance.ok("exec", "web/app", "cat", "/v/password") == HUSH
    put(folder / "db.yaml", secret("db", password=HUSH + "-new"))
    until(lambda: instance.run("exec", "web/app", "cat", "/v/password").stdout == HUSH + "-new", "the file follows")
    assert any("the files of volume v changed" in said for said in events(instance))

    before = instance.running("web")
    (folder / "db.yaml").unlink()
    until(lambda: lacking in instance.run("status", folder).stdout, "that it is gone is told")
    assert instance.running("web") == before
    instance.stop_controllers()
    reboot()
    instance.watch(folder)
    until(lambda: _all_run(instance), "all run again")
    assert instance.ok("exec", "web/app", "cat", "/v/password") == HUSH + "-new"
    holding = files_with(instance.root, HUSH)
    assert {path.name for path in holding} == {"objects.json"}
    assert not any(path.stat().st_mode & 0o077 for path in holding)


def test_what_is_played_has_its_objects_without_a_folder_until_it_is_taken_down(
    instance: Instance, image: str, folder: Path
) -> None:
    wanted = user(image, {"name": "PASSWORD", **of_key("secret", "db", "password")})
    file = put(folder / "all.yaml", config_map("unused", a="b"), wanted, secret("db", password=HUSH))
    instance.ok("kube", "play", file)
    first = instance.running("web")
    assert environment(instance)["PASSWORD"] == HUSH
    assert "nothing to do" in instance.run("kube", "play", file).stderr
    os.kill(first["app"].pid, signal.SIGKILL)
    until(lambda: _now(instance, first) == {"app"}, "it is started again, without a controller and a file")
    assert environment(instance)["PASSWORD"] == HUSH

    put(file, wanted, secret("db", password=HUSH + "-new"))
    done = instance.run("kube", "play", file)
    assert done.returncode == 0 and HUSH not in done.stdout + done.stderr
    assert environment(instance)["PASSWORD"] == HUSH + "-new"
    (kept,) = instance.engine.layout.hand.glob("*/*.json")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    instance.ok("kube", "down", file)
    assert [path for path in files_with(instance.root, HUSH) if "trash" not in path.parts] == []
