"""Invariants of the decision, tried on thousands of histories against the engine in memory."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.model.actions import Action, KillContainer, RemoveSandbox, StopContainer, Why
from reconciler.model.cost import Cost
from reconciler.model.desired import Desired, RunState
from reconciler.model.key import Key
from reconciler.model.observed import ContainerState, PortHolder, Problem
from reconciler.model.qos import qos_of, resources_of
from reconciler.model.spec import Dns, PodSpec, PortBinding, PullPolicy, Resources, RestartPolicy, Role, SandboxSpec
from reconciler.plan.disruption import highest, pod_changes
from tests.fakes.engine import FakeEngine
from tests.unit.plan.driver import (
    ABSENT,
    KEY,
    UNKNOWN,
    container,
    observe,
    one_round,
    perform,
    plan,
    pod,
    present,
    settle,
    settled,
    status,
    with_ports,
)

FAST = settings(max_examples=150, deadline=None)

names = st.sampled_from(["web", "side", "log"])
seeds = st.integers(0, 2**32 - 1).map(random.Random)
members = st.builds(
    container,
    name=names,
    image=st.sampled_from(["busybox:1", "busybox:2"]),
    args=st.sampled_from([None, ("a",), ("b",)]),
    pull_policy=st.sampled_from([PullPolicy.ALWAYS, PullPolicy.IF_NOT_PRESENT]),
    resources=st.builds(
        Resources,
        cpu_request=st.sampled_from([None, 100]),
        cpu_limit=st.sampled_from([None, 100, 500]),
        memory_limit=st.sampled_from([None, 1 << 20]),
    ),
)
init = st.lists(
    st.builds(
        container,
        name=st.sampled_from(["first", "then", "car", "bus"]),
        image=st.sampled_from(["busybox:1", "busybox:2"]),
        resources=st.builds(Resources, memory_limit=st.sampled_from([None, 2 << 20])),
    ).map(lambda c: replace(c, restart=RestartPolicy.ALWAYS) if c.name in ("car", "bus") else c),
    max_size=2,
    unique_by=lambda c: c.name,
).map(tuple)
"""The plain ones end well at once (``fresh``)."""
pods = st.builds(
    lambda found, **fields: pod(*found, **fields),
    st.lists(members, min_size=1, max_size=3, unique_by=lambda c: c.name),
    init=init,
    labels=st.sampled_from([(), (("app", "shop"),)]),
    grace_period=st.sampled_from([0, 5, 30]),
    dns=st.sampled_from([Dns(), Dns(searches=("lan",))]),
    sandbox=st.sampled_from(
        [SandboxSpec(), SandboxSpec(hostname="other"), SandboxSpec(ports=(PortBinding(8080, 80),))]
    ),
)
events = st.sampled_from(
    [
        *("round", "round", "round", "tick", "crash", "exit", "infra", "reboot", "cut", "deaf", "undead", "greedy"),
        *(
            "unknown",
            "absent",
            "unsettled",
            "stopped",
            "lose image",
            "find image",
            "slow pulls",
            "bad web",
            "good web",
            "port",
        ),
    ]
)


def fresh() -> FakeEngine:
    engine = FakeEngine()
    engine.codes = {"first": 0, "then": 0}
    return engine


def runs_as_wanted(engine: FakeEngine, spec: PodSpec) -> None:
    assert set(engine.running(spec.key)) == {c.name for c in spec.lasting}
    have = engine.observe(spec.key, spec)
    assert have.applied is not None
    assert have.sandbox is not None
    assert have.sandbox.resources == resources_of(spec)
    assert have.sandbox.qos is qos_of(spec.everyone)
    assert all(c.cost is Cost.NOTHING for c in pod_changes(have.applied, spec))
    for made in have.containers:
        plain = spec.role_of(made.name) is Role.INIT
        assert made.state is (ContainerState.EXITED if plain else ContainerState.RUNNING), "nothing is left over"
        wanted = spec.container(made.name)
        assert wanted is not None
        assert (made.spec.image, made.spec.args) == (wanted.image, wanted.args)
        assert plain or made.spec.resources == wanted.resources


@FAST
@given(pods, pods, seeds)
def test_after_an_edit_it_runs_as_wanted_and_nothing_is_left_to_do(old: PodSpec, new: PodSpec, order: random.Random):
    engine = settled(old, engine=fresh())
    settle(engine, present(new), order=order)
    runs_as_wanted(engine, new)
    assert one_round(engine, present(new)).steps == ()
    assert status(engine, present(new)).converged


@FAST
@given(pods, pods, seeds)
def test_an_unchanged_sibling_is_in_no_action(old: PodSpec, new: PodSpec, order: random.Random):
    engine = settled(old, engine=fresh())
    before = engine.running(KEY)
    same = {c.name for c in new.containers if old.container(c.name) == c}
    taken = settle(engine, present(new), order=order)
    if highest(pod_changes(old, new)) < Cost.POD:
        assert not [step for step in taken if getattr(step, "name", None) in same]
        assert {n: i for n, i in engine.running(KEY).items() if n in same} == {
            n: i for n, i in before.items() if n in same
        }


@FAST
@given(pods, pods, st.integers(0, 12), seeds)
def test_unknown_never_stops_anything(old: PodSpec, new: PodSpec, rounds: int, order: random.Random):
    engine = settled(old, engine=fresh())
    for _ in range(rounds):
        one_round(engine, present(new), order=order)
    stopping = {c.id for c in observe(engine, UNKNOWN).containers if c.stopping}
    running = set(engine.running(KEY).values()) - stopping
    taken = settle(engine, UNKNOWN, order=order)
    assert not [step for step in taken if isinstance(step, StopContainer)]
    assert not [step for step in taken if isinstance(step, KillContainer) and step.container not in stopping]
    assert running <= set(engine.running(KEY).values())


@FAST
@given(pods, pods, st.integers(1, 12), st.sampled_from(["before", "middle", "after"]), seeds)
def test_cut_short_after_any_step_it_still_converges(old: PodSpec, new: PodSpec, nth: int, moment, order):
    engine = settled(old, engine=fresh())
    engine.fail(nth, moment)
    settle(engine, present(new), order=order)
    runs_as_wanted(engine, new)


def happen(engine: FakeEngine, event: str, spec: PodSpec, order: random.Random) -> None:
    others: dict[str, Desired] = {
        "unknown": UNKNOWN,
        "absent": ABSENT,
        "unsettled": present(spec, settled=False),
        "stopped": present(spec, run=RunState.STOPPED),
    }
    want = others.get(event, present(spec))
    running = sorted(engine.running(KEY))
    match event:
        case "tick":
            engine.tick(order.choice([0.5, 5, 31]))
        case "crash" if running:
            engine.exit(KEY, order.choice(running), 1)
        case "exit" if running:
            engine.exit(KEY, order.choice(running), 0)
        case "infra" if engine.keys() and observe(engine, UNKNOWN).sandbox.infra:  # type: ignore[union-attr]
            engine.kill_infra(KEY)
        case "reboot":
            engine.reboot()
        case "cut":
            engine.fail(order.randint(1, 3), order.choice(["before", "middle", "after"]))
        case "deaf":
            engine.deaf ^= {"web"}
        case "undead":
            engine.undead ^= {"web"}
        case "greedy":
            engine.greedy ^= {"web"}
        case "lose image":
            engine.images.pop("busybox:2", None)
            engine.unknown_images.add("busybox:2")
        case "find image":
            engine.unknown_images.clear()
        case "slow pulls":
            engine.pull_time = order.choice([0, 20])
        case "bad web":
            engine.judge = lambda _spec: (Problem("RunContainerError", "no such command", "web"),)
        case "good web":
            engine.judge = lambda _spec: ()
        case "port":
            engine.foreign_ports = [] if engine.foreign_ports else [PortHolder(PortBinding(8080, 80), pid=1)]
        case _:
            one_round(engine, want, order=order)


def heal(engine: FakeEngine) -> None:
    """Whatever stood in the way stands there no more."""
    engine._faults.clear()
    engine.undead.clear()
    engine.unknown_images.clear()
    engine.foreign_ports.clear()
    engine.judge = lambda _spec: ()


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(pods, st.lists(events, max_size=8)), min_size=1, max_size=4), seeds)
def test_whatever_happened_it_ends_as_the_last_spec_says(history, order: random.Random):
    engine = fresh()
    spec = history[-1][0]
    for spec, happenings in history:
        for event in happenings:
            happen(engine, event, spec, order)
    heal(engine)
    settle(engine, present(spec), order=order, patience=1e6)
    runs_as_wanted(engine, spec)
    assert one_round(engine, present(spec)).steps == ()
    settle(engine, ABSENT, order=order)
    assert not engine.keys()


@FAST
@given(pods, st.lists(events, max_size=10), seeds)
def test_finished_members_of_a_never_pod_do_not_run_again(spec: PodSpec, happenings, order: random.Random):
    spec = replace(spec, restart_policy=RestartPolicy.NEVER)
    engine = settled(spec, engine=fresh())
    for name in list(engine.running(KEY)):
        engine.exit(KEY, name, 0)
    for event in happenings:
        if event not in ("absent", "port"):
            happen(engine, event, spec, order)
    taken: list[Action] = settle(engine, present(spec), order=order)
    assert engine.running(KEY) == {}
    assert not [s for s in taken if isinstance(s, RemoveSandbox)]
    assert status(engine, present(spec)).converged


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(pods, st.lists(events, max_size=6)), min_size=1, max_size=3), seeds)
def test_unknown_keeps_running_what_was_applied_last_also_over_a_reboot(history, order: random.Random):
    engine = fresh()
    for spec, happenings in history:
        for event in happenings:
            happen(engine, event, spec, order)
    heal(engine)
    settle(engine, UNKNOWN, order=order, patience=1e6)
    applied = observe(engine, UNKNOWN).applied
    engine.reboot()
    settle(engine, UNKNOWN, order=order, patience=1e6)
    assert observe(engine, UNKNOWN).applied == applied
    if applied is not None:
        runs_as_wanted(engine, applied)


@FAST
@given(pods, pods, seeds)
def test_a_member_is_told_to_stop_only_when_its_successor_stands_ready(old: PodSpec, new: PodSpec, order):
    engine = settled(old, engine=fresh())
    new = replace(new, sandbox=old.sandbox)
    for _ in range(12):
        made = plan(engine, present(new))
        ready = {c.name for c in observe(engine, present(new)).containers if c.state is ContainerState.CREATED}
        for step in made.steps:
            if isinstance(step, StopContainer | KillContainer) and step.reason.why is Why.SPEC_CHANGED:
                assert step.name in ready
        perform(engine, made.steps, order=order)


A, B = Key("default", "a"), Key("default", "b")


@pytest.mark.parametrize("seed", range(8))
def test_two_pods_swap_their_ports(seed: int):
    order = random.Random(seed)
    first, second = with_ports(pod(key=A), 8080), with_ports(pod(key=B), 8081)
    engine = settled(first, second)
    wants = {A: present(with_ports(first, 8081)), B: present(with_ports(second, 8080))}
    for _ in range(60):
        key = order.choice([A, B])
        one_round(engine, wants[key], key, order)
        engine.tick(0.3)
    for key, want in wants.items():
        runs_as_wanted(engine, want.spec)
        assert status(engine, want, key).converged
