"""The short form of `scripts/torture`: whatever dies, nothing is lost. A seed that is always the same, so that the same
is edited and killed; the moments are chance. And whether a runtime can be killed in the milliseconds that it lives."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.host.instance import OURS_ONLY, Instance
from tests.host.lives import expect_settled, sleeper, use_runtime
from tests.host.manifests import pod, put
from tests.torture import kills, run
from tests.torture.churn import Strike, Victim, plan
from tests.torture.kills import POINTS
from tests.torture.lab import Wishes, lab, registry

pytestmark = [pytest.mark.host, pytest.mark.timeout(900), OURS_ONLY]

SEED = 7
KILLS = 3 if os.environ.get("RECONCILER_KILLS") == "some" else 8
"""Fewer where the processor is emulated."""


def test_whatever_dies_nothing_is_lost(tmp_path: Path) -> None:
    steps = plan(SEED, KILLS, POINTS, calm=True)
    world = next(steps).world
    tally = run.Tally()
    with registry(tmp_path) as (archive, environment), lab(archive, environment, Wishes()) as made:
        run.begin(made, world)
        for step in steps:
            run.carry_out(made, step, world, tally)
            world = step.world


@pytest.mark.parametrize("name", ["crun", "runc"])
def test_a_runtime_is_killed_half_way(name: str, instance: Instance, image: str, folder: Path) -> None:
    """The second that is at work: it starts the infra container, or creates another."""
    use_runtime(instance, name)
    put(folder / "a.yaml", pod("a", sleeper("one", image), sleeper("two", image)))
    words = instance.command("apply", "--wait", "--timeout", 60, folder)
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as command:
        context = instance.engine.context
        assert kills.strike(context.layout.tag, context.runtime, Strike(Victim.RUNTIME, nth=2, after=0.001))
        told = command.communicate(timeout=90)[1]
    assert command.returncode == 0, told
    assert len(instance.running("a")) == 3
    expect_settled(instance, folder)
