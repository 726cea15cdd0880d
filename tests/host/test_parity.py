"""A container of ours beside Podman's of the same manifest: whatever confines it is equal, or differs for a reason.

The probe (``probe_inside.py``) runs in both and tells all it can see: capabilities, filters, limits, labels, mounts
with their options, hidden and read-only paths, devices and the device cgroup, sysctls, environment, groups, and what
each of a long list of system calls answers.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.bench.place import Place, remove_cgroups
from tests.host.conftest import IMAGE
from tests.host.instance import fresh_instance, until
from tests.host.manifests import Manifest, pod

pytestmark = pytest.mark.host

PROBE = Path(__file__).with_name("probe_inside.py")
COMMAND = 'exec python3 -I -S /probe.py /out/{}.json "$(cat /proc/self/status)"'
MACHINE = {"usr": ("/usr", "/usr"), "lib": ("/usr/lib", "/lib"), "lib64": ("/usr/lib64", "/lib64")}
"""Gives the container this machine's python3: volume, source, place."""

CONTAINERS: dict[str, Manifest] = {
    "plain": {},
    "privileged": {"privileged": True},
    "more capabilities": {"capabilities": {"add": ["NET_ADMIN", "SYS_PTRACE", "MKNOD"]}},
    "less capabilities": {"capabilities": {"drop": ["ALL"], "add": ["CHOWN"]}},
    "all capabilities": {"capabilities": {"add": ["ALL"]}},
    "a user without a name": {"runAsUser": 1000},
    "a user and a group": {"runAsUser": 33, "runAsGroup": 7},
    "a user with a capability": {"runAsUser": 33, "capabilities": {"add": ["NET_BIND_SERVICE"]}},
    "a read-only root": {"readOnlyRootFilesystem": True},
    "no new privileges": {"allowPrivilegeEscalation": False},
    "unconfined": {"seccompProfile": {"type": "Unconfined"}},
}
EXECED: dict[str, Manifest] = {
    "exec": {},
    "exec as a user": {"runAsUser": 33, "allowPrivilegeEscalation": False, "capabilities": {"add": ["NET_RAW"]}},
}
"""Of these the probe is not the first process but comes by ``exec``."""

PODS: dict[str, Manifest] = {
    "host network": {"hostNetwork": True},
    "shared processes": {"shareProcessNamespace": True},
}
HOST_FIELDS = {"hostNetwork": True, "hostPID": True, "hostIPC": True}
HOST_FLAGS = ("--net=host", "--pid=host", "--ipc=host")


@dataclass(frozen=True)
class Different:
    """Where the two may differ: in ``field`` (with wildcards), from what Podman has to what we have (regular
    expressions over its JSON)."""

    field: str
    podman: str
    ours: str
    why: str


EVERYWHERE = (
    Different("oom_score_adj", "0", "1000", "the kubelet's score of a BestEffort pod"),
    Different(
        "mounts//proc/*", '\\["tmpfs".*', '\\["devtmpfs".*', "hidden by /dev/null; Podman's is the test's (Place)"
    ),
    Different("devices//dev/null*", ".* (33|1000):.*", ".* 0:0 .*", "crun gives stdin to its user; ours is no device"),
    Different("devices//dev/loop[0-9]*", ".*", ".*", "the kernel makes them when one first asks for such a device"),
    Different("*//dev/termination-log", "null", ".*", "for last words, as Kubernetes has it"),
    Different("mounts//run/.containerenv", ".*", "null", "a file by which programs know Podman"),
    Different(
        "status/Groups",
        "\\[\\]",
        '\\["(0|33)"\\]',
        "always the main group too, lest it be shed (Podman: where a user is given)",
    ),
    Different("read//proc/1/environ*", '"EACCES"', '"read"', "with no_new_privs, too, the container's own (AppArmor)"),
    Different("mounts//dev/shm", ".*size=64000k.*", ".*size=65536k.*", "64 MiB as Docker and containerd have it"),
)
NEITHER_ROOT_NOR_RIGHTS = (
    Different(
        "root is writable", '"EACCES"', "null", "/ is 0755 where no layer says; Podman's 0555 stops whom no right helps"
    ),
)
EXEC = (Different("environment/HOSTNAME", "null", '"base"', "the environment is that of the first process"),)
RUNC = (
    Different(
        "mounts//sys", r'.*\["ro"\].*', r'.*\["rw"\].*', "one sysfs in the pod, and privileged members may write"
    ),
)
PRIVILEGED_RUNC = (
    Different("write//sys/*", '"EROFS"', '"E(PERM|ACCES)"', "the same: sysfs itself refuses new directories"),
)
HOST_NETWORK = (
    Different("hostname", ".*", f'"{os.uname().nodename}"', "the host's name goes with its network (kubelet)"),
    Different("environment/HOSTNAME", ".*", f'"{os.uname().nodename}"', "the same"),
    Different("namespaces/uts", '"own"', '"host"', "the same"),
)
RUN = (
    Different("environment/container", '"podman"', "null", "`podman run` says so, neither `kube play` nor Kubernetes"),
    Different("environment/TERM", '"xterm"', "null", "the same"),
    Different("mounts//dev/shm", ".*", ".*", "the host's"),
    Different("devices//dev/shm*", ".*", ".*", "the same"),
)

