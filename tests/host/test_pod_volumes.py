"""Volumes of manifests as processes in the pod see them."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.host.instance import Instance
from tests.host.manifests import Manifest, container, pod, put

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


def mount(name: str, path: str, **fields: Any) -> Manifest:
    return {"name": name, "mountPath": path, **fields}


def apply(instance: Instance, folder: Path, *manifests: Manifest) -> None:
    put(folder / "web.yaml", *manifests)
    instance.ok("apply", "--wait", "--timeout", 60, folder)


def inside(instance: Instance, name: str, path: str) -> Path:
    """A path as a running member of the pod `web` sees it."""
    return Path(f"/proc/{instance.running('web')[name].pid}/root{path}")


def mounted(instance: Instance, name: str, path: str) -> list[str]:
    """The line of /proc/PID/mountinfo of what a member has at ``path``."""
    table = inside(instance, name, "/proc/1/mountinfo").read_text().splitlines()
    return next(row for row in map(str.split, table) if row[4] == path)


def test_memory_is_shared_by_the_pods_members_and_outlives_them(instance: Instance, image: str, folder: Path) -> None:
    """Of its size, with the fsGroup; what is in it stays when a member is replaced, and goes with the pod."""
    writer = container("app", image, volumeMounts=[mount("fast", "/fast")])
    reader = container("side", image, volumeMounts=[mount("fast", "/seen", readOnly=True)])
    volumes = [{"name": "fast", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}]
    manifest = pod("web", writer, reader, volumes=volumes, securityContext={"fsGroup": 33})
    apply(instance, folder, manifest)
    top = inside(instance, "app", "/fast")
    assert (stat.S_IMODE(top.stat().st_mode), top.stat().st_gid) == (0o3777, 33)
    row = mounted(instance, "app", "/fast")
    assert (row[-3], "size=1024k" in row[-1]) == ("tmpfs", True)
    (top / "kept").write_text("kept")
    assert (top / "kept").stat().st_gid == 33
    assert inside(instance, "side", "/seen/kept").read_text() == "kept"
    assert "ro" in mounted(instance, "side", "/seen")[5].split(",")
    before = instance.running("web")
    writer["env"].append({"name": "MORE", "value": "1"})
    apply(instance, folder, manifest)
    assert instance.running("web")["app"] != before["app"]
    assert inside(instance, "app", "/fast/kept").read_text() == "kept"
    volumes[0]["emptyDir"]["sizeLimit"] = "2Mi"
    apply(instance, folder, manifest)
    assert "size=2048k" in mounted(instance, "app", "/fast")[-1]
    assert inside(instance, "app", "/fast/kept").read_text() == "kept"
    assert instance.running("web")["infra"] == before["infra"]
