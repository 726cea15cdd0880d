"""What lies on disk for containers is for root alone: no user of this machine gets at their set-user-id files."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.host.instance import Instance
from tests.host.manifests import Manifest, container, pod, put

pytestmark = pytest.mark.host

NOBODY = 65534
OPEN = 0o711
"""What an older version gave to the directories of an instance."""

SHELL = "cp /bin/busybox {0} && chown 0:0 {0} && chmod 4755 {0}"


def test_no_user_of_the_machine_reaches_a_set_user_id_file(instance: Instance, image: str, folder: Path) -> None:
    instance.ok("apply", "--wait", "--timeout", 60, put(folder / "pods.yaml", *pods(image)))
    for name in ("shared", "own"):
        for place in ("/empty/shell", "/shell"):
            instance.ok("exec", f"{name}/root", "--", "sh", "-c", SHELL.format(place))
    expect_users_to_work(instance)

    state = instance.engine.layout.state
    upper = only(state.glob("containers/*/upper/shell"), owner_of_root)
    volumes = tuple(state.glob("pods/*/volumes/empty/shell"))
    layer = only(state.glob("images/layers/*/fs/bin/busybox"))
    tool = layer.with_name("shell")
    shutil.copy(layer, tool)
    tool.chmod(0o4755)
    hidden = (upper, *volumes, tool)
    assert len(hidden) == 4 and all(path.stat().st_mode & 0o4001 == 0o4001 for path in hidden)
    assert not [path for path in hidden if reached(path)]

    # As an older version left it: then they are, and the next command ends that.
    layout = instance.engine.layout
    for path in (layout.state, layout.pods, layout.containers, layout.images, layout.images / "layers"):
        path.chmod(OPEN)
    assert all(map(reached, hidden))
    instance.ok("get", "pods")
    assert not [path for path in hidden if reached(path)]
    expect_users_to_work(instance)
    tool.unlink()


def pods(image: str) -> tuple[Manifest, Manifest]:
    """Each with a root and another user, who share a volume; one has users of its own."""

    def member(name: str, user: int) -> Manifest:
        mounts = [{"name": "empty", "mountPath": "/empty"}]
        return container(name, image, imagePullPolicy="Never", securityContext={"runAsUser": user}, volumeMounts=mounts)

    def one(name: str, host_users: bool) -> Manifest:
        return pod(
            name,
            member("root", 0),
            member("user", 1000),
            hostUsers=host_users,
            securityContext={"fsGroup": 99},
            volumes=[{"name": "empty", "emptyDir": {}}],
        )

    return one("shared", True), one("own", False)


def expect_users_to_work(instance: Instance) -> None:
    for name in ("shared", "own"):
        script = "echo mine >/empty/file && stat -c %u:%g /empty/file && cat /etc/hostname && rm /empty/file"
        said = instance.ok("exec", f"{name}/user", "--", "sh", "-c", script)
        assert said.split() == ["1000:99", name]


def only(paths: object, fits: Callable[[Path], bool] = lambda _: True) -> Path:
    (path,) = (path for path in paths if fits(path))  # type: ignore[attr-defined]
    return path


def owner_of_root(path: Path) -> bool:
    return path.stat().st_uid == 0


def reached(path: Path) -> bool:
    """Whether anybody may run the file: with its set-user-id bit that is as root."""
    words = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "test", "-x", str(path)]
    return subprocess.run(words, timeout=60, check=False).returncode == 0
