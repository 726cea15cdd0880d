"""What containers' requests and limits add up to for their pod, by the kubelet's rules."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.model.key import Key
from reconciler.model.qos import Qos, holding, pod_resources, qos_of, resources_of, scored_as, widest
from reconciler.model.spec import ContainerSpec, PodSpec, Resources, RestartPolicy

MIB = 1 << 20


def members(*each: Resources) -> list[ContainerSpec]:
    return [ContainerSpec(f"c{n}", "i", resources=r) for n, r in enumerate(each)]


PLAIN, SIDECAR = None, RestartPolicy.ALWAYS


@pytest.mark.parametrize(
    ("init", "together"),
    [
        pytest.param([(PLAIN, 100)], 200, id="less than the members need: theirs"),
        pytest.param([(PLAIN, 500)], 500, id="more than the members need: its own"),
        pytest.param([(PLAIN, 500), (PLAIN, 300)], 500, id="they run one after the other: the greatest"),
        pytest.param([(SIDECAR, 50)], 250, id="a sidecar runs with the members"),
        pytest.param([(SIDECAR, 50), (PLAIN, 500)], 550, id="and with the init containers after it"),
        pytest.param([(PLAIN, 500), (SIDECAR, 50)], 500, id="but not with those before it"),
    ],
)
def test_init_containers_count_when_they_run(init: list[tuple[RestartPolicy | None, int]], together: int) -> None:
    each = [
        ContainerSpec(f"i{n}", "i", restart=kind, resources=Resources(cpu, cpu, cpu, cpu))
        for n, (kind, cpu) in enumerate(init)
    ]
    assert pod_resources(members(Resources(200, 200, 200, 200)), each) == Resources(*[together] * 4)


def test_an_init_container_without_a_limit_leaves_the_pod_none() -> None:
    free = ContainerSpec("i", "i", resources=Resources(cpu_request=700))
    assert pod_resources(members(Resources(200, 200, 200, 200)), [free]) == Resources(700, None, 200, None)


@pytest.mark.parametrize(
    ("own", "scored"),
    [
        pytest.param(None, 100, id="no memory of its own: as the least of the members"),
        pytest.param(50, 100, id="less than the least: as that"),
        pytest.param(150, 150, id="more: its own"),
    ],
)
def test_a_sidecar_is_not_killed_before_the_members(own: int | None, scored: int) -> None:
    car = ContainerSpec("car", "i", restart=SIDECAR, resources=Resources(memory_request=own))
    two = tuple(members(Resources(memory_request=200), Resources(memory_request=100)))
    pod = PodSpec(Key("default", "p"), containers=two, init=(car,))
    assert scored_as(pod, car).memory_request == scored
    assert scored_as(pod, two[0]) == two[0].resources


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


@pytest.mark.parametrize(
    ("requested", "scored"),
    [
        pytest.param(None, [10, 20], id="no request of the pod's: each by its own"),
        pytest.param(90, [30, 40, 20], id="what nobody requests is shared out among all"),
        pytest.param(31, [10, 20], id="less than one for each is nothing"),
    ],
)
def test_a_pods_request_counts_for_who_is_killed(requested: int | None, scored: list[int]) -> None:
    two = tuple(members(Resources(memory_request=10), Resources(memory_request=20)))
    free = tuple(ContainerSpec("f", "i", resources=Resources(memory_limit=90, of_pod=("memory",))) for _ in scored[2:])
    pod = PodSpec(Key("default", "p"), containers=(*two, *free), limits=Resources(memory_request=requested))
    assert [scored_as(pod, c).memory_request for c in pod.containers] == scored


def test_a_pods_cgroup_holds_the_greatest_of_what_its_containers_may_use() -> None:
    two = members(Resources(1, 300, 1, 9), Resources(cpu_limit=200, memory_limit=5))
    assert holding(Resources(1, 100, 1, 10), two) == Resources(1, 300, 1, 10)
    assert holding(Resources(1, None, 1, None), two) == Resources(1, None, 1, None)


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
