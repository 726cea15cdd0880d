"""Containers that are paused: they stand still, and yet can be told to end."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.model.actions import PauseContainer, ResumeContainer, StopContainer
from reconciler.model.errors import InvalidInput, ReconcilerError
from reconciler.model.observed import Container, ContainerState
from tests.host.handmade import ASKED, ByHand, member
from tests.host.instance import Instance, checked, until

pytestmark = pytest.mark.host

COUNT = 'trap "echo told; exit 7" TERM; trap "echo asked" USR1; while :; do echo $((n = n + 1)) > /n; sleep 0.01; done'
A_WHILE = 0.2


@pytest.fixture(params=["crun", "runc"])
def instance(root: Path, request: pytest.FixtureRequest) -> Iterator[Instance]:
    yield from checked(Instance(root, "--runtime", request.param))


@pytest.fixture
def pod(instance: Instance, image: str) -> ByHand:
    """One of a member that counts, and ends with 7 when it is told to."""
    pod = ByHand.of(instance, member("one", image, COUNT))
    pod.create()
    pod.set_up()
    one = pod.add("one")
    until(lambda: _count(one), "it counts")
    return pod


def _count(container: Container) -> int:
    """How far it has come; 0 before it began."""
    assert container.pid is not None
    try:
        return int(Path(f"/proc/{container.pid.pid}/root/n").read_text() or 0)
    except FileNotFoundError:
        return 0


def _pause(pod: ByHand) -> Container:
    one = pod.member("one")
    pod.perform(PauseContainer(one.id, "one", ASKED))
    return pod.member("one")


def _resume(pod: ByHand) -> Container:
    one = pod.member("one")
    pod.perform(ResumeContainer(one.id, "one", ASKED))
    return pod.member("one")


def _stands_still(container: Container) -> bool:
    before = _count(container)
    time.sleep(A_WHILE)  # nothing is to happen, which nobody tells
    return _count(container) == before


def _status(pod: ByHand, container: Container) -> str:
    """What the runtime says of it."""
    state = pod.engine.context.runtime_of(container.id).state(container.id)
    assert state is not None
    return str(state["status"])


def test_a_paused_container_stands_still_and_goes_on(pod: ByHand) -> None:
    before = pod.member("one")
    assert not before.paused
    one = _pause(pod)
    assert one.paused
    assert (one.state, one.pid) == (ContainerState.RUNNING, before.pid)
    assert _stands_still(one)
    assert _status(pod, one) == "paused"
    with pytest.raises(InvalidInput, match="one: it is paused"):
        pod.engine.exec(one.id, ["true"])
    again = _resume(pod)
    assert not again.paused
    count = _count(again)
    until(lambda: _count(again) > count, "it goes on counting")
    assert _status(pod, again) == "running"
    assert pod.engine.exec(again.id, ["true"]) == 0


def test_pausing_and_resuming_twice_is_as_once(pod: ByHand) -> None:
    _pause(pod)
    assert _pause(pod).paused
    assert not _resume(pod).paused
    assert not _resume(pod).paused


def test_a_paused_container_hears_that_it_is_to_stop(pod: ByHand) -> None:
    one = _pause(pod)
    pod.perform(StopContainer(one.id, "one", 60, ASKED))
    ended = pod.await_end(one)
    assert ended.exit is not None
    assert ended.exit.code == 7
    assert not ended.paused


def test_a_paused_container_is_killed(pod: ByHand) -> None:
    pod.kill(_pause(pod))
    again = pod.again("one")
    assert not again.paused
    until(lambda: _count(again), "it counts in its next life")


def test_a_paused_pod_is_removed(pod: ByHand) -> None:
    _pause(pod)
    pod.instance.remove_everything()
    assert pod.engine.keys() == ()


def test_a_signal_waits_until_a_paused_container_goes_on(pod: ByHand) -> None:
    one = _pause(pod)
    pod.engine.signal(one.id, signal.SIGUSR1)
    assert _stands_still(one)
    assert pod.member("one").paused
    assert pod.log(one) == ""
    _resume(pod)
    until(lambda: pod.log(one) == "asked\n", "it hears of it")


def test_its_death_does_not_wait(pod: ByHand) -> None:
    one = _pause(pod)
    pod.engine.signal(one.id, signal.SIGKILL)
    ended = pod.await_end(one)
    assert ended.exit is not None
    assert ended.exit.code == 137


def test_what_is_not_there_or_does_not_run_gets_no_signal(pod: ByHand) -> None:
    one = pod.member("one")
    pod.kill(one)
    with pytest.raises(InvalidInput, match="one: it does not run"):
        pod.engine.signal(one.id, signal.SIGUSR1)
    with pytest.raises(ReconcilerError, match="one: it does not run"):
        _pause(pod)


def test_the_kernel_says_whether_it_is_paused(pod: ByHand) -> None:
    """Somebody let it go on with the runtime's own word."""
    one = _pause(pod)
    runtime = pod.engine.context.runtime_of(one.id)
    subprocess.run(runtime.argv("resume", one.id), check=True, timeout=30)
    assert not pod.member("one").paused
    assert _pause(pod).paused


@pytest.mark.parametrize(
    ("fault", "paused"),
    [("cgroup.freeze:before", False), ("cgroup.freeze:after", True)],
)
def test_killed_while_it_is_paused(pod: ByHand, fault: str, paused: bool) -> None:
    one = pod.member("one")
    assert pod.die(PauseContainer(one.id, "one", ASKED), fault)
    assert pod.member("one").paused is paused
    assert _pause(pod).paused
    assert pod.die(ResumeContainer(one.id, "one", ASKED), "cgroup.thaw:after")
    assert not pod.member("one").paused
    assert not _resume(pod).paused
