"""The disruption table, row by row, on real containers: what a change costs, told by pids and start times."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from reconciler.model.key import Key
from tests.host.instance import Instance
from tests.host.manifests import Manifest, container, pod, put

pytestmark = pytest.mark.host

NOTHING: frozenset[str] = frozenset()
APP = frozenset({"app"})
SIDE = frozenset({"side"})
MEMBERS = frozenset({"app", "side", "log"})
EVERYTHING = frozenset({"infra", "app", "side", "log"})

Change = Callable[[Manifest], Any]


@dataclass(frozen=True)
class Row:
    """``change`` edits the base manifest; ``replaced`` are the processes that must be others afterwards (and no
    more); ``added`` and ``removed`` members come and go."""

    change: Change
    replaced: frozenset[str] = NOTHING
    added: frozenset[str] = NOTHING
    removed: frozenset[str] = NOTHING


def base(image: str, host_dir: Path) -> Manifest:
    app = container(
        "app",
        image,
        env=[{"name": "NAME", "value": "app"}, {"name": "OTHER", "value": "x"}],
        ports=[{"containerPort": 80, "hostPort": 18080}, {"containerPort": 81}],
        resources={"limits": {"cpu": "500m", "memory": "64Mi"}},
        volumeMounts=[{"name": "scratch", "mountPath": "/scratch"}],
    )
    side = container("side", image, volumeMounts=[{"name": "host", "mountPath": "/host"}])
    return pod(
        "table",
        app,
        side,
        container("log", image),
        volumes=[{"name": "scratch", "emptyDir": {}}, {"name": "host", "hostPath": {"path": str(host_dir)}}],
    )


def member(manifest: Manifest, name: str = "app") -> Manifest:
    found: Manifest = next(c for c in manifest["spec"]["containers"] if c["name"] == name)
    return found


def on_app(**fields: Any) -> Change:
    return lambda m: member(m).update(fields)


def on_spec(**fields: Any) -> Change:
    return lambda m: m["spec"].update(fields)


def on_meta(**fields: Any) -> Change:
    return lambda m: m["metadata"].update(fields)


def security(**fields: Any) -> Change:
    return on_app(securityContext=fields)


def pod_context(**fields: Any) -> Change:
    return on_spec(securityContext=fields)


def port(**fields: Any) -> Change:
    return lambda m: member(m)["ports"][0].update(fields)


def reorder(m: Manifest) -> None:
    """Other orders of what has none: keys, ports, independent variables, volumes."""
    member(m)["ports"].reverse()
    member(m)["env"].reverse()
    m["spec"]["volumes"].reverse()
    m["spec"] = dict(reversed(m["spec"].items()))


def spell_out_defaults(m: Manifest) -> None:
    m["metadata"]["namespace"] = "default"
    m["spec"].update(restartPolicy="Always", hostNetwork=False)
    member(m)["ports"][0]["protocol"] = "TCP"
    m["spec"]["securityContext"] = {"supplementalGroupsPolicy": "Merge", "fsGroupChangePolicy": "Always"}
    profiles = {"seccompProfile": {"type": "RuntimeDefault"}, "appArmorProfile": {"type": "RuntimeDefault"}}
    confined = {"privileged": False, "runAsNonRoot": False, "procMount": "Default", **profiles}
    member(m).update(imagePullPolicy="IfNotPresent", securityContext=confined)


def pod_security(m: Manifest) -> None:
    """The pod's value counts for those that do not override it."""
    m["spec"]["securityContext"] = {"runAsUser": 33}
    member(m)["securityContext"] = {"runAsUser": 34}


def host_network(m: Manifest) -> None:
    """On the host's network a port is what it is."""
    m["spec"]["hostNetwork"] = True
    member(m)["ports"][0]["containerPort"] = 18080


def unmasked(m: Manifest) -> None:
    """Only in a user namespace."""
    m["spec"]["hostUsers"] = False
    member(m)["securityContext"] = {"procMount": "Unmasked"}


