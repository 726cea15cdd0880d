"""With its last pod gone, an instance keeps nothing running and nothing in the kernel."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from reconciler.engine import cgroups
from tests.host import groups
from tests.host.instance import DEADLINE, OURS_ONLY, Instance, processes_of, until
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


@OURS_ONLY
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


def test_a_pod_that_is_begun_while_the_instance_is_retired_has_all_it_needs(
    instance: Instance, image: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its maker waits from before its first effect until the zygote has ended and the cgroups are away."""
    limited = {"limits": {"cpu": "500m", "memory": "64Mi"}}
    put(folder / "web.yaml", pod("web", container("web", image, resources=limited)))
    instance.ok("apply", "--wait", folder)
    instance.ok("down", folder)
    instance.engine.context.monitors.warm()
    end, lock = instance.engine.context.monitors.end, instance.engine.layout.instance_lock
    made: list[subprocess.Popen[str]] = []

    def interrupted() -> None:
        words = instance.command("apply", "--wait", "--timeout", 60, folder)
        made.append(subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        until(lambda: lock in opened_by(made[0].pid), "the other one has come to the lock")
        end()

    monkeypatch.setattr(instance.engine.context.monitors, "end", interrupted)
    instance.engine.retire()
    said, _ = made[0].communicate(timeout=2 * DEADLINE)
    assert made[0].returncode == 0, said
    assert [event for event in instance.engine.events() if event.type == "Warning"] == []
    group = groups.pod_of(groups.group_of(instance.running("web")["web"].pid))
    assert groups.values(group) == groups.wanted(512, quota=50000, memory=64 << 20)


def opened_by(pid: int) -> set[Path]:
    """The files that a process has open, as far as they can be seen: it opens and closes others meanwhile."""
    found: set[Path] = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            found.add(link.readlink())
    return found
