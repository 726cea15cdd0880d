"""What containers' requests and limits add up to for their pod, by the kubelet's rules."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.model.key import Key
from reconciler.model.qos import Qos, pod_resources, qos_of, resources_of, widest
from reconciler.model.spec import ContainerSpec, PodSpec, Resources

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


def by_hand(*each: Resources, limits: Resources = Resources()) -> PodSpec:  # noqa: B008
    return PodSpec(Key("default", "box"), containers=tuple(members(*each)), keep=True, limits=limits)


@pytest.mark.parametrize(
    ("pod", "together"),
    [
        pytest.param(by_hand(), Resources(1000), id="one without members weighs as one container"),
        pytest.param(
            by_hand(Resources(), Resources(500)), Resources(1500), id="a member that says nothing weighs 1000"
        ),
        pytest.param(by_hand(Resources(cpu_limit=100)), Resources(1000, 100), id="also one with a limit"),
        pytest.param(
            by_hand(Resources(), limits=Resources(200, 300, MIB, 2 * MIB)),
            Resources(200, 300, MIB, 2 * MIB),
            id="what is said of the pod counts",
        ),
        pytest.param(
            by_hand(Resources(memory_limit=MIB), limits=Resources(memory_limit=5 * MIB)),
            Resources(1000, None, MIB, 5 * MIB),
            id="beside what its members say",
        ),
    ],
)
def test_a_pod_made_by_hand(pod: PodSpec, together: Resources) -> None:
    assert resources_of(pod) == together


def test_a_manifests_pod_has_no_default() -> None:
    assert resources_of(replace(by_hand(Resources()), keep=False)) == Resources()
