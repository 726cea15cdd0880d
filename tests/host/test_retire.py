"""With its last pod gone, an instance keeps nothing running and nothing in the kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.engine import cgroups
from tests.host.instance import Instance, processes_of
from tests.host.manifests import container, pod, put

pytestmark = pytest.mark.host


def test_down_of_the_last_pod_ends_the_zygote_and_takes_the_cgroups_along(
    instance: Instance, image: str, folder: Path
) -> None:
    put(folder / "web.yaml", pod("web", container("web", image)))
    put(folder / "other.yaml", pod("other", container("other", image)))
    instance.ok("apply", "--wait", folder)
    instance.ok("down", folder)
    assert list(processes_of(instance.root)) == []
    tag = instance.engine.layout.tag
    assert not [h.root for h in cgroups.current().all if (h.root / f"reconciler-{tag}").exists()]


def test_while_another_folder_has_pods_the_zygote_goes_on(
    instance: Instance, image: str, folder: Path, tmp_path: Path
) -> None:
    put(folder / "web.yaml", pod("web", container("web", image)))
    second = tmp_path / "second"
    second.mkdir()
    put(second / "other.yaml", pod("other", container("other", image)))
    instance.ok("apply", "--wait", folder)
    instance.ok("apply", "--wait", second)
    instance.ok("down", folder)
    assert any("--zygote" in process.command for process in processes_of(instance.root))
    assert set(instance.running("other")) >= {"other"}
