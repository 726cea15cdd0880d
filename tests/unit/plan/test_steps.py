"""What the steps of a plan carry."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.model.actions import CreateContainer, CreateSandbox, UpdateRecord, Why
from reconciler.model.key import Key, SourceId
from reconciler.model.observed import ContainerState, HostFacts, Observed
from reconciler.model.spec import (
    PortBinding,
    Protocol,
)
from reconciler.plan.obstacles import port_obstacles
from reconciler.plan.sentences import describe
from tests.fakes.engine import FakeEngine
from tests.unit.plan.driver import (
    KEY,
    plan,
    present,
    with_ports,
)
from tests.unit.plan.scenes import (
    HOSTNAME,
    NGINX,
    POD,
    WEB2,
    Given,
    blocked_and_crashed,
    changed,
    edit,
    edit_blocked,
    ended,
    web_is_bad,
)


def creation(given: Given) -> CreateContainer:
    engine = FakeEngine()
    found = [s for s in plan(engine, given(engine)).steps if isinstance(s, CreateContainer) and s.name == "web"]
    assert len(found) == 1
    return found[0]


def test_a_restart_counts_and_remembers_how_the_attempt_before_ended():
    step = creation(ended(7, times=3, ago=20))
    assert (step.attempt, step.restarts, step.crashes, step.reason.why) == (3, 3, 3, Why.EXITED)
    assert step.last is not None
    assert step.last.code == 7


def test_a_replacement_is_a_new_attempt_that_counts_from_zero():
    step = creation(ended(7, times=3, want=present(WEB2)))
    assert (step.attempt, step.restarts, step.crashes, step.last) == (3, 0, 0, None)
    assert step.spec.container("web") == WEB2.container("web")


def test_a_member_whose_edit_cannot_run_is_created_from_its_old_version_beside_the_new_rest():
    step = creation(blocked_and_crashed)
    assert step.spec.container("web") == POD.container("web")


def test_the_record_holds_the_old_version_of_a_member_until_the_new_one_is_made():
    engine = FakeEngine()
    want = edit_blocked(changed(WEB2, labels=(("a", "b"),)), web_is_bad)(engine)
    (step,) = plan(engine, want).steps
    assert isinstance(step, UpdateRecord)
    assert step.spec == changed(POD, labels=(("a", "b"),))


def test_a_recreated_pod_is_created_as_wanted_and_owned_by_who_wants_it():
    engine = FakeEngine()
    (step,) = plan(engine, edit(HOSTNAME, after=2)(engine)).steps
    assert isinstance(step, CreateSandbox)
    assert (step.spec, step.owner, step.reason.why) == (HOSTNAME, SourceId("dir:/pods"), Why.POD_CHANGED)


def test_a_row_without_a_record_is_removed_even_while_the_source_is_not_quiet():
    engine = FakeEngine()
    want = edit(POD, settled=False)(engine)
    odd = replace(engine.container(KEY, "web"), id="f" * 64, name="", state=ContainerState.CREATING)  # type: ignore[arg-type]
    engine._pods[KEY].containers.append(odd)
    made = plan(engine, want)
    assert [describe(s) for s in made.steps] == ["remove container  because its creation was cut short"]


def test_an_exit_after_now_counts_as_now():
    engine = FakeEngine()
    want = ended(1, times=2)(engine)
    last = engine.container(KEY, "web")
    assert last.exit is not None
    engine._pods[KEY].put(replace(last, exit=replace(last.exit, finished=engine.clock.now() + 5000)))
    assert plan(engine, want).wake_at == engine.clock.now() + 10


def test_a_holder_that_is_the_pod_itself_is_no_obstacle():
    want = with_ports(POD, 8080)
    host = HostFacts((replace(NGINX, key=KEY), replace(NGINX, key=Key("default", "other"))))
    found = port_obstacles(want, Observed(KEY), host, 0.0)
    assert [o.message for o in found] == ["port 8080/tcp is held by pod default/other"]


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (PortBinding(80, 1), PortBinding(80, 2), True),
        (PortBinding(80, 1), PortBinding(81, 1), False),
        (PortBinding(80, 1), PortBinding(80, 1, Protocol.UDP), False),
        (PortBinding(80, 1, host_ip="127.0.0.1"), PortBinding(80, 1, host_ip="127.0.0.2"), False),
        (PortBinding(80, 1, host_ip="127.0.0.1"), PortBinding(80, 1, host_ip="0.0.0.0"), True),
        (PortBinding(80, 1), PortBinding(80, 1, host_ip="127.0.0.2"), True),
        (PortBinding(80, 1), PortBinding(80, 1, host_ip="fd00::1"), True),
        (PortBinding(80, 1, host_ip="0.0.0.0"), PortBinding(80, 1, host_ip="::"), False),
        (PortBinding(80, 1, host_ip="fd00::1"), PortBinding(80, 1, host_ip="0.0.0.0"), False),
        (PortBinding(80, 1, host_ip="fd00::1"), PortBinding(80, 1, host_ip="::"), True),
    ],
    ids=str,
)
def test_which_ports_are_the_same(a: PortBinding, b: PortBinding, same: bool):
    assert a.overlaps(b) is b.overlaps(a) is same
