"""Pods made by hand: what a command wishes of a member, lives of one container, pods that stop and go on."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.actions import (
    CreateContainer,
    PauseContainer,
    PullImage,
    RenewContainer,
    RenewSandbox,
    ResumeContainer,
    StopContainer,
)
from reconciler.model.desired import Present, RunState, Wish
from reconciler.model.observed import ContainerState, HostFacts, ImageState, ImageStatus
from reconciler.model.spec import PodSpec, Resources, RestartPolicy
from reconciler.plan.pod_actions import compute_pod_actions
from tests.fakes.engine import FakeEngine
from tests.unit.plan.driver import KEY, container, observe, pod, present, settle, with_ports
from tests.unit.plan.scenes import here

STOPPED, RUNNING, CREATED, PAUSED = RunState.STOPPED, RunState.RUNNING, RunState.CREATED, RunState.PAUSED


def hand(*members: str, policy: RestartPolicy = RestartPolicy.NEVER, **fields: object) -> PodSpec:
    made = [container(name) for name in members or ("web", "side")]
    return pod(*made, restart_policy=policy, keep=True, **fields)


def wanted(spec: PodSpec, run: RunState = RUNNING, **wishes: Wish) -> Present:
    return present(spec, run=run, wishes=tuple(wishes.items()))


@pytest.fixture
def engine() -> FakeEngine:
    made = FakeEngine()
    here(made)
    return made


def states(engine: FakeEngine) -> dict[str, str]:
    have = engine.observe(KEY, None)
    infra = have.sandbox.infra if have.sandbox else None
    told = {c.name: c.state.value for c in have.containers}
    return told | ({"infra": infra.state.value} if infra else {})


def ids(engine: FakeEngine) -> dict[str, str]:
    have = engine.observe(KEY, None)
    return {c.name: c.id for c in have.containers} | {"infra": have.sandbox.infra.id, "pod": have.sandbox.id}


def test_a_pod_that_is_only_created_waits_and_so_do_its_members(engine: FakeEngine):
    want = wanted(hand(), CREATED)
    settle(engine, want)
    assert states(engine) == {"web": "created", "side": "created", "infra": "created"}
    before = ids(engine)
    settle(engine, wanted(hand()))
    assert states(engine) == {"web": "running", "side": "running", "infra": "running"}
    assert ids(engine) == before


def test_one_member_runs_while_the_other_waits_for_its_start(engine: FakeEngine):
    settle(engine, wanted(hand(), side=Wish(CREATED)))
    assert states(engine) == {"web": "running", "side": "created", "infra": "running"}


def test_a_stopped_pod_is_kept_and_goes_on_as_the_same(engine: FakeEngine):
    settle(engine, wanted(hand()))
    before = ids(engine)
    settle(engine, wanted(hand(), STOPPED))
    assert states(engine) == {"web": "exited", "side": "exited", "infra": "exited"}
    steps = settle(engine, wanted(hand()))
    assert [type(s) for s in steps if isinstance(s, (RenewSandbox, CreateContainer))] == [RenewSandbox]
    assert ids(engine) == before
    assert states(engine) == {"web": "running", "side": "running", "infra": "running"}


def test_a_member_is_stopped_with_the_grace_asked_for_and_started_again(engine: FakeEngine):
    settle(engine, wanted(hand()))
    before = ids(engine)
    steps = settle(engine, wanted(hand(), web=Wish(STOPPED, grace=3)))
    assert [s.grace for s in steps if isinstance(s, StopContainer)] == [3]
    assert states(engine) == {"web": "exited", "side": "running", "infra": "running"}
    settle(engine, wanted(hand(), web=Wish(RUNNING, turn=1)))
    assert states(engine)["web"] == "running"
    assert ids(engine) == before


def test_what_ended_stays_so_until_another_turn_is_asked_for(engine: FakeEngine):
    settle(engine, wanted(hand()))
    engine.exit(KEY, "web", 3)
    assert settle(engine, wanted(hand())) == []
    steps = settle(engine, wanted(hand(), web=Wish(turn=1)))
    assert [s.restarts for s in steps if isinstance(s, RenewContainer)] == [0]
    assert settle(engine, wanted(hand(), web=Wish(turn=1))) == []
    engine.exit(KEY, "web", 3)
    assert settle(engine, wanted(hand(), web=Wish(turn=1))) == []


def test_another_turn_of_what_runs_is_a_restart_of_that_one(engine: FakeEngine):
    settle(engine, wanted(hand()))
    before, pids = ids(engine), {c.name: c.pid for c in engine.observe(KEY, None).containers}
    settle(engine, wanted(hand(), web=Wish(turn=1)))
    after = {c.name: c.pid for c in engine.observe(KEY, None).containers}
    assert ids(engine) == before
    assert after["side"] == pids["side"]
    assert after["web"] not in (None, pids["web"])


def test_pause_and_resume(engine: FakeEngine):
    settle(engine, wanted(hand()))
    assert [type(s) for s in settle(engine, wanted(hand(), web=Wish(PAUSED)))] == [PauseContainer]
    assert settle(engine, wanted(hand(), web=Wish(PAUSED))) == []
    assert [type(s) for s in settle(engine, wanted(hand()))] == [ResumeContainer]


def test_a_restart_goes_on_with_the_container_and_counts(engine: FakeEngine):
    spec = hand("web", policy=RestartPolicy.ALWAYS)
    settle(engine, wanted(spec))
    before = ids(engine)
    engine.exit(KEY, "web", 1)
    settle(engine, wanted(spec))
    assert ids(engine) == before
    made = engine.container(KEY, "web")
    assert (made.restarts, made.last.code, made.attempt) == (1, 1, 0)


def test_on_failure_is_given_up_after_so_many_and_counts_anew_after_a_start_by_hand(engine: FakeEngine):
    member = replace(container("web"), restart=RestartPolicy.ON_FAILURE, retries=2)
    spec = pod(member, restart_policy=RestartPolicy.NEVER, keep=True)
    for turn in (0, 1):
        want = wanted(spec, web=Wish(turn=turn))
        settle(engine, want)
        for _ in range(2):
            engine.exit(KEY, "web", 1)
            settle(engine, want)
            assert states(engine)["web"] == "running"
        engine.exit(KEY, "web", 1)
        assert settle(engine, want) == []


def test_each_member_has_a_restart_policy_of_its_own(engine: FakeEngine):
    web = replace(container("web"), restart=RestartPolicy.ALWAYS)
    want = wanted(pod(web, container("side"), restart_policy=RestartPolicy.NEVER, keep=True))
    settle(engine, want)
    engine.exit(KEY, "web")
    engine.exit(KEY, "side")
    settle(engine, want)
    assert states(engine) == {"web": "running", "side": "exited", "infra": "running"}


def test_a_pod_that_stops_when_it_is_done(engine: FakeEngine):
    want = wanted(hand("web", stop_when_done=True))
    settle(engine, want)
    engine.exit(KEY, "web")
    settle(engine, want)
    assert states(engine) == {"web": "exited", "infra": "exited"}
    settle(engine, wanted(hand("web", stop_when_done=True), web=Wish(turn=1)))
    assert states(engine) == {"web": "running", "infra": "running"}


@pytest.mark.parametrize("policy", [RestartPolicy.NEVER, RestartPolicy.ALWAYS])
def test_after_a_reboot_what_is_to_be_restarted_is(policy: RestartPolicy, engine: FakeEngine):
    want = wanted(hand(policy=policy))
    settle(engine, want)
    before = ids(engine)
    engine.reboot()
    settle(engine, want)
    expected = "running" if policy is RestartPolicy.ALWAYS else "exited"
    assert states(engine) == {"web": expected, "side": expected, "infra": expected}
    assert ids(engine) == before


def test_what_waited_for_its_start_waits_again_once_its_pod_is_there(engine: FakeEngine):
    settle(engine, wanted(hand(), CREATED))
    before = ids(engine)
    engine.reboot()
    settle(engine, wanted(hand(), CREATED))
    assert ids(engine) == before
    assert states(engine) == {"web": "created", "side": "created", "infra": "created"}


def test_an_empty_pod_that_runs_has_an_infra_container_whatever_happens(engine: FakeEngine):
    want = present(PodSpec(key=KEY, keep=True))
    settle(engine, want)
    engine.kill_infra(KEY)
    settle(engine, want)
    assert states(engine) == {"infra": "running"}


def test_the_death_of_the_infra_container_ends_its_members_and_they_go_on_in_another(engine: FakeEngine):
    want = wanted(hand())
    settle(engine, want)
    before = ids(engine)
    engine.kill_infra(KEY)
    settle(engine, want)
    assert states(engine) == {"web": "running", "side": "running", "infra": "running"}
    assert ids(engine) == before


def test_what_still_lives_of_a_pod_that_is_to_be_created_only_ends_with_its_infra_container(engine: FakeEngine):
    settle(engine, wanted(hand()))
    engine.kill_infra(KEY)
    settle(engine, wanted(hand(), CREATED))
    assert states(engine) == {"web": "exited", "side": "exited", "infra": "exited"}


def test_other_ports_take_another_infra_container_and_all_members_are_kept(engine: FakeEngine):
    settle(engine, wanted(hand(), side=Wish(STOPPED)))
    settle(engine, wanted(hand()))
    before = ids(engine)
    other = with_ports(hand(), 8080)
    steps = settle(engine, wanted(other))
    assert sum(isinstance(s, RenewSandbox) for s in steps) == 1
    assert ids(engine) == before
    assert states(engine) == {"web": "running", "side": "running", "infra": "running"}
    assert observe(engine, wanted(other)).applied.sandbox.ports == other.sandbox.ports


def test_other_ports_of_a_stopped_pod_come_with_its_start(engine: FakeEngine):
    settle(engine, wanted(hand()))
    settle(engine, wanted(hand(), STOPPED))
    other = with_ports(hand(), 8080)
    assert settle(engine, wanted(other, STOPPED)) == []
    settle(engine, wanted(other))
    assert observe(engine, wanted(other)).applied.sandbox.ports == other.sandbox.ports


def test_a_member_that_is_not_wanted_any_more_goes_also_from_a_stopped_pod(engine: FakeEngine):
    settle(engine, wanted(hand()))
    settle(engine, wanted(hand(), STOPPED))
    settle(engine, wanted(hand("web"), STOPPED))
    assert states(engine) == {"web": "exited", "infra": "exited"}


def test_a_member_is_made_in_a_stopped_pod_when_that_is_to_be_created(engine: FakeEngine):
    settle(engine, wanted(hand("web")))
    settle(engine, wanted(hand("web"), STOPPED))
    settle(engine, wanted(hand("web", "new"), CREATED))
    assert states(engine) == {"web": "exited", "new": "created", "infra": "created"}


def test_what_cannot_be_read_is_left_as_it_is(engine: FakeEngine):
    from tests.unit.plan.driver import UNKNOWN

    settle(engine, wanted(hand(), web=Wish(STOPPED)))
    before = states(engine)
    assert settle(engine, UNKNOWN) == []
    assert states(engine) == before


runs = st.sampled_from([CREATED, RUNNING, STOPPED, PAUSED])
wishes = st.builds(Wish, runs, st.integers(0, 3))
happenings = st.lists(st.sampled_from(["exit", "infra", "reboot", "fault", "round"]), max_size=4)


@given(
    st.lists(
        st.tuples(st.sampled_from([CREATED, RUNNING, STOPPED]), wishes, wishes, st.booleans(), happenings),
        min_size=1,
        max_size=5,
    ),
    st.integers(0, 1 << 16),
)
def test_whatever_was_asked_for_and_happened_the_last_word_counts_and_no_container_is_lost(commands, seed):
    order, engine = random.Random(seed), FakeEngine()
    here(engine)
    turns = {"web": 0, "side": 0}
    made: set[str] = set()
    for run, web, side, published, happens in commands:
        turns = {"web": turns["web"] + web.turn, "side": turns["side"] + side.turn}
        spec = with_ports(hand(), 8080) if published else hand()
        want = wanted(spec, run, web=replace(web, turn=turns["web"]), side=replace(side, turn=turns["side"]))
        for event in happens:
            _happen(engine, event, want, order)
        settle(engine, want, order=order)
        now = {c.id for c in engine.observe(KEY, None).containers}
        assert made <= now
        made = now
    _expect(engine, want)


def _happen(engine: FakeEngine, event: str, want: Present, order: random.Random) -> None:
    from tests.unit.plan.driver import one_round

    have = engine.observe(KEY, None)
    if event == "fault":
        engine.fail(order.randint(1, 3), order.choice(["before", "middle", "after"]))
    if event in ("fault", "round"):
        one_round(engine, want, order=order)
    elif event == "reboot":
        engine.reboot()
    elif event == "infra" and have.sandbox and have.sandbox.infra_up:
        engine.kill_infra(KEY)
    elif event == "exit":
        engine.exit(KEY, order.choice(["web", "side"]) if have.containers else "web", 1) if have.sandbox else None


def _expect(engine: FakeEngine, want: Present) -> None:
    have = engine.observe(KEY, want.spec)
    for member in have.containers:
        wish = want.wish(member.name)
        if wish.run is STOPPED:
            assert not member.state.can_signal() or member.state is ContainerState.CREATED
        elif member.state is ContainerState.RUNNING:
            assert member.paused is (wish.run is PAUSED) or wish.run is CREATED
        if member.state is ContainerState.RUNNING:
            assert have.sandbox.infra_up
            assert member.turn >= wish.turn
    if want.run is STOPPED:
        assert have.sandbox is None or not have.sandbox.infra_up


def test_limits_of_the_pod_change_while_it_lives(engine: FakeEngine):
    settle(engine, wanted(hand()))
    before = ids(engine)
    limited = hand(limits=Resources(cpu_limit=500, memory_limit=1 << 30))
    settle(engine, wanted(limited))
    have = engine.observe(KEY, limited).sandbox
    assert (have.resources.cpu_limit, have.resources.memory_limit) == (500, 1 << 30)
    assert have.applied == limited
    assert ids(engine) == before


INFRA = "registry.example/pause:3"


def with_infra(spec: PodSpec) -> PodSpec:
    return replace(spec, sandbox=replace(spec.sandbox, infra_image=INFRA))


@pytest.mark.parametrize("by_hand", [True, False], ids=["by hand", "of a manifest"])
def test_the_image_of_the_infra_container_is_pulled_before_the_pod_is_made(engine: FakeEngine, by_hand: bool):
    engine.images[INFRA] = ImageState(ImageStatus.MISSING)
    spec = replace(with_infra(hand()), keep=by_hand)
    plan = compute_pod_actions(wanted(spec), engine.observe(KEY, spec), HostFacts(), engine.clock.now())
    assert [(type(step), step.image) for step in plan.steps] == [(PullImage, INFRA)]
    assert [(w.container, w.reason.text) for w in plan.waiting] == [("", f"pulling image {INFRA}")]
    settle(engine, wanted(spec))
    assert states(engine) == {"web": "running", "side": "running", "infra": "running"}


def test_a_pod_that_stands_needs_no_image_for_its_infra_container(engine: FakeEngine):
    want = wanted(with_infra(hand()))
    settle(engine, want)
    engine.images[INFRA] = ImageState(ImageStatus.MISSING)
    plan = compute_pod_actions(want, engine.observe(KEY, want.spec), HostFacts(), engine.clock.now())
    assert plan.steps == ()


def test_a_pod_that_is_started_again_needs_it_again(engine: FakeEngine):
    spec = with_infra(hand())
    settle(engine, wanted(spec))
    settle(engine, wanted(spec, STOPPED))
    engine.images[INFRA] = ImageState(ImageStatus.FAILED, error="no such host", retry_at=engine.clock.now() + 1000)
    have = engine.observe(KEY, spec)
    again = wanted(spec, web=Wish(turn=1), side=Wish(turn=1))
    plan = compute_pod_actions(again, have, HostFacts(), engine.clock.now())
    assert plan.steps == ()
    assert f"cannot pull image {INFRA}: no such host" in [w.reason.text for w in plan.waiting]
