"""Containers and pods that are started again, podman's way: the same ones, with what was written in them."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.engine.sessions import RECORD
from reconciler.model.actions import StartContainer
from reconciler.model.observed import Container, ContainerState, Exit
from tests.host.conformance.programs import C_CONMON
from tests.host.handmade import ASKED, ByHand, member
from tests.host.instance import DEADLINE, OURS_ONLY, Instance, checked, until
from tests.host.lives import end, monitor_of

pytestmark = [pytest.mark.host, pytest.mark.timeout(600)]

KILLS = 30
COUNT = "n=$(cat /n 2>/dev/null); echo $((n + 1)) | tee /n; read x < /go; exit $((n + 3))"
"""Counts its lives in a file of its own, and ends with another code each time it is let go."""

SETTINGS = [
    pytest.param(("--runtime", "crun"), id="crun"),
    pytest.param(("--runtime", "runc"), id="runc"),
    pytest.param(
        ("--conmon", C_CONMON),
        id="the C conmon",
        marks=pytest.mark.skipif(not os.access(C_CONMON, os.X_OK), reason="it is not installed"),
    ),
]


@pytest.fixture(params=SETTINGS)
def instance(root: Path, request: pytest.FixtureRequest) -> Iterator[Instance]:
    yield from checked(Instance(root, *request.param))


@pytest.fixture
def pod(instance: Instance, image: str) -> ByHand:
    """One of one member that counts its lives, and runs."""
    pod = ByHand.of(instance, member("one", image, f"[ -p /go ] || mkfifo /go; {COUNT}"))
    pod.create()
    pod.set_up()
    pod.add("one")
    return pod


def _let_go(pod: ByHand, container: Container) -> Container:
    """Let it end by itself."""
    until(lambda: pod.log(container), "it counts")
    assert container.pid is not None
    Path(f"/proc/{container.pid.pid}/root/go").write_text("\n")
    return pod.await_end(container)


def _await_count(pod: ByHand, container: Container, lives: int, after: str) -> None:
    until(lambda: pod.log(container).endswith(f"{lives}\n"), f"it counts {lives} after {after}")


def _ended(container: Container) -> Exit:
    assert container.state is ContainerState.EXITED
    assert container.exit is not None
    return container.exit


def test_a_container_is_the_same_one_in_each_of_its_lives(pod: ByHand) -> None:
    first = pod.member("one")
    assert _ended(_let_go(pod, first)).code == 3
    waiting = pod.again("one", start=False, restarts=1, crashes=1, last=_ended(pod.member("one")))
    assert (waiting.state, waiting.id, waiting.attempt) == (ContainerState.CREATED, first.id, 0)
    assert (waiting.started_wall, waiting.exit, waiting.stopping) == (0.0, None, None)
    assert (waiting.restarts, waiting.crashes, waiting.turn) == (1, 1, 2)
    assert waiting.last is not None
    assert waiting.last.code == 3
    pod.perform(StartContainer(waiting.id, "one", ASKED))
    second = pod.member("one")
    assert second.pid == waiting.pid != first.pid
    assert _ended(_let_go(pod, second)).code == 4
    third = pod.again("one")
    assert (third.restarts, third.last, third.turn) == (0, None, 3)
    assert _ended(_let_go(pod, third)).code == 5
    assert pod.log(third) == "1\n2\n3\n"
    assert third.log_path == first.log_path
    assert pod.instance.leaks() == ()


def test_one_that_lives_is_left_alone(pod: ByHand) -> None:
    before = pod.member("one")
    assert pod.again("one", start=False).pid == before.pid
    assert pod.member("one").turn == 1


def test_a_stop_is_of_one_life(pod: ByHand) -> None:
    before = pod.member("one")
    _await_count(pod, before, 1, "the start")
    pod.kill(before)
    assert pod.member("one").stopping is not None
    after = pod.again("one")
    assert after.stopping is None
    assert _ended(_let_go(pod, after)).code == 4


def test_a_session_is_of_one_life_and_so_is_its_exit_code(pod: ByHand) -> None:
    """Also when the container was made again before anybody asked."""
    for life, code in ((1, 3), (2, 4)):
        one = pod.member("one")
        with pod.engine.attached(one.id) as session:
            _let_go(pod, one)
            session.connection.settimeout(DEADLINE)
            while session.connection.recv(RECORD):
                pass
        assert session.life == life
        assert pod.engine.exit_code(one.id, session.life) == code
        pod.again("one")
        assert pod.engine.exit_code(one.id, session.life) == code
        assert pod.engine.exit_code(one.id) is None, "it runs"


@OURS_ONLY
def test_an_end_that_nobody_saw_stays_unknown(pod: ByHand, instance: Instance) -> None:
    """What follows of the next life is never taken for it."""
    if instance.conmon is not None:
        pytest.skip("about our monitors")
    from tests.host.lives import zygote_of

    one = pod.member("one")
    assert one.pid is not None
    _await_count(pod, one, 1, "the start")
    end([zygote_of(instance), monitor_of(instance, one), one.pid])
    assert _ended(pod.await_end(one)).code == -1
    fault = "monitor.create:after:1"
    assert pod.die(pod.renewal("one"), fault)
    assert _ended(pod.member("one")).code == -1
    assert _ended(_let_go(pod, pod.again("one"))).code == 4


def test_killed_at_any_moment_it_has_ended_and_is_made_again(pod: ByHand) -> None:
    """Also while a monitor is asked for, which may begin when the one who asked is dead."""
    dice, lives = random.Random(5), 1
    for _ in range(KILLS):
        one = pod.member("one")
        _await_count(pod, one, lives, "the last kill")
        pod.kill(one)
        renewal = pod.renewal("one")
        pod.die_after(renewal, dice.uniform(0.0, 0.06))
        assert pod.member("one").state in (ContainerState.EXITED, ContainerState.CREATED)
        pod.perform(renewal, StartContainer(one.id, "one", ASKED))
        lives += 1
    _await_count(pod, pod.member("one"), lives, "the last kill")
    assert _ended(_let_go(pod, pod.member("one"))).code == lives + 2
    pod.engine.tidy()
    assert pod.instance.leaks() == ()


def test_killed_at_any_effect_it_has_ended_as_before_and_is_made_again(pod: ByHand, tmp_path: Path) -> None:
    """Never half made, never without what it wrote."""
    _let_go(pod, pod.member("one"))
    lives = 1
    renewal = pod.renewal("one")
    faults = pod.effects(renewal, tmp_path / "trace")
    assert "monitor.create:after:1" in faults
    for fault in faults:
        pod.kill(pod.member("one"))
        before = _ended(pod.member("one"))
        renewal = pod.renewal("one")
        assert pod.die(renewal, fault), fault
        seen = pod.member("one")
        if seen.state is ContainerState.CREATED:
            assert seen.turn == renewal.turn, fault
        else:
            assert _ended(seen) == before, fault
            assert seen.turn < renewal.turn, fault
        pod.perform(renewal)
        one = pod.member("one")
        assert (one.state, one.turn) == (ContainerState.CREATED, renewal.turn), fault
        pod.perform(StartContainer(one.id, "one", ASKED))
        lives += 1
        _await_count(pod, one, lives, fault)
        assert monitor_of(pod.instance, one), fault
        pod.engine.tidy()
        assert pod.instance.leaks() == (), fault