PODMAN_5 = (
    *(
        Different(f"mounts/{place}", '\\["tmpfs".*', "null", "neither `podman run` nor Kubernetes puts memory there")
        for place in ("/run", "/tmp", "/var/tmp")
    ),
    Different("mounts//dev", '\\["tmpfs".*', '\\["tmpfs", \\["noexec".*', "nothing is executed there; Podman lets it"),
    Different("mounts//proc/*", '\\["tmpfs".*', '\\["tmpfs", \\["noexec".*', "the same: null comes from there"),
    Different("mounts//sys/dev/block", "null", '\\["tmpfs".*', "hidden as it was by Podman 4"),
    Different("read//sys/dev/block", '"listed"', '"empty"', "the same"),
    Different("environment/container", '"podman"', "null", "`kube play` says so by now, too; Kubernetes does not"),
)


@pytest.fixture
def work() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="reconciler-t", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def run_ours(runtime: str, work: Path, images: Path) -> dict[str, dict[str, Any]]:
    """What the probe said in each of our containers."""
    with fresh_instance(images, "--runtime", runtime) as instance:
        out = directory(work / "ours")
        pods = [one(out, name, **fields) for name, fields in {**PODS, "host everything": HOST_FIELDS}.items()]
        instance.ok("apply", "--wait", "--timeout", 60, write(work / "ours.yaml", base(out), *pods))
        for name in EXECED:
            instance.ok("exec", f"base/{label(name)}", "--", "/bin/sh", "-c", COMMAND.format(label(name)))
        return collect(out, NAMES)


def run_podmans(runtime: str, work: Path, archive: Path, limits: dict[str, list[str]]) -> dict[str, dict[str, Any]]:
    """The same by Podman, in a store of its own."""
    out, place = directory(work / "podman"), Place()
    podman = Podman(place, work / runtime, runtime, limits)
    try:
        podman.run("load", "--quiet", "--input", archive)
        others = [one(out, name, **fields) for name, fields in PODS.items()]
        podman.run("kube", "play", write(work / "podman.yaml", base(out), *others))
        for name in EXECED:
            podman.run("exec", f"base-{label(name)}", "/bin/sh", "-c", COMMAND.format(label(name)))
        binds = [f"--volume={source}:{target}:ro" for source, target in MACHINE.values()]
        binds += [f"--volume={out}:/out", f"--volume={PROBE}:/probe.py:ro"]
        command = COMMAND.format(label("host everything"))
        podman.run("run", "--rm", *HOST_FLAGS, *binds, IMAGE, "/bin/sh", "-c", command)
        return collect(out, NAMES)
    finally:
        podman.end()
        place.end()


