"""AppArmor at work, where the kernel has it: who is under which profile, what it denies, and what it must not."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.engine import apparmor
from tests.host.instance import Instance, until
from tests.host.manifests import Manifest, container, pod, put


def kernel_has_it() -> bool:
    try:
        return apparmor.ENABLED.read_text().strip() == "Y" and apparmor.LOADED.exists()
    except OSError:
        return False


pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(not kernel_has_it(), reason="this kernel has no AppArmor"),
    pytest.mark.skipif(not shutil.which("apparmor_parser", path="/usr/sbin:/sbin"), reason="no apparmor_parser"),
]

MINE = "reconciler-test-mine"
PROFILE = f"profile {MINE} flags=(attach_disconnected) {{ file, capability, network, signal, deny /secret r, }}"
SYS_ADMIN = {"add": ["SYS_ADMIN"]}
MOUNT = "mount -t tmpfs none /tmp && echo mounted"
LABEL = "cat /proc/self/attr/current"


def confined(name: str, image: str, kind: str = "", **context: object) -> Manifest:
    """A container under the profile ``kind``; "": what the manifest says nothing about."""
    profile = {"appArmorProfile": {"type": kind}} if kind else {}
    return container(name, image, securityContext={**profile, **context})


def label(instance: Instance, place: str) -> str:
    """That of the container's first process."""
    pid = instance.running(place.partition("/")[0])[place.partition("/")[2]].pid
    return Path(f"/proc/{pid}/attr/current").read_text().strip()


def pid_inside(instance: Instance, name: str) -> str:
    """The id of a container's first process in the namespace of its pod ``p``."""
    status = Path(f"/proc/{instance.running('p')[name].pid}/status").read_text()
    return next(line.split()[-1] for line in status.splitlines() if line.startswith("NSpid:"))


def apply(instance: Instance, folder: Path, *manifests: Manifest) -> None:
    put(folder / "pods.yaml", *manifests)
    instance.ok("apply", "--wait", "--timeout", 60, folder)


@pytest.fixture(params=["crun", "runc"])
def there(request: pytest.FixtureRequest, root: Path, image: str) -> Iterator[Instance]:
    made = Instance(root, "--runtime", request.param)
    yield made
    made.remove_everything()
    assert made.leaks() == ()


def test_each_container_is_under_the_profile_that_its_manifest_names(there: Instance, image: str, folder: Path) -> None:
    default = f"{apparmor.DEFAULT} (enforce)"
    containers = (
        confined("plain", image),
        confined("same", image, "RuntimeDefault"),
        confined("free", image, "Unconfined"),
        confined("mighty", image, privileged=True),
        confined("both", image, "RuntimeDefault", privileged=True),
    )
    apply(there, folder, pod("p", *containers))
    assert apparmor.DEFAULT in label(there, "p/infra")
    wanted = {"plain": default, "same": default, "free": "unconfined", "mighty": "unconfined", "both": "unconfined"}
    assert {name: label(there, f"p/{name}") for name in wanted} == wanted
    assert {name: there.ok("exec", f"p/{name}", "--", "sh", "-c", LABEL).strip("\0\n") for name in wanted} == wanted
    assert apparmor.DEFAULT in there.ok("info")


def test_the_default_profile_denies_what_a_capability_would_allow(there: Instance, image: str, folder: Path) -> None:
    one = confined("one", image, capabilities=SYS_ADMIN)
    other = confined("other", image, "Unconfined", capabilities=SYS_ADMIN)
    apply(there, folder, pod("p", one, other))
    denied = there.run("exec", "p/one", "--", "sh", "-c", MOUNT)
    assert "mounted" not in denied.stdout
    assert "ermission denied" in denied.stdout + denied.stderr
    assert there.ok("exec", "p/other", "--", "sh", "-c", MOUNT).strip() == "mounted"


def test_the_default_profile_lets_signals_and_tracing_of_the_pod_pass(
    there: Instance, image: str, folder: Path
) -> None:
    """From outside (a stop with its grace), between containers, and from what is executed in one."""
    serve = 'trap "echo ended >/keep/$0; exit 0" TERM; while :; do sleep 1000 & wait; done'
    mounts = [{"name": "keep", "mountPath": "/keep"}]
    keep = folder.parent / "keep"
    keep.mkdir()
    made = [container(n, image, command=["sh", "-c", serve, n], volumeMounts=mounts) for n in ("one", "two", "three")]
    manifest = pod(
        "p", *made, volumes=[{"name": "keep", "hostPath": {"path": str(keep)}}], shareProcessNamespace=True,
        restartPolicy="Never", terminationGracePeriodSeconds=600,
    )  # fmt: skip
    apply(there, folder, manifest)
    two = pid_inside(there, "two")
    assert there.ok("exec", "p/one", "--", "readlink", f"/proc/{two}/exe").endswith("/busybox\n"), "as a tracer may"
    there.ok("exec", "p/one", "--", "kill", two)
    until(lambda: (keep / "two").exists(), "one container's process ends another's")
    there.ok("down", folder)
    assert sorted(path.name for path in keep.iterdir()) == ["one", "three", "two"], "each was asked to end"


def test_the_default_profile_lets_them_pass_where_no_privileges_are_gained(
    there: Instance, image: str, folder: Path
) -> None:
    """With no_new_privs the kernel keeps the profile of the runtime beside ours, where that has one (Debian 13)."""
    bounded, free = confined("bounded", image, allowPrivilegeEscalation=False), confined("free", image)
    apply(there, folder, pod("p", bounded, free, shareProcessNamespace=True))
    assert apparmor.DEFAULT in label(there, "p/bounded")
    own = "sleep 1000 & readlink /proc/$!/exe && kill $! && wait $!; echo $?"
    assert there.ok("exec", "p/bounded", "--", "sh", "-c", own).split() == ["/bin/busybox", "143"]
    for one, other in (("bounded", "free"), ("free", "bounded")):
        there.ok("exec", f"p/{one}", "--", "readlink", f"/proc/{pid_inside(there, other)}/exe")
        there.ok("exec", f"p/{one}", "--", "kill", "-CONT", pid_inside(there, other))


def test_a_profile_of_the_machine_counts_once_it_is_loaded(there: Instance, image: str, folder: Path) -> None:
    one = container("one", image, securityContext={"appArmorProfile": {"type": "Localhost", "localhostProfile": MINE}})
    put(folder / "pods.yaml", pod("p", one))
    refused = there.run("apply", folder)
    assert f"cannot use AppArmor profile {MINE}: it is not loaded" in refused.stdout + refused.stderr
    subprocess.run(["apparmor_parser", "--replace"], input=PROFILE, text=True, check=True, timeout=60)
    try:
        there.ok("apply", "--wait", "--timeout", 60, folder)
        assert label(there, "p/one") == f"{MINE} (enforce)"
        script = "echo x >/secret; cat /secret || echo denied"
        assert "denied" in there.ok("exec", "p/one", "--", "sh", "-c", script)
        there.ok("down", folder)
    finally:
        subprocess.run(["apparmor_parser", "--remove"], input=PROFILE, text=True, check=True, timeout=60)
