"""`--strictness`: pods run without fields that are not known, where their user wants them to; told, or not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.host.instance import Instance, until
from tests.host.manifests import container, pod, put

pytestmark = pytest.mark.host

SAID = "spec.containers[0].livenesProbe: unknown field, did you mean livenessProbe?"


def test_a_pod_runs_without_what_nobody_knows(instance: Instance, image: str, folder: Path) -> None:
    file = put(folder / "web.yaml", pod("web", container("app", image, livenesProbe={}), nodeSelector={"a": "b"}))
    refused = instance.run("apply", "--wait", "--timeout", 60, folder)
    assert (refused.returncode, instance.running("web")) == (1, {})
    assert SAID in refused.stderr

    warned = instance.run("apply", "--wait", "--timeout", 60, "--strictness", "warn", folder)
    assert warned.returncode == 0, warned.stderr
    assert f"{SAID} (left out)" in warned.stderr
    assert "spec.nodeSelector: has no effect here: only a cluster uses it" in warned.stderr
    runs = instance.running("web")
    assert set(runs) == {"infra", "app"}

    assert instance.run("diff", folder).returncode == 0, "read as strictly as it was applied"
    assert "Converged" in instance.ok("status", folder)

    strict = instance.run("apply", "--wait", "--timeout", 60, folder)
    assert (strict.returncode, SAID in strict.stderr) == (1, True)
    assert instance.running("web") == runs, "what runs stays"
    assert instance.run("diff", folder).returncode == 2

    (instance.root / "config.toml").write_text('[manifests]\nstrictness = "ignore"\n')
    silent = instance.run("apply", "--wait", "--timeout", 60, folder)
    assert (silent.returncode, silent.stderr) == (0, "")
    assert instance.running("web") == runs
    assert instance.run("validate", folder).stdout == "1 file, 1 pod, 0 errors\n"
    assert instance.run("validate", "--strictness", "strict", folder).returncode == 1

    instance.ok("down", folder)
    file.write_text(file.read_text().replace('"web"', '"played"'))
    assert instance.run("kube", "play", "--strictness", "strict", file).returncode == 125
    instance.ok("kube", "play", file)
    assert set(instance.running("played")) == {"infra", "app"}


def test_a_controller_is_as_strict_as_it_was_told(instance: Instance, image: str, folder: Path) -> None:
    put(folder / "web.yaml", pod("web", container("app", image, livenesProbe={})))
    instance.watch("--strictness", "warn", folder)
    until(lambda: set(instance.running("web")) == {"infra", "app"}, "the pod runs")
    until(lambda: f"{SAID} (left out)" in (instance.root / "controller.log").read_text(), "the log tells it")
