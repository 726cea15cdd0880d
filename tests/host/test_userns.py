"""hostUsers: false: root in the pod is nobody on this machine, and everything works all the same."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.engine import idmaps, users
from reconciler.linux.syscalls import KERNEL, MountFlag
from reconciler.model.key import Key
from tests.host.conftest import IMAGE
from tests.host.instance import Instance, fresh_instance, until
from tests.host.manifests import Manifest, container, pod, put

pytestmark = pytest.mark.host

IDS = 65536


@pytest.fixture(params=["crun", "runc"], scope="module")
def there(request: pytest.FixtureRequest, loaded_images: Path) -> Iterator[Instance]:
    with fresh_instance(loaded_images, "--runtime", request.param) as instance:
        yield instance


def member(name: str, **fields: Any) -> Manifest:
    return container(name, IMAGE, imagePullPolicy="Never", **fields)


def apply(there: Instance, folder: Path, *manifests: Manifest) -> None:
    there.ok("apply", "--wait", "--timeout", 60, put(folder / "pods.yaml", *manifests))


def inside(there: Instance, place: str, script: str) -> str:
    return there.ok("exec", place, "--", "sh", "-c", script)


def first_id(there: Instance, place: str) -> int:
    inner, outer, count = map(int, inside(there, place, "cat /proc/self/uid_map").split())
    assert (inner, count) == (0, IDS)
    return outer


def manifest_of(host: Path) -> Manifest:
    """One member is root, the other user 33 with a /proc of which nothing is hidden."""
    empty = {"name": "empty", "mountPath": "/empty"}
    mounts = [empty, {"name": "host", "mountPath": "/host"}, {"name": "file", "mountPath": "/file"}]
    sources = {"host": str(host), "file": str(host / "file")}
    return pod(
        "users",
        member("root", volumeMounts=mounts, ports=[{"containerPort": 80, "hostPort": 18099}]),
        member("user", securityContext={"runAsUser": 33, "procMount": "Unmasked"}, volumeMounts=[empty]),
        hostUsers=False,
        securityContext={
            "fsGroup": 99,
            "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "80"}],
        },
        volumes=[{"name": n, "hostPath": {"path": p}} for n, p in sources.items()]
        + [{"name": "empty", "emptyDir": {}}],
    )


def test_a_pod_with_users_of_its_own(there: Instance, folder: Path, tmp_path: Path) -> None:
    """One life of one pod; made once, as each step is cheap beside it."""
    host = tmp_path / "host"
    host.mkdir()
    (host / "file").write_text("of the host\n")
    manifest = manifest_of(host)
    apply(there, folder, manifest)
    begin = first_id(there, "users/root")
    before = there.running("users")
    owners = {name: Path(f"/proc/{ref.pid}").stat().st_uid for name, ref in before.items()}
    assert owners == {"infra": begin, "root": begin, "user": begin + 33}

    expect_files_with_the_owners_that_containers_see(there, host)
    expect_the_machine_out_of_reach(there)
    expect_a_published_port(there)
    assert "root is up" in there.ok("logs", "users/root")
    assert json.loads(there.ok("get", "pods", "users", "-o", "json"))["spec"]["hostUsers"] is False

    # An edit replaces one member, which joins the same namespace; the volume is as it was.
    manifest["spec"]["containers"][0]["env"][0]["value"] = "again"
    apply(there, folder, manifest)
    after = there.running("users")
    assert {name for name in after if after[name] == before[name]} == {"infra", "user"}
    assert first_id(there, "users/root") == begin
    assert inside(there, "users/root", "cat /empty/d; test -e /c || echo fresh") == "d\nfresh\n"


def expect_files_with_the_owners_that_containers_see(there: Instance, host: Path) -> None:
    script = "stat -c %u:%g / /bin/busybox /etc/hosts /empty /host/file /file /dev/shm; cat /file; id -u; id -G"
    seen = inside(there, "users/root", script).splitlines()
    assert seen == [*["0:0"] * 3, "0:99", *["0:0"] * 3, "of the host", "0", "0 99"]
    inside(there, "users/root", "echo a >/empty/a; echo b >/host/b; chown 7:8 /host/b; echo c >/c; rm /bin/vi")
    made = (host / "b").stat()
    assert (made.st_uid, made.st_gid) == (7, 8)
    script = "cat /empty/a; echo d >/empty/d; stat -c %u:%g /empty/d; echo e >/dev/shm/e"
    assert inside(there, "users/user", script) == "a\n33:99\n"
    script = "cat /dev/shm/e; hostname; grep -q users /etc/hosts && echo known"
    assert inside(there, "users/root", script).split() == ["e", "users", "known"]


def expect_the_machine_out_of_reach(there: Instance) -> None:
    assert inside(there, "users/root", "(echo 5 >/proc/sys/kernel/panic) 2>/dev/null || echo no") == "no\n"
    assert inside(there, "users/root", "grep -c ' /proc/' /proc/mounts || true") != "0\n"
    assert inside(there, "users/user", "grep -c ' /proc/' /proc/mounts || true") == "0\n"
    assert "(ro" in inside(there, "users/root", "mount | grep ' on /sys '")
    assert inside(there, "users/user", "cat /proc/sys/net/ipv4/ip_unprivileged_port_start") == "80\n"
    status = inside(there, "users/root", "cat /proc/self/status")
    assert "Seccomp:\t2" in status and "CapEff:\t00000000800405fb" in status


def expect_a_published_port(there: Instance) -> None:
    inside(there, "users/user", "httpd -p 80 -h /etc")

    def fetch() -> str:
        words = ["busybox", "wget", "-q", "-O-", "http://127.0.0.1:18099/hostname"]
        return subprocess.run(words, capture_output=True, text=True, timeout=20, check=False).stdout

    assert until(fetch, "the port answers") == "users\n"


def test_no_two_pods_have_users_in_common_and_a_privileged_one_has_no_more(there: Instance, folder: Path) -> None:
    free = member("one", securityContext={"privileged": True})
    apply(there, folder, *(pod(f"u{n}", free, hostUsers=False, shareProcessNamespace=True) for n in range(2)))
    a, b = (first_id(there, f"u{n}/one") for n in range(2))
    assert abs(a - b) >= IDS
    assert inside(there, "u0/one", "cat /proc/1/comm") == "catatonit\n"
    script = "mount -t tmpfs none /mnt && echo mounts; (echo 0 >/proc/sys/kernel/panic) 2>/dev/null || echo no"
    assert inside(there, "u0/one", f"mkdir /mnt; {script}").split() == ["mounts", "no"]
    assert Path("/dev/null").stat().st_uid == 0


def test_what_cannot_be_had_is_told(there: Instance, folder: Path) -> None:
    """Before what runs is stopped for it."""
    apply(there, folder, pod("sys", member("one"), hostUsers=False))
    before = there.running("sys")
    mounted = member("one", volumeMounts=[{"name": "sys", "mountPath": "/k"}])
    for place in ("/sys/kernel", "/"):  # the latter has others mounted below it
        volumes = [{"name": "sys", "hostPath": {"path": place}}]
        manifest = pod("sys", mounted, hostUsers=False, volumes=volumes)
        done = there.run("apply", put(folder / "pod.yaml", manifest))
        said = "a file system there cannot show its files with other owners (hostUsers: false)"
        assert done.returncode == 1
        assert f"cannot mount volume sys: hostPath {place}: {said}" in done.stdout + done.stderr
        assert there.running("sys") == before
        assert len(there.engine.observe(Key("default", "sys"), None).containers) == 1, "no other was tried"
    there.root.chmod(0o700)
    try:
        done = there.run("apply", put(folder / "other.yaml", pod("shut", member("one"), hostUsers=False)))
    finally:
        there.root.chmod(0o711)
    assert done.returncode == 1
    assert f"{there.root} is closed to others" in done.stdout + done.stderr


def test_instances_and_others_on_the_machine_have_no_ids_in_common(
    there: Instance, loaded_images: Path, folder: Path, tmp_path: Path
) -> None:
    """Out of one pool of five ranges, of which somebody else (podman, say) has one in use: two instances that make two
    pods each, all at the same time."""
    pool, free = 1_000_000_000, member("one")
    stranger = subprocess.Popen(["unshare", "--user", "sleep", "1000"])
    with fresh_instance(loaded_images, "--runtime", there.runtime or "") as other:
        try:
            until(lambda: own_namespace(stranger.pid), "the stranger is in a namespace of its own")
            taken = pool + 3 * IDS
            Path(f"/proc/{stranger.pid}/uid_map").write_text(f"0 {taken + 7} 1\n")
            for instance in (there, other):
                instance.engine.layout.config.write_text(f'[security]\nuserns_ids = "{pool}:{5 * IDS}"\n')
            files = [
                put(tmp_path / f"{name}.yaml", *(pod(f"{name}{n}", free, hostUsers=False) for n in range(2)))
                for name in ("here", "other")
            ]
            words = ("apply", "--wait", "--timeout", 60)
            makers = [
                subprocess.Popen(instance.command(*words, file), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                for instance, file in zip((there, other), files, strict=True)
            ]
            for maker in makers:
                said, _ = maker.communicate(timeout=90)
                assert maker.returncode == 0, said
            firsts = [first_id(there, f"here{n}/one") for n in range(2)]
            firsts += [first_id(other, f"other{n}/one") for n in range(2)]
            assert sorted([*firsts, taken]) == [pool + n * IDS for n in range(5)]
            done = there.run("apply", put(folder / "more.yaml", pod("more", free, hostUsers=False)))
            assert done.returncode == 1
            assert "none of the 5 ranges of 65536 ids is free" in done.stdout + done.stderr
            stranger.kill()
            stranger.wait()
            apply(there, folder, pod("more", free, hostUsers=False))
            assert first_id(there, "more/one") == taken
        finally:
            stranger.kill()
            stranger.wait()
            there.engine.layout.config.unlink(missing_ok=True)


def own_namespace(pid: int) -> bool:
    return Path(f"/proc/{pid}/ns/user").stat().st_ino != Path("/proc/self/ns/user").stat().st_ino


def test_what_podman_gave_out_of_the_same_entry_is_left_to_it(
    there: Instance, folder: Path, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`podman create --userns=auto`, twice; its containers do not run. It has the lowest ids, our pod others."""
    pool = 1_500_000_000
    (tmp_path / "subids").write_text(f"containers:{pool}:{2 * IDS}\n")
    (tmp_path / "storage.conf").write_text(
        f'[storage]\ndriver = "vfs"\ngraphroot = "{tmp_path}/g"\nrunroot = "{tmp_path}/r"\n'
    )
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", str(tmp_path / "storage.conf"))
    for path in users.SUBIDS:
        KERNEL.mount(str(tmp_path / "subids"), str(path), "", MountFlag.BIND)
    try:
        subprocess.run(["podman", "load", "-qi", archive], check=True, timeout=60, stdout=subprocess.DEVNULL)
        for _ in range(2):
            words = ["podman", "create", "--userns=auto:size=40000", IMAGE, "true"]
            subprocess.run(words, check=True, timeout=60, stdout=subprocess.DEVNULL)
        assert set(idmaps.of_podman()) == {(pool, 40000), (pool + 40000, 40000)}
        done = there.run("apply", put(folder / "full.yaml", pod("full", member("one"), hostUsers=False)))
        assert "none of the 2 ranges of 65536 ids is free" in done.stdout + done.stderr
        subprocess.run(["podman", "rm", "--latest"], check=True, timeout=60, stdout=subprocess.DEVNULL)
        apply(there, folder, pod("full", member("one"), hostUsers=False))
        assert first_id(there, "full/one") == pool + IDS
    finally:
        for path in users.SUBIDS:
            KERNEL.umount(str(path))