class Podman:
    """Its shipped configuration counts, but for limits: those that we give are what can be had on this machine."""

    def __init__(self, place: Place, work: Path, runtime: str, limits: dict[str, list[str]]) -> None:
        (work / "networks").mkdir(parents=True)
        shipped = tomllib.loads(Path("/usr/share/containers/containers.conf").read_text()).get("containers", {})
        kept = {key: shipped[key] for key in ("default_capabilities", "default_sysctls") if key in shipped}
        ulimits = [f"{name}={':'.join(limits[row])}" for name, row in (("nofile", OPEN), ("nproc", PROCESSES))]
        lines = [f"{key} = {json.dumps(value)}" for key, value in {**kept, "default_ulimits": ulimits}.items()]
        rest = f'[engine]\nevents_logger = "file"\n[network]\nnetwork_config_dir = "{work}/networks"\n'
        (work / "containers.conf").write_text("\n".join(["[containers]", *lines, rest]))
        self._environment = {**os.environ, "CONTAINERS_CONF": str(work / "containers.conf")}
        self._podman = ["podman", "--root", str(work / "root"), "--runroot", str(work / "run")]
        manager = "systemd" if "RECONCILER_TEST_SYSTEMD" in os.environ else "cgroupfs"
        self._podman += ["--tmpdir", str(work / "tmp"), "--runtime", runtime, "--cgroup-manager", manager]
        self._place = place

    def run(self, *words: str | Path) -> str:
        return self._place.run(*self._podman, *words, environment=self._environment)

    def end(self) -> None:
        self.run("pod", "rm", "--all", "--force", "--time", "0")
        remove_cgroups("libpod_parent")


PODMANS_SECCOMP = "container.seccomp.security.alpha.kubernetes.io"
OPEN, PROCESSES = "Max open files", "Max processes"


def label(name: str) -> str:
    return name.replace(" ", "-")


def directory(path: Path) -> Path:
    path.mkdir()
    path.chmod(0o777)
    return path


def probe(name: str, security: Manifest) -> Manifest:
    mounts = [{"name": volume, "mountPath": target, "readOnly": True} for volume, (_, target) in MACHINE.items()]
    mounts += [{"name": "out", "mountPath": "/out"}, {"name": "probe", "mountPath": "/probe.py", "readOnly": True}]
    command = "trap 'exit 0' TERM; sleep 1000 & wait" if name in EXECED else COMMAND.format(label(name))
    return {
        "name": label(name),
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "command": ["/bin/sh", "-c", command],
        "volumeMounts": mounts,
        "securityContext": security,
    }


def volumes(out: Path) -> list[Manifest]:
    sources = {name: source for name, (source, _) in MACHINE.items()} | {"out": str(out), "probe": str(PROBE)}
    return [{"name": name, "hostPath": {"path": path}} for name, path in sources.items()]


def base(out: Path) -> Manifest:
    containers = [probe(name, security) for name, security in {**CONTAINERS, **EXECED}.items()]
    manifest = pod("base", *containers, restartPolicy="Never", volumes=volumes(out))
    # Podman 4.3 knows the annotation only, from before Kubernetes had the field.
    manifest["metadata"]["annotations"] = {f"{PODMANS_SECCOMP}/unconfined": "unconfined"}
    return manifest


def one(out: Path, name: str, **fields: Any) -> Manifest:
    return pod(label(name), probe(name, {}), restartPolicy="Never", volumes=volumes(out), **fields)


def write(path: Path, *manifests: Manifest) -> Path:
    path.write_text("\n---\n".join(map(json.dumps, manifests)))
    return path


def collect(out: Path, names: list[str]) -> dict[str, dict[str, Any]]:
    files = {name: out / f"{label(name)}.json" for name in names}
    until(lambda: all(path.exists() for path in files.values()), "every container has told what it sees", 60)
    return {name: told(json.loads(path.read_text())) for name, path in files.items()}


DEFAULT_PROFILE = re.compile(r"^(containers-default-.*|reconciler-default)$")