def projected(**source: Any) -> Change:
    """The volume of one member comes from elsewhere."""

    def change(m: Manifest) -> None:
        m["spec"]["volumes"][1] = {"name": "host", **source}

    return change


def of_a_limit(m: Manifest) -> None:
    """It could be applied live, but for the variable that shows it."""
    said = {"resourceFieldRef": {"resource": "limits.memory"}}
    member(m)["env"].append({"name": "LIMIT", "valueFrom": said})
    member(m)["resources"]["limits"]["memory"] = "96Mi"


def drop(name: str) -> Change:
    return lambda m: m["spec"]["containers"].remove(member(m, name))


PROBE = {"exec": {"command": ["true"]}}

NOW: dict[str, Row] = {
    # nothing
    "order of keys, ports, env, volumes": Row(reorder),
    "defaults spelled out": Row(spell_out_defaults),
    "500m as 0.5, 64Mi in bytes": Row(on_app(resources={"limits": {"cpu": 0.5, "memory": 67108864}})),
    "a port without a host port": Row(lambda m: member(m)["ports"][1].update(containerPort=82, name="other")),
    # recorded in place
    "labels": Row(on_meta(labels={"a": "b"})),
    "annotations": Row(on_meta(annotations={"a": "b"})),
    "the network it is in, named": Row(on_meta(annotations={"reconciler/network": "default"})),
    "restartPolicy": Row(on_spec(restartPolicy="OnFailure")),
    "terminationGracePeriodSeconds": Row(on_spec(terminationGracePeriodSeconds=1)),
    "livenessProbe": Row(on_app(livenessProbe=PROBE)),
    "readinessProbe": Row(on_app(readinessProbe=PROBE)),
    "startupProbe": Row(on_app(startupProbe=PROBE)),
    "terminationMessagePolicy": Row(on_app(terminationMessagePolicy="FallbackToLogsOnError")),
    "activeDeadlineSeconds": Row(on_spec(activeDeadlineSeconds=1000)),
    "preStop": Row(on_app(lifecycle={"preStop": {"exec": {"command": ["true"]}}})),
    "imagePullPolicy": Row(on_app(imagePullPolicy="Never")),
    "enableServiceLinks": Row(on_spec(enableServiceLinks=False)),
    "a volume that nobody mounts": Row(lambda m: m["spec"]["volumes"].append({"name": "more", "emptyDir": {}})),
    # applied live
    "cpu limit": Row(on_app(resources={"limits": {"cpu": "250m", "memory": "64Mi"}})),
    "memory limit": Row(on_app(resources={"limits": {"cpu": "500m", "memory": "96Mi"}})),
    "hostAliases": Row(on_spec(hostAliases=[{"ip": "192.0.2.1", "hostnames": ["h"]}])),
    "dnsConfig": Row(on_spec(dnsConfig={"searches": ["example.org"], "options": [{"name": "ndots", "value": "2"}]})),
    "dnsPolicy": Row(on_spec(dnsPolicy="None", dnsConfig={"nameservers": ["192.0.2.53"]})),
    "pids limit": Row(on_meta(annotations={"io.podman.annotations.pids-limit/app": "100"})),
    "requests, and with them the quality of service": Row(
        on_app(resources={"requests": {"cpu": "100m"}, "limits": {"cpu": "500m", "memory": "64Mi"}})
    ),
    # that container alone
    "memory limit, where it may not change live": Row(
        on_app(
            resources={"limits": {"cpu": "500m", "memory": "96Mi"}},
            resizePolicy=[{"resourceName": "memory", "restartPolicy": "RestartContainer"}],
        ),
        APP,
    ),
    "image": Row(on_app(image="localhost/reconciler/busybox:2"), APP),
    "command": Row(on_app(command=["sh", "-c", 'trap "exit 0" TERM; while :; do sleep 999 & wait; done']), APP),
    "args": Row(on_app(args=["extra"]), APP),
    "env value": Row(lambda m: member(m)["env"][1].update(value="y"), APP),
    "env added": Row(lambda m: member(m)["env"].append({"name": "MORE", "value": "1"}), APP),
    "envFrom": Row(on_app(envFrom=[{"configMapRef": {"name": "c", "optional": True}}]), APP),
    "env from a field": Row(
        lambda m: member(m)["env"][1].update(value="", valueFrom={"fieldRef": {"fieldPath": "metadata.name"}}), APP
    ),
    "env from a limit": Row(of_a_limit, APP),
    "workingDir": Row(on_app(workingDir="/tmp"), APP),
    "tty": Row(on_app(tty=True), APP),
    "stdin": Row(on_app(stdin=True), APP),
    "stdinOnce": Row(on_app(stdin=True, stdinOnce=True), APP),
    "volumeMounts": Row(lambda m: member(m)["volumeMounts"].append({"name": "host", "mountPath": "/host"}), APP),
    "volumeMounts readOnly": Row(lambda m: member(m)["volumeMounts"][0].update(readOnly=True), APP),
    "ConfigMap volume": Row(projected(configMap={"name": "c", "optional": True}), SIDE),
    "Secret volume": Row(projected(secret={"secretName": "s", "optional": True}), SIDE),
    "downwardAPI volume": Row(projected(downwardAPI={"items": []}), SIDE),
    "subPath": Row(lambda m: member(m)["volumeMounts"][0].update(subPath="a"), APP),
    "mountPropagation": Row(
        lambda m: member(m, "side")["volumeMounts"][0].update(mountPropagation="HostToContainer"), SIDE
    ),
    "recursiveReadOnly": Row(
        lambda m: member(m)["volumeMounts"][0].update(readOnly=True, recursiveReadOnly="Enabled"), APP
    ),
    "emptyDir medium": Row(lambda m: m["spec"]["volumes"][0].update(emptyDir={"medium": "Memory"}), APP),
    "emptyDir sizeLimit": Row(lambda m: m["spec"]["volumes"][0].update(emptyDir={"sizeLimit": "1Gi"}), APP),
    "image volume": Row(projected(image={"reference": "localhost/reconciler/busybox:2"}), SIDE),
    "volume source": Row(lambda m: m["spec"]["volumes"][1]["hostPath"].update(path="/tmp"), SIDE),
    "runAsUser": Row(security(runAsUser=33), APP),
    "runAsGroup": Row(security(runAsUser=33, runAsGroup=33), APP),
    "privileged": Row(security(privileged=True), APP),
    "capabilities": Row(security(capabilities={"drop": ["ALL"], "add": ["CHOWN"]}), APP),
    "readOnlyRootFilesystem": Row(security(readOnlyRootFilesystem=True), APP),
    "allowPrivilegeEscalation": Row(security(allowPrivilegeEscalation=False), APP),
    "runAsNonRoot": Row(security(runAsUser=33, runAsNonRoot=True), APP),
    "seccompProfile": Row(security(seccompProfile={"type": "Unconfined"}), APP),
    "supplementalGroups": Row(pod_context(supplementalGroups=[33]), MEMBERS),
    "postStart": Row(on_app(lifecycle={"postStart": {"exec": {"command": ["true"]}}}), APP),
    "stopSignal": Row(on_app(lifecycle={"stopSignal": "SIGINT"}), APP),
    "terminationMessagePath": Row(on_app(terminationMessagePath="/dev/other"), APP),
    "fsGroup": Row(pod_context(fsGroup=33), MEMBERS),
    "seLinuxChangePolicy": Row(pod_context(seLinuxChangePolicy="Recursive")),
    "fsGroupChangePolicy": Row(pod_context(fsGroupChangePolicy="OnRootMismatch")),
    "pod securityContext that one member overrides": Row(pod_security, frozenset({"app", "side", "log"})),
    # members come and go
    "container added": Row(
        lambda m: m["spec"]["containers"].append({**member(m, "log"), "name": "more"}), added=frozenset({"more"})
    ),
    "container removed": Row(drop("log"), removed=frozenset({"log"})),
    # the whole pod
    "hostPort": Row(port(hostPort=18081), EVERYTHING),
    "hostIP": Row(port(hostIP="127.0.0.1"), EVERYTHING),
    "host ports by annotation": Row(on_meta(annotations={"reconciler/publish": "18085-18086:1-2"}), EVERYTHING),
    "protocol of a published port": Row(port(protocol="UDP"), EVERYTHING),
    "containerPort of a published port": Row(port(containerPort=8080), EVERYTHING),
    "hostNetwork": Row(host_network, EVERYTHING),
    "hostPID": Row(on_spec(hostPID=True), EVERYTHING),
    "hostIPC": Row(on_spec(hostIPC=True), EVERYTHING),
    "shareProcessNamespace": Row(on_spec(shareProcessNamespace=True), EVERYTHING),
    "hostname": Row(on_spec(hostname="other"), EVERYTHING),
    "hostUsers": Row(on_spec(hostUsers=False), EVERYTHING),
    "procMount": Row(unmasked, EVERYTHING),
    "sysctls": Row(pod_context(sysctls=[{"name": "kernel.shm_rmid_forced", "value": "1"}]), EVERYTHING),
    "hostnameOverride": Row(on_spec(hostnameOverride="db.example"), EVERYTHING),
    "subdomain": Row(on_spec(subdomain="s"), EVERYTHING),
    "setHostnameAsFQDN": Row(on_spec(subdomain="s", setHostnameAsFQDN=True), EVERYTHING),
}


