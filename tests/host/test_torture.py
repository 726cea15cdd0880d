"""The short form of `scripts/torture`: whatever dies, nothing is lost. A seed that is always the same, so that the same
is edited and killed; the moments are chance."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.host.instance import OURS_ONLY
from tests.torture import run
from tests.torture.churn import plan
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
