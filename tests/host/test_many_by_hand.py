"""Many `run -d` at the same time, each a process of its own: as many containers, none doubled, no error.

200 of them are in `scripts/bench many`; here as many as a test may take time for.
"""

from __future__ import annotations

import pytest

from tests.host import many
from tests.host.instance import PATIENCE, Instance
from tests.slowness import seconds

pytestmark = [pytest.mark.host, pytest.mark.timeout(600)]

AT_ONCE = 60

PS, START = 0.25, 0.006
"""Seconds of the processor: for `ps` on a machine of our days, and for a bare interpreter there."""


def test_many_runs_at_once_make_as_many_containers_with_an_address_each(instance: Instance, image: str):
    ran, _ = many.run_at_once(instance, image, AT_ONCE, seconds(4 * PATIENCE))
    assert many.faults(instance, ran) == []
    assert many.work_of(instance, "ps") < PS * max(1.0, many.work_of_interpreter() / START)
