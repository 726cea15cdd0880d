"""What a manifest asks for in its security contexts, asked from inside real containers, with both runtimes."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.host.conftest import IMAGE
from tests.host.instance import Instance, fresh_instance
from tests.host.manifests import Manifest, container, pod, put

pytestmark = pytest.mark.host

NO_MKDIR = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}],
}


@pytest.fixture(params=["crun", "runc"], scope="module")
def there(request: pytest.FixtureRequest, loaded_images: Path) -> Iterator[Instance]:
    """An instance for all tests of one runtime; each uses pods of its own."""
    with fresh_instance(loaded_images, "--runtime", request.param) as instance:
        yield instance


def member(name: str, **fields: Any) -> Manifest:
    return container(name, IMAGE, imagePullPolicy="Never", **fields)


def apply(there: Instance, folder: Path, manifest: Manifest) -> None:
    there.ok("apply", "--wait", "--timeout", 60, put(folder / "pod.yaml", manifest))


def refused(there: Instance, folder: Path, manifest: Manifest) -> str:
    """What is said of a manifest that cannot run here as things stand."""
    file = put(folder / "pod.yaml", manifest)
    done = there.run("apply", file)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout + done.stderr


def inside(there: Instance, place: str, script: str) -> str:
    return there.ok("exec", place, "--", "sh", "-c", script)


def test_groups_volumes_and_sysctls_of_the_pod(there: Instance, folder: Path, tmp_path: Path) -> None:
    host = tmp_path / "host"
    host.mkdir()
    context = {
        "supplementalGroups": [77, 66],
        "fsGroup": 99,
        "runAsUser": 33,
        "runAsGroup": 7,
        "runAsNonRoot": True,
        "sysctls": [
            {"name": "net.ipv4.ip_unprivileged_port_start", "value": "80"},
            {"name": "kernel/shm_rmid_forced", "value": "1"},
        ],
    }
    mounts = [{"name": "empty", "mountPath": "/empty"}, {"name": "host", "mountPath": "/host"}]
    volumes = [{"name": "empty", "emptyDir": {}}, {"name": "host", "hostPath": {"path": str(host)}}]
    one, other = member("one", volumeMounts=mounts), member("other", volumeMounts=mounts[:1])
    apply(there, folder, pod("groups", one, other, securityContext=context, volumes=volumes))
    script = (
        "id -u; id -g; id -G; cd /empty; (umask 077; mkdir d); echo x >d/f; stat -c %a:%g . d d/f; stat -c %a:%g /host"
    )
    seen = inside(there, "groups/one", script).splitlines()
    assert seen[:2] == ["33", "7"]
    assert set(seen[2].split()) == {"7", "66", "77", "99"}
    assert seen[3:] == ["2777:99", "2700:99", "644:99", f"{stat.S_IMODE(host.stat().st_mode):o}:{host.stat().st_gid}"]
    assert inside(there, "groups/other", "cat /empty/d/f") == "x\n"
    values = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced"
    assert inside(there, "groups/other", values) == "80\n1\n"
    assert Path("/proc/sys/kernel/shm_rmid_forced").read_text() == "0\n"
    shown = json.loads(there.ok("get", "pods", "groups", "-o", "json"))
    assert shown["spec"]["securityContext"]["fsGroup"] == 99
    assert shown["spec"]["containers"][0]["securityContext"]["runAsNonRoot"] is True


def test_another_fs_group_replaces_the_members_and_changes_what_the_volume_holds(there: Instance, folder: Path) -> None:
    mounts = [{"name": "empty", "mountPath": "/empty"}]
    manifest = pod("moved", member("one", volumeMounts=mounts), volumes=[{"name": "empty", "emptyDir": {}}])
    apply(there, folder, manifest)
    inside(there, "moved/one", "umask 077; echo x >/empty/f")
    before = there.running("moved")
    manifest["spec"]["securityContext"] = {"fsGroup": 55}
    apply(there, folder, manifest)
    assert inside(there, "moved/one", "stat -c %a:%g /empty /empty/f; id -G").split() == [
        "2777:55",
        "660:55",
        "0",
        "55",
    ]
    assert {name for name, pid in there.running("moved").items() if before[name] == pid} == {"infra"}


def test_a_seccomp_profile_of_the_machine(there: Instance, folder: Path) -> None:
    wanted = {"seccompProfile": {"type": "Localhost", "localhostProfile": "mine/no-mkdir.json"}}
    manifest = pod("filtered", member("one", securityContext=wanted), member("other"))
    path = there.engine.layout.state / "seccomp" / "mine" / "no-mkdir.json"
    assert f"cannot use seccomp profile mine/no-mkdir.json: {path} does not exist" in refused(there, folder, manifest)
    path.parent.mkdir(parents=True)
    path.write_text('{"defaultAction": "SCMP_ACT_ALOW"}')
    assert "defaultAction: Invalid enum value 'SCMP_ACT_ALOW'" in refused(there, folder, manifest)
    path.write_text(json.dumps(NO_MKDIR))
    apply(there, folder, manifest)
    assert "not supported" in inside(there, "filtered/one", "mkdir /x 2>&1 || true")
    assert inside(there, "filtered/other", "mkdir /x 2>&1 || true") == ""


def test_a_seccomp_profile_that_is_unconfined_is_none(there: Instance, folder: Path) -> None:
    wanted = {"seccompProfile": {"type": "Unconfined"}}
    apply(there, folder, pod("free", member("one", securityContext=wanted), member("other")))
    assert inside(there, "free/one", "grep Seccomp: /proc/self/status").split() == ["Seccomp:", "0"]
    assert inside(there, "free/other", "grep Seccomp: /proc/self/status").split() == ["Seccomp:", "2"]


@pytest.mark.parametrize(
    ("context", "says"),
    [
        ({}, "container has runAsNonRoot and image will run as root"),
        ({"runAsUser": 0}, "container's runAsUser breaks non-root policy"),
    ],
)
def test_a_container_that_must_not_be_root(context: Manifest, says: str, there: Instance, folder: Path) -> None:
    name = f"nonroot{len(context)}"
    manifest = pod(name, member("one"), securityContext={"runAsNonRoot": True, **context})
    assert says in refused(there, folder, manifest)


def test_a_sysctl_that_is_not_safe_needs_the_owners_word(there: Instance, folder: Path) -> None:
    context = {"sysctls": [{"name": "net.core.somaxconn", "value": "77"}]}
    manifest = pod("unsafe", member("one"), securityContext=context)
    assert "cannot set sysctl net.core.somaxconn: it is not one of the safe ones" in refused(there, folder, manifest)
    there.engine.layout.config.write_text('[security]\nallowed_unsafe_sysctls = ["net.core.*"]\n')
    apply(there, folder, manifest)
    assert inside(there, "unsafe/one", "cat /proc/sys/net/core/somaxconn") == "77\n"
    there.engine.layout.config.unlink()
    apply(there, folder, manifest)  # what runs goes on


def test_the_limits_that_the_owner_decided(there: Instance, folder: Path) -> None:
    there.engine.layout.config.write_text('[security]\ndefault_ulimits = ["nofile=100:200", "core=0"]\n')
    try:
        apply(there, folder, pod("limits", member("one")))
    finally:
        there.engine.layout.config.unlink()
    script = "grep -E 'open files|core file' /proc/1/limits; ulimit -n; ulimit -Hn; ulimit -c"
    core, files, *command = inside(there, "limits/one", script).splitlines()
    assert (core.split()[4:6], files.split()[3:5]) == (["0", "0"], ["100", "200"])
    # What runc executes later has the soft limit of files or the hard one (1.1: its Go raises it for itself, at times
    # after the limit was set, and does not take it back), and nobody can set it before the command begins.
    assert command[1:] == ["200", "0"]
    assert command[0] == "100" or (there.runtime == "runc" and command[0] == "200")


def test_what_the_machine_does_not_let_us_give_is_told(there: Instance) -> None:
    told = json.loads(there.ok("info", "--format", "json"))["security"]
    facts = there.engine.context.facts
    assert told["limits"] == ", ".join(map(str, facts.rlimits))
    assert all(sentence in told.get("less than wanted", []) for sentence in facts.clamped)


def test_a_user_in_a_container_cannot_reach_our_files_through_its_streams(
    there: Instance, folder: Path, tmp_path: Path
) -> None:
    """crun gives the streams of a process to its user: the machine's /dev/null, or a file we redirect."""
    apply(there, folder, pod("streams", member("one", securityContext={"runAsUser": 33})))
    script = "chmod 700 /proc/self/fd/0 /proc/1/fd/0; cat; echo said; echo told >&2"
    file = tmp_path / "file"
    file.write_text("read\n")
    with file.open() as source, (tmp_path / "out").open("w") as out:
        words = there.command("exec", "-i", "streams", "--", "sh", "-c", script)
        done = subprocess.run(words, stdin=source, stdout=out, stderr=out, timeout=60, check=False)
    assert done.returncode == 0
    lines = (tmp_path / "out").read_text().splitlines()[-3:]
    # runc copies each stream by itself: one may overtake the other.
    assert lines == ["read", "said", "told"] or (there.runtime == "runc" and sorted(lines) == ["read", "said", "told"])
    for path in (file, tmp_path / "out", Path("/dev/null")):
        info = path.stat()
        assert (info.st_uid, stat.S_IMODE(info.st_mode) & 0o777) == (0, 0o666 if path.name == "null" else 0o644), path