def told(seen: dict[str, Any]) -> dict[str, Any]:
    """Namespaces as the host's or not, the default profile as such whatever it is called."""
    names, _, mode = seen["label"].partition(" (")
    default = sorted(DEFAULT_PROFILE.sub("default", name) for name in names.split("//&"))
    confined = mode != "unconfined)" and default != ["unconfined"]  # there are profiles that do not confine
    seen["label"] = [*default, mode] if confined else "unconfined"
    for name, found in seen["namespaces"].items():
        seen["namespaces"][name] = "host" if found == str(Path("/proc/self/ns", name).readlink()) else "own"
    return seen


def flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flat(inner, f"{path}/{key}" if path else key)
    else:
        yield path, value


def differing(podmans: dict[str, Any], ours: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Each field that differs, and both values."""
    theirs, mine = dict(flat(podmans)), dict(flat(ours))
    for field in sorted(theirs.keys() | mine.keys()):
        a, b = (json.dumps(side.get(field)) for side in (theirs, mine))
        if a != b:
            yield field, a, b


def reason_for(field: str, a: str, b: str, allowed: tuple[Different, ...]) -> Different | None:
    return next((d for d in allowed if fnmatch.fnmatch(field, d.field) and fits(d, a, b)), None)


def fits(different: Different, a: str, b: str) -> bool:
    return bool(re.fullmatch(different.podman, a) and re.fullmatch(different.ours, b))


@cache
def podmans_version() -> int:
    said = subprocess.run(["podman", "--version"], capture_output=True, text=True, check=True, timeout=60).stdout
    return int(said.split()[-1].partition(".")[0])


def allowed(name: str, runtime: str) -> tuple[Different, ...]:
    found = EVERYWHERE + (PODMAN_5 if podmans_version() >= 5 else ())
    if runtime == "runc":
        found += RUNC + (PRIVILEGED_RUNC if name == "privileged" else ())
    if name in EXECED:
        found += EXEC
    if name == "less capabilities":
        found += NEITHER_ROOT_NOR_RIGHTS
    if name.startswith("host"):
        found += HOST_NETWORK
    return found + (RUN if name == "host everything" else ())


NAMES = [*CONTAINERS, *EXECED, "host network", "shared processes", "host everything"]


@pytest.mark.parametrize("runtime", ["crun", "runc"])
def test_containers_are_confined_as_podmans(runtime: str, work: Path, loaded_images: Path, archive: Path) -> None:
    """One test, as each worker would make all the containers for its share of several."""
    ours = run_ours(runtime, work, loaded_images)
    podmans = run_podmans(runtime, work, archive, ours["plain"]["limits"])
    expect_that_the_probe_can_tell_containers_apart(ours)
    wrong, used, named = [], set(), set()
    for name in NAMES:
        reasons = allowed(name, runtime)
        named |= set(reasons)
        for field, a, b in differing(podmans[name], ours[name]):
            used.add(reason_for(field, a, b, reasons))
            if reason_for(field, a, b, reasons) is None:
                wrong.append(f"{name}: {field}: Podman {a}, ours {b}")
    assert not wrong, "\n".join(wrong)
    # What differed from an older Podman may not from a newer, which is then not what is looked at.
    needed = set(PODMAN_5) if podmans_version() >= 5 else named
    assert {d for d in needed if "*" not in d.field} - used == set(), "these are no reasons any more"


def expect_that_the_probe_can_tell_containers_apart(ours: dict[str, Any]) -> None:
    """Or the comparison could not fail."""

    def changed(name: str) -> set[str]:
        return {field.partition("/")[0] for field, _, _ in differing(ours["plain"], ours[name])}

    assert {"status", "mounts", "devices", "nodes", "syscalls", "read", "write"} <= changed("privileged")
    assert {"status", "syscalls"} <= changed("more capabilities")
    assert {"status", "environment"} <= changed("a user without a name")
    assert {"root is writable", "mounts"} <= changed("a read-only root")
    # AppArmor then keeps the profile of the runtime as well, where that has one.
    assert changed("no new privileges") - {"label"} == {"status"}
    assert {"status", "syscalls"} <= changed("unconfined")
    assert {"namespaces", "hostname"} <= changed("host network")
    assert "pid_of_init" in changed("shared processes")
    assert changed("exec") <= {"pid_of_init"}