def begin(manifest: Manifest) -> list[Manifest]:
    """A plain init container, and a sidecar."""
    found: list[Manifest] = manifest["spec"]["initContainers"]
    return found


def beginning(number: int, **fields: Any) -> Change:
    return lambda m: begin(m)[number].update(fields)


CAR = frozenset({"car"})

BEGUN: dict[str, Row] = {
    "initContainers": Row(lambda m: m["spec"].pop("initContainers"), EVERYTHING, removed=CAR),
    "a sidecar's image": Row(beginning(1, image="localhost/reconciler/busybox:2"), CAR),
    "sidecar added": Row(lambda m: begin(m).append({**begin(m)[1], "name": "more"}), added=frozenset({"more"})),
    "sidecar removed": Row(lambda m: begin(m).pop(), removed=CAR),
    "where a sidecar begins": Row(lambda m: begin(m).reverse()),
    "an init container's command": Row(beginning(0, command=["sh", "-c", "exit 0"]), EVERYTHING | CAR),
    "an init container's imagePullPolicy": Row(beginning(0, imagePullPolicy="Never")),
    "an init container's memory limit": Row(beginning(0, resources={"limits": {"memory": "96Mi"}})),
    "init container added": Row(lambda m: begin(m).append({**begin(m)[0], "name": "more"}), EVERYTHING | CAR),
    "fsGroup, which an init container has, too": Row(pod_context(fsGroup=33), EVERYTHING | CAR),
    "args of a member": Row(on_app(args=["extra"]), APP),
}


