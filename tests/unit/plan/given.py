"""What a pod has been through when its status is asked for, each as a function that leads the fake engine there and
returns what is wanted."""

from __future__ import annotations

from dataclasses import replace

from reconciler.model.desired import Desired
from reconciler.model.observed import PortHolder, Problem
from reconciler.model.spec import PodSpec, PortBinding, PullPolicy, RestartPolicy, RestartRule
from tests.fakes.engine import FakeEngine
from tests.unit.plan import scenes
from tests.unit.plan.driver import (
    KEY,
    NEVER,
    container,
    one_round,
    pod,
    present,
    settle,
    settled,
    with_ports,
)
from tests.unit.plan.scenes import POD, Given, here


def with_policy(policy: RestartPolicy) -> PodSpec:
    return replace(POD, restart_policy=policy)


def running(spec: PodSpec = POD, want: Desired | None = None, *, after: int = 0) -> Given:
    def given(engine: FakeEngine) -> Desired:
        here(engine)
        settled(spec, engine=engine)
        wanted = want or present(spec)
        scenes.rounds(engine, wanted, after)
        return wanted

    return given


def rounds(count: int, spec: PodSpec = POD) -> Given:
    def given(engine: FakeEngine) -> Desired:
        here(engine)
        scenes.rounds(engine, present(spec), count)
        return present(spec)

    return given


def exits(policy: RestartPolicy, want: Desired | None = None, **codes: int) -> Given:
    def given(engine: FakeEngine) -> Desired:
        settled(with_policy(policy), engine=engine)
        for name, code in codes.items():
            engine.exit(KEY, name, code)
        return want or present(with_policy(policy))

    return given


def ends(policy: RestartPolicy, restart: RestartPolicy, rule: RestartRule | None = None, **codes: int) -> Given:
    """``web`` has a policy of its own, and may have a rule."""
    rules = (rule,) if rule else ()
    web = replace(container("web"), restart=restart, restart_rules=rules)
    spec = replace(pod(web, container("side")), restart_policy=policy)

    def given(engine: FakeEngine) -> Desired:
        settled(spec, engine=engine)
        for name, code in codes.items():
            engine.exit(KEY, name, code)
        return present(spec)

    return given


def crash_loop(engine: FakeEngine) -> Desired:
    settled(POD, engine=engine)
    for _ in range(3):
        settle(engine, present(POD))
        engine.exit(KEY, "web", 1)
    engine.tick(5)
    return present(POD)


def pulling(engine: FakeEngine) -> Desired:
    engine.pull_time = 60
    one_round(engine, present(POD))
    return present(POD)


def pull_failed(seconds: float) -> Given:
    def given(engine: FakeEngine) -> Desired:
        engine.unknown_images.add("busybox:1")
        one_round(engine, present(POD))
        engine.tick(seconds)
        return present(POD)

    return given


def image_never(engine: FakeEngine) -> Desired:
    want = present(pod(container(pull_policy=PullPolicy.NEVER)))
    one_round(engine, want)
    return want


def problem(name: str, *, old: PodSpec | None = None, new: PodSpec = POD) -> Given:
    def given(engine: FakeEngine) -> Desired:
        here(engine)
        if old is not None:
            settled(old, engine=engine)
        engine.judge = lambda _spec: (Problem("CreateContainerConfigError", "no such directory: /srv", name),)
        one_round(engine, present(new))
        return present(new)

    return given


def port_taken(old: PodSpec | None = None) -> Given:
    def given(engine: FakeEngine) -> Desired:
        here(engine)
        if old is not None:
            settled(old, engine=engine)
        engine.foreign_ports.append(PortHolder(PortBinding(8080, 80), pid=123, command="nginx"))
        return present(with_ports(POD, 8080))

    return given


def deaf(want: Desired, after: int) -> Given:
    def given(engine: FakeEngine) -> Desired:
        here(engine)
        settled(POD, engine=engine)
        engine.deaf |= {"web", "side"}
        for _ in range(after):
            one_round(engine, want)
        return want

    return given


def rebooted_once(engine: FakeEngine) -> Desired:
    settled(with_policy(NEVER), engine=engine)
    engine.reboot()
    return present(with_policy(NEVER))


def infra_dead(engine: FakeEngine) -> Desired:
    settled(POD, engine=engine)
    engine.kill_infra(KEY)
    return present(POD)
