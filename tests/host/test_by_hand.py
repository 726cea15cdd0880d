"""Pods made by hand, as far as they differ from those of manifests: made and not started."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.engine import processes
from reconciler.model.actions import CreateContainer, StartContainer
from reconciler.model.observed import ContainerState
from reconciler.model.spec import PortBinding, Protocol
from tests.host.handmade import ASKED, ByHand, member
from tests.host.instance import Instance, checked, until

pytestmark = pytest.mark.host

PORT = PortBinding(18300, 80, Protocol.UDP)


@pytest.fixture(params=["crun", "runc"])
def instance(root: Path, request: pytest.FixtureRequest) -> Iterator[Instance]:
    yield from checked(Instance(root, "--runtime", request.param))


def test_a_pod_that_is_not_started_takes_members_and_runs_later(instance: Instance, image: str) -> None:
    """Its namespaces and ports are there, its network is not; what is created in it waits, too."""
    pod = ByHand.of(instance, member("one", image, "hostname; exec sleep 1000"), ports=(PORT,))
    pod.create(start=False)
    assert pod.infra.state is ContainerState.CREATED
    assert not pod.sandbox.networked
    taken = [str(holder) for holder in instance.engine.host_facts(pod.spec.key, pod.spec).port_holders]
    assert taken == [], "its ports are its own"
    other = ByHand.of(instance, name="other", ports=(PORT,)).spec
    assert [str(h) for h in instance.engine.host_facts(other.key, other).port_holders] == ["pod default/box"]
    one = pod.add("one", start=False)
    assert one.state is ContainerState.CREATED
    assert one.turn == 1
    before = pod.infra.pid
    pod.set_up()
    assert pod.infra.state is ContainerState.RUNNING
    assert pod.infra.pid == before
    assert pod.sandbox.networked
    pod.perform(StartContainer(one.id, "one", ASKED))
    assert pod.member("one").pid == one.pid
    until(lambda: pod.log(one) == "box\n", "it runs in the pod's namespaces")
    assert instance.leaks() == ()


def test_a_member_that_waits_is_killed(instance: Instance, image: str) -> None:
    pod = ByHand.of(instance, member("one", image))
    pod.create(start=False)
    one = pod.add("one", start=False)
    pod.kill(one)
    pod.kill(pod.infra)
    assert one.pid is not None
    assert not processes.alive(one.pid)
    with pytest.raises(Exception, match="infra container does not run"):
        pod.perform(CreateContainer(pod.sandbox.id, "one", 1, pod.spec, ASKED))
