"""Who may read and write what an instance has on the disk: root alone, whatever the umask of who called us."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.engine.layout import Layout
from tests.host.instance import Instance, until
from tests.host.lives import sleeper
from tests.host.manifests import Manifest, pod, put

pytestmark = pytest.mark.host

SECRET_NAMES = ("record.json", "state.json", "config.json", "objects.json", "digest.key", "state.db", "state.db-wal")
OPEN_FILES = {"termination-log"}
"""What a container's user writes. Nobody else comes to it: the directories above are closed."""


def manifests(image: str) -> list[Manifest]:
    volumes = [
        {"name": "empty", "emptyDir": {}},
        {"name": "secret", "secret": {"secretName": "s"}},
        {"name": "claim", "persistentVolumeClaim": {"claimName": "data"}},
    ]
    mounts = [{"name": v["name"], "mountPath": f"/{v['name']}"} for v in volumes]
    user = {
        "securityContext": {"runAsUser": 1000},
        "volumeMounts": mounts,
        "env": [{"name": "P", "valueFrom": {"secretKeyRef": {"name": "s", "key": "password"}}}],
        "lifecycle": {"postStart": {"exec": {"command": ["true"]}}},
    }
    storage = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"password": "hunter2"}},
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": storage},
        pod("user", sleeper("one", image, **user), volumes=volumes),
        pod("apart", sleeper("one", image, securityContext={"runAsUser": 1000}), hostUsers=False),
    ]


@pytest.mark.parametrize("umask", [0o000, 0o077], ids=["0", "077"])
def test_the_state_is_roots_and_containers_have_what_they_need(
    umask: int, instance: Instance, image: str, folder: Path, tmp_path: Path
) -> None:
    def ok(*words: object) -> str:
        done = instance.run(*words, umask=umask)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    put(folder / "all.yaml", *manifests(image))
    ok("apply", "--wait", "--timeout", 60, folder)
    cidfile = tmp_path / "cid"
    ok("run", "-d", "-t", "--name", "own", "-v", "named:/data", "--cidfile", cidfile, image, "sleep", "1000")
    ok("suspend", "user")
    ok("network", "create", "other")
    script = "cat /secret/password && echo x >/empty/file && grep user /etc/hosts && ls / && cat /etc/resolv.conf"
    assert "hunter2" in ok("exec", "user", "--", "sh", "-c", script)
    assert "etc" in ok("exec", "apart", "--", "ls", "/")
    layout = instance.engine.layout
    until(lambda: list(layout.logs.glob("*/one/0.log")), "there are logs")

    assert stat.S_IMODE(cidfile.stat().st_mode) == 0o666 & ~umask, "the user's own files are as he has them"
    assert {stat.S_IMODE(path.stat().st_mode) for path in (layout.state, layout.run)} == {0o700}
    ours = list(entries(layout))
    assert {path.name for path, _ in ours} >= {"record.json", "objects.json", "digest.key", "zygote.sock"}
    too_open = [
        (str(path), oct(mode))
        for path, mode in ours
        if (mode & 0o022 and path.name not in OPEN_FILES) or (is_secret(path, layout) and mode & 0o077)
    ]
    assert too_open == []
    logs = {stat.S_IMODE(p.stat().st_mode) for p in (layout.logs, *layout.logs.rglob("*")) if p.is_dir()}
    assert logs == {0o755}
    assert {stat.S_IMODE(p.stat().st_mode) for p in layout.logs.rglob("*.log")} == {0o640}


def is_secret(path: Path, layout: Layout) -> bool:
    return path.name in SECRET_NAMES or path.is_socket() or layout.hand in path.parents


def entries(layout: Layout) -> Iterator[tuple[Path, int]]:
    """All that there is but what images and containers have brought, with its mode."""
    for start in (layout.state, layout.run):
        for top, directories, names in os.walk(start):
            inner = {"fs", "upper", "work", "_data", "rootfs"} | {d for d in directories if d.startswith("infra-")}
            in_pod = Path(top).parent.parent == layout.pods and Path(top).name == "volumes"
            directories[:] = [] if in_pod else [name for name in directories if name not in inner]
            for path in (Path(top) / name for name in (*directories, *names)):
                if not path.is_symlink():
                    yield path, stat.S_IMODE(path.stat().st_mode)
