"""Pods whose monitor is the C conmon (``--conmon PATH``): the same tests as with ours, some of each kind.

All host tests can be run with it:  RECONCILER_TEST_CONMON=/usr/bin/conmon scripts/test host
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host import (
    test_adoption,
    test_main_job,
    test_oom,
    test_resources,
)
from tests.host.conformance.programs import C_CONMON
from tests.host.instance import Instance, checked, processes_of
from tests.host.manifests import container, pod, put

pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(not os.access(C_CONMON, os.X_OK), reason="the C conmon is not installed"),
]


@pytest.fixture
def instance(root: Path) -> Iterator[Instance]:
    yield from checked(Instance(root, "--conmon", C_CONMON))


def test_it_is_the_monitor(instance: Instance, image: str, folder: Path) -> None:
    put(folder / "p.yaml", pod("p", container("app", image)))
    instance.ok("apply", folder, "--wait")
    assert set(instance.running("p")) == {"app", "infra"}
    processes = list(processes_of(instance.root))
    monitors = [each for each in processes if each.command.startswith(C_CONMON)]
    assert len(monitors) == 2
    assert not any("--zygote" in each.command for each in processes)


test_looking = test_main_job.test_what_runs_can_be_looked_at
test_a_port = test_main_job.test_a_published_port_answers_and_is_told_when_taken
test_edits = test_main_job.test_edit_add_and_remove_by_a_controller
test_a_killed_process = test_main_job.test_a_killed_process_is_started_again_and_nobody_else
test_logs = test_main_job.test_logs_follow_ends_with_the_container
test_adopted = test_adoption.test_what_happened_while_nobody_watched
test_a_grace_period = test_adoption.test_a_grace_period_goes_on_without_the_controller
test_out_of_memory = test_oom.test_a_container_that_is_killed_is_oomkilled_everywhere
test_limits = test_resources.test_limits_change_live_up_and_down_and_the_pods_with_them
