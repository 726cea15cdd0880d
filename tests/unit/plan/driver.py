"""Plays the worker's part against the engine in memory: plan, perform, plan again."""

from __future__ import annotations

import random
from dataclasses import replace

from reconciler.model.actions import Action, PodActions
from reconciler.model.desired import Absent, Desired, Present, Unknown
from reconciler.model.errors import TryLater
from reconciler.model.key import Key, SourceId
from reconciler.model.observed import Observed
from reconciler.model.spec import ContainerSpec, PodSpec, PortBinding, RestartPolicy, SandboxSpec
from reconciler.model.status import PodStatus
from reconciler.plan.pod_actions import compute_pod_actions
from reconciler.plan.pod_status import pod_status
from tests.fakes.engine import FakeEngine, Killed

KEY = Key("default", "shop")
OWNER = SourceId("dir:/pods")


def container(name: str = "web", image: str = "busybox:1", **fields: object) -> ContainerSpec:
    return replace(ContainerSpec(name=name, image=image), **fields)  # type: ignore[arg-type]


def pod(*containers: ContainerSpec, key: Key = KEY, **fields: object) -> PodSpec:
    made = containers or (container("web"), container("side"))
    return replace(PodSpec(key=key, containers=made), **fields)  # type: ignore[arg-type]


def with_ports(spec: PodSpec, *ports: int) -> PodSpec:
    return replace(spec, sandbox=SandboxSpec(ports=tuple(PortBinding(p, 80) for p in ports)))


def present(spec: PodSpec, **fields: object) -> Present:
    return replace(Present(spec=spec, owner=OWNER), **fields)  # type: ignore[arg-type]


def wanted_spec(want: Desired) -> PodSpec | None:
    return want.spec if isinstance(want, Present) else None


def observe(engine: FakeEngine, want: Desired, key: Key = KEY) -> Observed:
    return engine.observe(key, wanted_spec(want))


def plan(engine: FakeEngine, want: Desired, key: Key = KEY) -> PodActions:
    host = engine.host_facts(key, wanted_spec(want))
    return compute_pod_actions(want, observe(engine, want, key), host, engine.clock.now())


def status(engine: FakeEngine, want: Desired, key: Key = KEY) -> PodStatus:
    host = engine.host_facts(key, wanted_spec(want))
    return pod_status(want, observe(engine, want, key), host, engine.clock.now())


def perform(engine: FakeEngine, steps: tuple[Action, ...], key: Key = KEY, order: random.Random | None = None) -> None:
    """All steps in some order; one that fails does not keep the others from being tried."""
    shuffled = list(steps)
    if order is not None:
        order.shuffle(shuffled)
    with engine.lock(key) as lock:
        for step in shuffled:
            try:
                engine.perform(lock, step)
            except (TryLater, Killed):
                continue


def one_round(engine: FakeEngine, want: Desired, key: Key = KEY, order: random.Random | None = None) -> PodActions:
    made = plan(engine, want, key)
    perform(engine, made.steps, key, order)
    return made


def settle(
    engine: FakeEngine,
    want: Desired,
    key: Key = KEY,
    order: random.Random | None = None,
    *,
    patience: float = 600.0,
    rounds: int = 60,
) -> list[Action]:
    """Go on until nothing is to be done and nothing is waited for within ``patience`` seconds; all steps taken."""
    taken: list[Action] = []
    for _ in range(rounds):
        made = one_round(engine, want, key, order)
        taken += made.steps
        if made.steps:
            continue
        now = engine.clock.now()
        until = min((at for at in (made.wake_at, engine.next_event()) if at is not None), default=None)
        if until is None or until - now > patience:
            return taken
        patience -= until - now
        engine.tick(max(0.0, until - now))
    raise AssertionError(f"still not quiet after {rounds} rounds; last: {taken[-6:]}")


def settled(*specs: PodSpec, engine: FakeEngine | None = None) -> FakeEngine:
    """An engine in which these pods run."""
    engine = engine or FakeEngine()
    for spec in specs:
        settle(engine, present(spec), spec.key)
    return engine


ABSENT = Absent()
UNKNOWN = Unknown("line 3: mapping values are not allowed here")
NEVER = RestartPolicy.NEVER
ON_FAILURE = RestartPolicy.ON_FAILURE