@pytest.fixture
def start(instance: Instance, image: str, folder: Path, tmp_path: Path) -> Manifest:
    """The base pod, running."""
    host_dir = tmp_path / "host"
    host_dir.mkdir()
    manifest = base(image, host_dir)
    put(folder / "table.yaml", manifest)
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    return manifest


@pytest.mark.parametrize("row", NOW.values(), ids=NOW.keys())
def test_a_change_of(row: Row, start: Manifest, instance: Instance, folder: Path) -> None:
    assert set(instance.running("table")) == EVERYTHING
    change_costs(row, start, instance, folder)


@pytest.mark.parametrize("row", BEGUN.values(), ids=BEGUN.keys())
def test_in_a_pod_with_init_containers_a_change_of(
    row: Row, image: str, instance: Instance, folder: Path, tmp_path: Path
) -> None:
    manifest = base(image, tmp_path)
    first = {"name": "first", "image": image, "command": ["true"]}
    manifest["spec"]["initContainers"] = [first, container("car", image, restartPolicy="Always")]
    put(folder / "table.yaml", manifest)
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    change_costs(row, manifest, instance, folder)


def change_costs(row: Row, start: Manifest, instance: Instance, folder: Path) -> None:
    before = instance.running("table")
    wanted = copy.deepcopy(start)
    row.change(wanted)
    assert wanted != start or list(wanted["spec"]) != list(start["spec"])
    put(folder / "table.yaml", wanted)
    instance.ok("apply", "--wait", "--timeout", 60, folder)

    after = instance.running("table")
    assert set(after) == (set(before) | row.added) - row.removed
    kept = {name for name in set(before) & set(after) if before[name] == after[name]}
    assert set(before) - row.removed - kept == row.replaced
    assert instance.run("diff", folder).returncode == 0, "something is left to do"