def test_what_a_command_leaves_running_is_not_waited_for(there: Instance, folder: Path, tmp_path: Path) -> None:
    """By us: runc does wait for who holds the streams."""
    if there.runtime == "runc":
        return
    apply(there, folder, pod("left", member("one")))
    with (tmp_path / "out").open("w") as out:
        words = there.command("exec", "left", "--", "sh", "-c", "sleep 1000 & echo said")
        done = subprocess.run(words, stdout=out, timeout=30, check=False)
    assert (done.returncode, (tmp_path / "out").read_text()) == (0, "said\n")


def test_a_loop_keeps_what_it_reads_unless_a_command_is_to_have_it(there: Instance, folder: Path) -> None:
    apply(there, folder, pod("loop", member("one")))
    for option, said in (("", "one: two: three:"), ("-i", "one:twothree")):
        words = " ".join(there.command("exec", *option.split(), "loop", "--", "cat"))
        loop = f"while read line; do echo $line:; {words}; done"
        done = subprocess.run(["sh", "-c", loop], input="one\ntwo\nthree\n", capture_output=True, text=True, timeout=60)
        assert "".join(done.stdout.split()) == said.replace(" ", ""), done.stderr


def test_a_command_gets_nothing_of_the_terminal_it_is_started_from(there: Instance, folder: Path) -> None:
    """Neither its device, to read or to put words into, nor its owner: that stays the user who sits there."""
    apply(there, folder, pod("terminal", member("one", securityContext={"runAsUser": 33})))
    ours, theirs = os.openpty()
    try:
        os.fchown(theirs, 1234, 5)
        before = os.fstat(theirs)
        for options in ([], ["-i"]):
            os.write(ours, b"typed\n")
            script = "for n in 0 1 2; do readlink /proc/self/fd/$n; done; read word; echo got $word"
            words = there.command("exec", *options, "terminal", "--", "sh", "-c", script)
            done = subprocess.run(words, stdin=theirs, stdout=theirs, stderr=theirs, timeout=60, check=False)
            assert done.returncode == 0
            said = read_until(ours, b"got.*\r\n").split("\r\n")
            seen = [line.partition(":")[0].strip() for line in said if line and line != "typed"]
            assert seen == [*["pipe"] * 3, "got typed" if options else "got"]
            after = os.fstat(theirs)
            assert (after.st_uid, after.st_gid, after.st_mode) == (1234, 5, before.st_mode)
    finally:
        os.close(ours)
        os.close(theirs)


def read_until(fd: int, pattern: bytes) -> str:
    said = b""
    while not re.search(pattern, said):
        said += os.read(fd, 65536)
    return said.decode()
