"""What containers' requests and limits add up to for their pod, by the kubelet's rules."""

from __future__ import annotations

import pytest

from reconciler.model.qos import Qos, pod_resources, qos_of, widest
from reconciler.model.spec import ContainerSpec, Resources

MIB = 1 << 20


def members(*each: Resources) -> list[ContainerSpec]:
    return [ContainerSpec(f"c{n}", "i", resources=r) for n, r in enumerate(each)]


@pytest.mark.parametrize(
    ("each", "together"),
    [
        pytest.param([Resources()], Resources(), id="nothing set, nothing given"),
        pytest.param(
            [Resources(100, 200, MIB, 2 * MIB), Resources(300, 400, MIB, MIB)],
            Resources(400, 600, 2 * MIB, 3 * MIB),
            id="everything adds up",
        ),
        pytest.param(
            [Resources(100, 200, MIB, 2 * MIB), Resources(300, None, MIB, MIB)],
            Resources(400, None, 2 * MIB, 3 * MIB),
            id="one without a CPU limit: no quota, and still a memory limit",
        ),
        pytest.param([Resources(100, 200), Resources()], Resources(100, None), id="one without anything"),
        pytest.param([Resources(cpu_limit=200, memory_limit=MIB)], Resources(200, 200, MIB, MIB), id="limits request"),
        pytest.param([Resources(pids_limit=5)], Resources(), id="a limit of processes is the container's own"),
    ],
)
def test_a_pods_resources(each: list[Resources], together: Resources) -> None:
    assert pod_resources(members(*each)) == together


def test_a_limit_of_processes_makes_no_class() -> None:
    assert qos_of(members(Resources(pids_limit=5))) is Qos.BEST_EFFORT
    assert qos_of(members(Resources(1, 1, 1, 1, pids_limit=5))) is Qos.GUARANTEED


def test_no_limit_is_the_widest_limit_and_no_request_the_least() -> None:
    assert widest(Resources(1, 1, 1, 1), Resources(2, None, None, 2)) == Resources(2, None, 1, 2)