@pytest.mark.parametrize(
    "rewrite",
    [
        pytest.param(lambda path, m: path.write_text(f"# a comment\n{json.dumps(m)}\n"), id="comments and layout"),
        pytest.param(lambda path, m: path.rename(path.with_name("renamed.yml")), id="the file's name"),
        pytest.param(
            lambda path, m: (path.parent / "sub").mkdir() or shutil.move(path, path.parent / "sub"), id="its directory"
        ),
    ],
)
def test_how_the_file_says_it_costs_nothing(
    rewrite: Callable[[Path, Manifest], Any], start: Manifest, instance: Instance, folder: Path
) -> None:
    before = instance.running("table")
    rewrite(folder / "table.yaml", start)
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    assert instance.running("table") == before


@pytest.mark.parametrize("text", ["kind: Pod\nspec: [", "", "apiVersion: v1\nkind: Pod\nmetadata: {name: table}\n"])
def test_a_broken_file_stops_nothing(text: str, start: Manifest, instance: Instance, folder: Path) -> None:
    before = instance.running("table")
    (folder / "table.yaml").write_text(text)
    done = instance.run("apply", "--wait", "--timeout", 5, folder)
    if text:  # an empty file is a valid one that defines nothing: a removal, which needs the user's yes
        assert done.returncode == 1
        assert str(folder / "table.yaml") in done.stdout + done.stderr
    assert instance.running("table") == (before if text else {})


def test_a_removed_file_removes_the_pod(start: Manifest, instance: Instance, folder: Path) -> None:
    keep = put(folder / "other.yaml", {**copy.deepcopy(start), "metadata": {"name": "other"}})
    manifest = json.loads(keep.read_text())
    member(manifest)["ports"] = []
    put(keep, manifest)
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    kept = instance.running("other")
    (folder / "table.yaml").unlink()
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    assert Key("default", "table") not in set(instance.engine.keys())
    assert instance.running("other") == kept


def test_live_limits_reach_the_kernel(start: Manifest, instance: Instance, folder: Path) -> None:
    member(start)["resources"] = {"limits": {"cpu": "250m", "memory": "96Mi"}}
    put(folder / "table.yaml", start)
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    pid = instance.running("table")["app"].pid
    assert limit_of(pid, "memory", "memory.max", "memory.limit_in_bytes") == str(96 << 20)
    assert limit_of(pid, "cpu", "cpu.max", "cpu.cfs_quota_us").split()[0] == "25000"


def limit_of(pid: int, controller: str, v2: str, v1: str) -> str:
    """What a process' cgroup says, in whichever hierarchy has the controller."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return Path(f"/sys/fs/cgroup/{controllers}{path}", v1).read_text().strip()
        if number == "0":
            unified = Path(f"/sys/fs/cgroup{path}", v2)
            if unified.exists():
                return unified.read_text().strip()
    raise AssertionError(f"process {pid} is in no {controller} cgroup")
