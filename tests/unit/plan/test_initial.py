"""How a pod begins and ends: init containers one after the other, sidecars around the members."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler.model.actions import RemoveSandbox
from reconciler.model.desired import Desired
from reconciler.model.hook import HookState
from reconciler.model.observed import ImageState, ImageStatus
from reconciler.model.spec import ContainerSpec, PodSpec, RestartPolicy
from reconciler.model.status import Phase
from reconciler.plan.sentences import describe, describe_waiting
from tests.fakes.engine import FakeEngine
from tests.unit.plan.driver import (
    ABSENT,
    KEY,
    NEVER,
    ON_FAILURE,
    container,
    one_round,
    plan,
    pod,
    present,
    settle,
    status,
)
from tests.unit.plan.scenes import Given, Row, check, here, rows


def plain(name: str, image: str = "busybox:1", **fields: object) -> ContainerSpec:
    return container(name, image, **fields)


def sidecar(name: str, image: str = "busybox:1", **fields: object) -> ContainerSpec:
    return container(name, image, restart=RestartPolicy.ALWAYS, **fields)


def begun_by(*init: ContainerSpec, members: tuple[ContainerSpec, ...] = (), **fields: object) -> PodSpec:
    return replace(pod(*(members or (container("web"),)), **fields), init=init)


TWO = begun_by(plain("one"), plain("two"))
CAR = begun_by(plain("one"), sidecar("car"), plain("two"))
CARS = begun_by(sidecar("car"), sidecar("bus"))


def at(spec: PodSpec, *events: str, rounds: int = 40) -> Given:
    """The pod is made, as far as it comes; then each event, and as far again. ``one=0``: one ends so; ``car``: it is
    killed; ``>5``: time passes."""

    def given(engine: FakeEngine) -> Desired:
        here(engine)
        want = present(spec)
        go_on(engine, want, rounds)
        for event in events:
            happen(engine, event)
            go_on(engine, want)
        return want

    return given


def go_on(engine: FakeEngine, want: Desired, rounds: int = 40) -> None:
    for _ in range(rounds):
        if not one_round(engine, want).steps:
            return


def happen(engine: FakeEngine, event: str) -> None:
    name, _, code = event.partition("=")
    if event.startswith(">"):
        engine.tick(float(event[1:]))
    else:
        engine.exit(KEY, name, int(code or 137))


def then(given: Given, want: Desired | PodSpec, *events: str) -> Given:
    """Something else is wanted, and what happens just before the look."""

    def both(engine: FakeEngine) -> Desired:
        given(engine)
        for event in events:
            happen(engine, event)
        return present(want) if isinstance(want, PodSpec) else want

    return both


def after(given: Given, *events: str) -> Given:
    """What happens just before the look."""

    def both(engine: FakeEngine) -> Desired:
        want = given(engine)
        for event in events:
            happen(engine, event)
        return want

    return both


NOT_THERE = "because it is not there yet"
WAITS_ONE = "the pod waits: init container one is to end first (0 of 2 are through)"


@rows(
    Row(
        "the first init container is made alone",
        at(TWO, rounds=1),
        ("set up the pod's network because its infra container runs", f"create container one {NOT_THERE}"),
    ),
    Row("while it runs everybody waits", at(TWO), waits=(WAITS_ONE,)),
    Row("when it ends well the next is made", after(at(TWO), "one=0"), (f"create container two {NOT_THERE}",)),
    Row(
        "when the last ends well the members are made",
        after(at(TWO, "one=0"), "two=0"),
        (f"create container web {NOT_THERE}",),
    ),
    Row(
        "one that fails is tried again at once",
        after(at(TWO), "one=1"),
        ("restart container one because it exited with code 1",),
    ),
    Row(
        "and after a second failure backs off",
        after(at(TWO, "one=1"), "one=1"),
        waits=("container one waits: back-off 10s restarting failed container one",),
        wake=10,
    ),
    Row("with Never a failure is for good", after(at(replace(TWO, restart_policy=NEVER)), "one=1")),
    Row(
        "with OnFailure it is tried again, too",
        after(at(replace(TWO, restart_policy=ON_FAILURE)), "one=1"),
        ("restart container one because it exited with code 1",),
    ),
    Row("a pod that has begun has nothing to do", at(TWO, "one=0", "two=0")),
    Row(
        "a member that crashes is restarted alone",
        after(at(TWO, "one=0", "two=0"), "web=1"),
        ("restart container web because it exited with code 1",),
    ),
    Row(
        "a member that is edited is replaced alone",
        then(at(TWO, "one=0", "two=0"), replace(TWO, containers=(container("web", "busybox:2"),))),
        ("replace container web because image changed: busybox:1 -> busybox:2",),
    ),
    Row(
        "what follows a sidecar waits for its start only",
        at(CAR, "one=0"),
        waits=("the pod waits: init container two is to end first (2 of 3 are through)",),
    ),
    Row(
        "a sidecar that crashes while the pod begins is restarted, and nobody waits for it twice",
        after(at(CAR, "one=0"), "car=1"),
        ("restart container car because it exited with code 1",),
    ),
    Row(
        "a sidecar is restarted whatever the pod's policy, and however it ended",
        after(at(replace(CARS, restart_policy=NEVER)), "car=0"),
        ("restart container car because it exited with code 0",),
    ),
)
def test_it_begins(row: Row) -> None:
    check(row)


DONE = "because no member runs or will"


@rows(
    Row(
        "when the members have ended the last sidecar is stopped",
        after(at(replace(CARS, restart_policy=NEVER)), "web=0"),
        (f"stop container bus (grace 30s) {DONE}",),
        wake=30,
    ),
    Row(
        "members that are to be restarted keep the sidecars",
        after(at(replace(CARS, restart_policy=ON_FAILURE)), "web=1"),
        ("restart container web because it exited with code 1",),
    ),
    Row(
        "an init container that failed for good ends the sidecars",
        after(at(replace(CAR, restart_policy=NEVER), "one=0"), "two=1"),
        (f"stop container car (grace 30s) {DONE}",),
        wake=30,
    ),
    Row(
        "a pod that is to go stops its members first",
        then(at(CARS), ABSENT),
        ("stop container web (grace 30s) because its manifest was removed",),
        wake=30,
    ),
)
def test_it_ends(row: Row) -> None:
    check(row)


def test_sidecars_end_one_after_the_other_and_share_the_grace() -> None:
    engine = FakeEngine()
    at(CARS)(engine)
    engine.stop_takes = {"web": 10, "bus": 15, "car": 50}
    told = [describe(step) for step in settle(engine, ABSENT)]
    assert [text.partition(" because")[0] for text in told[:-1]] == [
        "stop container web (grace 30s)",
        "stop container bus (grace 20s)",
        "stop container car (grace 5s)",
        "kill container car",
    ]


def test_a_member_that_uses_up_the_grace_leaves_sidecars_two_seconds() -> None:
    engine = FakeEngine()
    at(CARS)(engine)
    engine.deaf = {"web"}
    told = [describe(step) for step in settle(engine, ABSENT)]
    assert [text.partition(" because")[0] for text in told[:4]] == [
        "stop container web (grace 30s)",
        "kill container web",
        "stop container bus (grace 2s)",
        "stop container car (grace 2s)",
    ]


RECORD = "update the pod's record because"
RECREATED = "(the pod is recreated)"
PULL = "pull image busybox:2 because image busybox:2 is not here"
WEB1 = "busybox:1 -> busybox:2"


@rows(
    Row(
        "adding a sidecar touches nothing else",
        then(at(CARS), replace(CARS, init=(*CARS.init, sidecar("van")))),
        ("create container van because it was added to the manifest", f"{RECORD} init container van was added"),
    ),
    Row(
        "removing one touches nothing else",
        then(at(CARS), replace(CARS, init=CARS.init[:1])),
        (
            "stop container bus (grace 30s) because it is not in the manifest any more",
            f"{RECORD} init container bus was removed",
        ),
        wake=30,
    ),
    Row(
        "changing one touches nothing else",
        then(at(CARS), replace(CARS, init=(sidecar("car", "busybox:2"), CARS.init[1]))),
        (f"replace container car because image changed: {WEB1}",),
    ),
    Row(
        "another order of sidecars is recorded",
        then(at(CARS), replace(CARS, init=CARS.init[::-1])),
        ("update the pod's record because the order of spec.initContainers changed: [car bus] -> [bus car]",),
    ),
    Row(
        "changing a plain one recreates the pod",
        then(at(TWO, "one=0", "two=0"), replace(TWO, init=(plain("one", "busybox:2"), TWO.init[1]))),
        (f"stop container web (grace 30s) because image changed: {WEB1} (the pod is recreated)",),
        wake=30,
    ),
    Row(
        "removing a plain one recreates the pod",
        then(at(TWO, "one=0", "two=0"), replace(TWO, init=TWO.init[:1])),
        ("stop container web (grace 30s) because init container two was removed (the pod is recreated)",),
        wake=30,
    ),
    Row(
        "another order of plain ones recreates the pod",
        then(at(TWO, "one=0", "two=0"), replace(TWO, init=TWO.init[::-1])),
        (
            "stop container web (grace 30s) because the order of spec.initContainers changed: [one two] -> [two one]"
            " (the pod is recreated)",
        ),
        wake=30,
    ),
    Row(
        "a sidecar that is to end before the members begin recreates the pod",
        then(at(CARS), replace(CARS, init=(plain("car"), CARS.init[1]))),
        (f"stop container web (grace 30s) because what car is changed: sidecar -> init container {RECREATED}",),
        wake=30,
    ),
    Row(
        "what a plain one may use is recorded when it has ended",
        then(at(TWO, "one=0", "two=0"), replace(TWO, init=(plain("one", pull_policy="Never"), TWO.init[1]))),
        ("update the pod's record because imagePullPolicy changed: IfNotPresent -> Never",),
    ),
)
def test_an_edit(row: Row) -> None:
    check(row)


def test_images_of_init_containers_are_pulled_before_anything_is_stopped() -> None:
    engine = FakeEngine()
    at(TWO, "one=0", "two=0")(engine)
    engine.images.pop("busybox:2")
    edited = replace(TWO, init=(plain("one", "busybox:2"), TWO.init[1]))
    assert [describe(s) for s in plan(engine, present(edited)).steps] == [PULL]
    engine.unknown_images.add("busybox:2")
    running = engine.running(KEY)
    settle(engine, present(edited), patience=30)
    assert engine.running(KEY) == running
    assert "cannot pull image busybox:2" in status(engine, present(edited)).message


def test_an_image_is_pulled_while_others_have_their_turn() -> None:
    engine = FakeEngine()
    here(engine, "busybox:1")
    engine.pull_time = 5
    want = present(replace(TWO, containers=(container("web", "busybox:2"),)))
    assert PULL in [describe(step) for step in one_round(engine, want).steps]


@pytest.mark.parametrize("what", ["infra", "reboot"])
def test_they_run_again_when_the_infra_container_is_new(what: str) -> None:
    engine = FakeEngine()
    engine.codes = {"one": 0, "two": 0}
    want = at(TWO)(engine)
    settle(engine, want)
    assert engine.running(KEY).keys() == {"web"}
    engine.kill_infra(KEY) if what == "infra" else engine.reboot()
    told = [describe(step) for step in settle(engine, want)]
    assert [t for t in told if t.startswith("start")] == [
        f"start container {name} because it is created and the pod is ready" for name in ("one", "two", "web")
    ]


def test_an_init_container_that_failed_for_good_is_not_run_again_after_a_reboot() -> None:
    engine = FakeEngine()
    engine.codes = {"one": 1}
    want = at(replace(TWO, restart_policy=NEVER))(engine)
    engine.reboot()
    assert not [step for step in settle(engine, want) if not isinstance(step, RemoveSandbox)]
    assert status(engine, want).phase is Phase.FAILED


@pytest.mark.parametrize("policy", [NEVER, ON_FAILURE])
def test_a_pod_whose_infra_container_dies_while_it_begins_begins_anew(policy: RestartPolicy) -> None:
    engine = FakeEngine()
    want = at(replace(CAR, restart_policy=policy), "one=0")(engine)
    engine.kill_infra(KEY)
    engine.codes = {"one": 0, "two": 0}
    settle(engine, want)
    assert engine.running(KEY).keys() == {"car", "web"}


def test_sidecars_end_with_the_members_whose_infra_container_died() -> None:
    engine = FakeEngine()
    want = at(replace(CARS, restart_policy=NEVER))(engine)
    engine.kill_infra(KEY)
    assert settle(engine, want) == []
    assert engine.running(KEY).keys() == {"car", "bus", "web"}
    engine.exit(KEY, "web", 0)
    assert [describe(step) for step in settle(engine, want)] == [
        f"stop container bus (grace 30s) {DONE}",
        f"stop container car (grace 30s) {DONE}",
    ]
    assert status(engine, want).phase is Phase.SUCCEEDED


def test_a_record_that_is_lost_makes_nothing_run_again() -> None:
    engine = FakeEngine()
    want = at(TWO, "one=0", "two=0")(engine)
    live = engine._pods[KEY]
    live.containers = [c for c in live.containers if c.name != "one"]
    engine.images.pop("busybox:1")
    assert plan(engine, want).steps == ()
    assert status(engine, want).converged


def test_a_completed_pod_is_as_wanted_and_an_edited_sidecar_does_not_bring_it_back() -> None:
    engine = FakeEngine()
    spec = replace(CARS, restart_policy=NEVER)
    want = at(spec, "web=0")(engine)
    told = status(engine, want)
    assert (told.phase, told.summary, told.converged) == (Phase.SUCCEEDED, "Completed", True)
    edited = present(replace(spec, init=(sidecar("car", "busybox:2"), spec.init[1])))
    assert [describe(s).partition(" because")[0] for s in settle(engine, edited)] == ["update the pod's record"]
    assert status(engine, edited).converged
    assert engine.running(KEY) == {}


@pytest.mark.parametrize(
    "before",
    [{"started_up": False, "is_ready": False}, {"post_start": HookState.RUNNING}],
    ids=["startup probe", "postStart hook"],
)
def test_what_follows_a_sidecar_waits_for_its(before: dict[str, Any]) -> None:
    engine = FakeEngine()
    want = at(replace(CARS, init=(sidecar("car"), plain("one"))), rounds=3)(engine)
    live = engine._pods[KEY]
    (car,) = live.containers
    live.put(replace(car, **before))
    made = one_round(engine, want)
    assert not [step for step in made.steps if getattr(step, "name", "") == "one"]
    waits = "the pod waits: init container car is to start first (0 of 2 are through)"
    assert waits in [describe_waiting(w) for w in made.waiting]
    told = status(engine, want)
    assert (told.summary, told.phase, told.initialized) == ("Init:0/2", Phase.PENDING, False)

    live.put(replace(car, is_ready=False))
    assert [describe(step) for step in one_round(engine, want).steps] == [f"create container one {NOT_THERE}"]
    assert status(engine, want).summary == "Init:1/2"


def test_a_completed_pod_that_is_to_run_once_more_begins_with_its_sidecars() -> None:
    engine = FakeEngine()
    at(replace(CARS, restart_policy=NEVER), "web=0")(engine)
    again = present(replace(CARS, restart_policy=NEVER, containers=(container("web", "busybox:2"),)))
    told = [describe(step).partition(" because")[0] for step in settle(engine, again)]
    assert [text for text in told if text.startswith("start")] == [
        "start container car",
        "start container bus",
        "start container web",
    ]


def test_a_sidecar_in_a_crash_loop_does_not_keep_a_member_from_its_restart() -> None:
    engine = FakeEngine()
    at(CARS, "car=1")(engine)
    engine.exit(KEY, "car", 1)
    engine.exit(KEY, "web", 1)
    assert [describe(step) for step in one_round(engine, present(CARS)).steps] == [
        "restart container web because it exited with code 1"
    ]


def waiting_image(engine: FakeEngine) -> Desired:
    here(engine, "busybox:1")
    engine.images["busybox:2"] = ImageState(ImageStatus.FAILED, error="no such image", retry_at=1e9)
    want = present(replace(TWO, init=(plain("one", "busybox:2"), TWO.init[1])))
    go_on(engine, want)
    return want


NEVER_TWO, ALWAYS_CAR = replace(TWO, restart_policy=NEVER), CARS

STATUS: dict[str, tuple[Given, str, Phase, str]] = {
    "nothing is there": (lambda e: present(TWO), "Init:0/2", Phase.PENDING, "one two"),
    "the first runs": (at(TWO), "Init:0/2", Phase.PENDING, "one two"),
    "the first is through": (at(TWO, "one=0"), "Init:1/2", Phase.PENDING, "two"),
    "the image of one cannot be had": (waiting_image, "Init:ImagePullBackOff", Phase.PENDING, "one two"),
    "one is in a crash loop": (after(at(TWO, "one=1"), "one=1"), "Init:CrashLoopBackOff", Phase.PENDING, "one two"),
    "one has failed for good": (at(NEVER_TWO, "one=1"), "Init:Error", Phase.FAILED, "one two"),
    "all are through": (after(at(TWO, "one=0"), "two=0"), "PodInitializing", Phase.PENDING, ""),
    "the members run": (at(TWO, "one=0", "two=0"), "Running", Phase.RUNNING, ""),
    "a sidecar runs, and the next": (at(CAR, "one=0"), "Init:2/3", Phase.PENDING, "two"),
    "a sidecar crashes later": (after(at(CARS, "car=1"), "car=1"), "Init:CrashLoopBackOff", Phase.RUNNING, ""),
    "a member crashes": (after(at(CARS, "web=1"), "web=1"), "CrashLoopBackOff", Phase.RUNNING, ""),
    "the pod is going": (then(at(TWO), ABSENT), "Terminating", Phase.PENDING, "one two"),
}


@pytest.mark.parametrize("case", STATUS.values(), ids=STATUS.keys())
def test_status(case: tuple[Given, str, Phase, str]) -> None:
    given, word, phase, unfinished = case
    engine = FakeEngine()
    told = status(engine, given(engine))
    initialized = next(c for c in told.conditions if c.type == "Initialized")
    assert (told.summary, told.phase) == (word, phase)
    assert initialized.status is (not unfinished)
    if unfinished:
        assert initialized.reason == "ContainersNotInitialized"
        assert initialized.message == f"containers with incomplete status: [{unfinished}]"


def test_members_wait_with_the_kubelets_word() -> None:
    engine = FakeEngine()
    told = status(engine, at(TWO)(engine))
    assert [(c.name, c.state, c.reason) for c in told.everyone] == [
        ("one", "running", ""),
        ("two", "waiting", "PodInitializing"),
        ("web", "waiting", "PodInitializing"),
    ]
    assert told.conditions[2].message == "containers with unready status: [web]"


def test_an_init_container_that_was_out_of_memory() -> None:
    engine = FakeEngine()
    want = at(NEVER_TWO, "one=137")(engine)
    live = engine._pods[KEY]
    one = next(c for c in live.containers if c.name == "one")
    assert one.exit is not None
    live.put(replace(one, exit=replace(one.exit, oom=True)))
    assert status(engine, want).summary == "Init:OOMKilled"
