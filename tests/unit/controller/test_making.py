"""Making pods and containers by hand, and wishing other things of them, against the engine in memory."""

from __future__ import annotations

import itertools
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.controller import by_hand, making, oneshot, wishes
from reconciler.controller.by_hand import Bench, alter, edit, settle
from reconciler.model.desired import RunState, Wish
from reconciler.model.errors import InvalidInput, NotFound, RuntimeFailed
from reconciler.model.key import Key, SourceId
from reconciler.model.spec import PodSpec, RestartPolicy, SandboxSpec
from reconciler.sources.hand import NAMES, HandMember, HandPod
from tests.fakes.engine import FakeEngine
from tests.unit.plan.driver import KEY, container, pod, present
from tests.unit.plan.driver import settle as settle_plan
from tests.unit.plan.scenes import POD

OTHER = Key("default", "other")
CREATED, RUNNING, STOPPED, PAUSED = RunState.CREATED, RunState.RUNNING, RunState.STOPPED, RunState.PAUSED


def word(*names: str, key: Key = KEY, **fields: object) -> HandPod:
    spec = PodSpec(
        key=key, keep=True, restart_policy=RestartPolicy.NEVER, containers=tuple(container(n) for n in names)
    )
    return replace(HandPod(spec), **fields)  # type: ignore[arg-type]


def states(engine: FakeEngine) -> dict[str, str]:
    have = engine.observe(KEY, None)
    return {c.name: "paused" if c.paused else c.state.value for c in have.containers}


def test_a_pod_is_made_with_its_containers(bench: Bench, engine: FakeEngine):
    making.make_pod(bench, word("web"))
    assert states(engine) == {"web": "running"}
    assert bench.source.holder("web") == KEY


def test_an_empty_pod_may_wait_for_its_start(bench: Bench, engine: FakeEngine):
    making.make_pod(bench, word(run=CREATED))
    assert not engine.observe(KEY, None).sandbox.infra_up


@pytest.mark.parametrize("how", ["pod", "container"])
def test_a_name_is_given_once(how: str, bench: Bench, engine: FakeEngine):
    making.make_pod(bench, word("web"))
    other = word("web", key=Key("default", "other")) if how == "container" else word("else")
    with pytest.raises(InvalidInput, match="in use"):
        making.make_pod(bench, other)
    assert set(engine.keys()) == {KEY}
    assert bench.source.read(other.key) == (None if how == "container" else bench.source.read(KEY))


@pytest.mark.parametrize("name", ["shop", "holder", "web"], ids=["a pod", "an infra container", "a container"])
def test_pods_and_containers_have_their_names_out_of_one_space(name: str, bench: Bench, engine: FakeEngine):
    with_holder = replace(word().spec, sandbox=SandboxSpec(infra_name="holder"))
    making.make_pod(bench, replace(word(), spec=replace(with_holder, containers=word("web").spec.containers)))
    making.make_pod(bench, word("free", key=OTHER))
    third = Key("default", "third")
    named_so = replace(word().spec, key=third, sandbox=SandboxSpec(infra_name=name))
    for bad in (word(key=Key("default", name)), word(name, key=third), replace(word(), spec=named_so)):
        if bad.key != KEY:
            with pytest.raises(InvalidInput, match=f'cannot use the name "{name}": it is in use by'):
                making.make_pod(bench, bad)
    with pytest.raises(InvalidInput, match=f'cannot use the name "{name}": it is in use by'):
        making.add_member(bench, OTHER, container(name), HandMember(name))
    assert set(engine.keys()) == {KEY, OTHER}
    making.remove_pod(bench, KEY)
    making.add_member(bench, OTHER, container(name), HandMember(name))
    assert bench.source.holder(name) == OTHER


def test_names_outlive_what_they_are_written_down_in(bench: Bench, engine: FakeEngine):
    """The links, or the word of a pod that stands: none is given twice."""
    holding = replace(word().spec, sandbox=SandboxSpec(infra_name="holder"), containers=word("web").spec.containers)
    making.make_pod(bench, replace(word(), spec=holding))
    played = replace(word("app", key=Key("default", "played")))
    making.make_pod(bench, replace(played, spec=replace(played.spec, keep=False)))
    shutil.rmtree(bench.layout.hand / NAMES)
    for name in ("shop", "holder", "web"):
        with pytest.raises(InvalidInput, match=f'cannot use the name "{name}": it is in use by'):
            making.make_pod(bench, word(name, key=OTHER))
    making.make_pod(bench, word("app", key=OTHER))
    (bench.layout.hand / "default" / "shop.json").unlink()
    for name in ("shop", "holder", "web"):
        with pytest.raises(InvalidInput, match=f'cannot use the name "{name}": it is in use by'):
            making.make_pod(bench, word(name, key=Key("default", "third")))


def test_names_are_found_again_by_whoever_comes_first(bench: Bench, engine: FakeEngine):
    """One who was killed at it has left some of them, and another has put all of them in their place meanwhile."""
    making.make_pod(bench, word("web"))
    (bench.layout.hand / NAMES).rename(bench.layout.hand / f"{NAMES}.new")
    (bench.layout.hand / f"{NAMES}.new" / "web").unlink()
    assert not bench.source.claim("web", OTHER)
    assert bench.source.holder("web") == KEY
    assert not (bench.layout.hand / f"{NAMES}.new").exists()


def test_an_infra_container_that_was_given_no_name_has_it_all_the_same(bench: Bench, engine: FakeEngine):
    making.make_pod(bench, word("web"))
    sandbox = engine.observe(KEY, None).sandbox
    assert sandbox is not None
    name = f"{sandbox.id[:12]}-infra"
    with pytest.raises(InvalidInput, match=f"in use by the infra container of pod {KEY.name}"):
        making.add_member(bench, KEY, container(name), HandMember(name))
    making.make_pod(bench, word("0123456789ab-infra", key=OTHER))


def test_a_container_that_goes_leaves_its_pod_the_name_that_both_had(bench: Bench):
    making.make_pod(bench, word(KEY.name, "side"))
    making.remove_members(bench, KEY, [KEY.name, "side"])
    assert (bench.source.holder(KEY.name), bench.source.holder("side")) == (KEY, None)


def test_a_name_left_by_a_command_that_was_killed_is_free(bench: Bench, engine: FakeEngine):
    bench.source.claim("web", Key("default", "lost"))
    making.make_pod(bench, word("web"))
    assert bench.source.holder("web") == KEY


def test_one_that_is_there_may_be_replaced(bench: Bench, engine: FakeEngine):
    making.make_pod(bench, word("web"))
    making.make_pod(bench, word("other"), replace_old=True)
    assert states(engine) == {"other": "running"}
    assert bench.source.holder("web") is None


def test_what_cannot_be_made_leaves_nothing(bench: Bench, engine: FakeEngine):
    engine.unknown_images.add("nobody:1")
    bad = replace(word("web"), spec=replace(word().spec, containers=(container("web", "nobody:1"),)))
    with pytest.raises(RuntimeFailed, match="manifest unknown"):
        making.make_pod(bench, bad)
    assert engine.keys() == ()
    assert bench.source.holder("web") is None
    assert bench.source.all() == ()


def test_a_container_that_cannot_be_made_leaves_its_pod_as_it_was(bench: Bench, engine: FakeEngine):
    making.make_pod(bench, word("web"))
    before = bench.source.read(KEY)
    engine.unknown_images.add("nobody:1")
    with pytest.raises(RuntimeFailed, match="manifest unknown"):
        making.add_member(bench, KEY, container("bad", "nobody:1"), HandMember("bad"))
    assert bench.source.read(KEY) == before
    assert states(engine) == {"web": "running"}


def test_a_pod_of_a_folder_takes_no_containers_by_hand(bench: Bench, engine: FakeEngine, tmp_path: Path):
    settle_plan(engine, present(POD, owner=SourceId(f"dir:{tmp_path}")))
    with pytest.raises(NotFound, match="not made by hand"):
        making.add_member(bench, KEY, container("more"), HandMember("more"))
    with pytest.raises(InvalidInput, match=f"there is one, of {tmp_path}"):
        making.make_pod(bench, word("web"))
    assert bench.source.all() == ()


def test_a_container_created_in_a_running_pod_waits(bench: Bench, engine: FakeEngine):
    making.make_pod(bench, word("web"))
    making.add_member(bench, KEY, container("new"), HandMember("new", Wish(CREATED)))
    assert states(engine) == {"web": "running", "new": "created"}


def test_a_container_run_in_a_created_pod_starts_that_and_no_other(bench: Bench, engine: FakeEngine):
    making.make_pod(bench, word("first", run=CREATED))
    making.add_member(bench, KEY, container("new"), HandMember("new"))
    assert states(engine) == {"first": "created", "new": "running"}
    assert engine.observe(KEY, None).sandbox.infra_up


def test_a_container_created_in_a_stopped_pod_waits_and_the_others_stay_stopped(bench: Bench, engine: FakeEngine):
    making.make_pod(bench, word("web"))
    wish(bench, lambda pod, _: wishes.pod_stopped(pod))
    making.add_member(bench, KEY, container("new"), HandMember("new", Wish(CREATED)))
    assert states(engine) == {"web": "exited", "new": "created"}


def wish(bench: Bench, change) -> None:
    alter(bench, KEY, change)
    settle(bench, KEY)


def test_starting_one_of_a_stopped_pod_leaves_the_others_stopped(bench: Bench, engine: FakeEngine):
    making.make_pod(bench, word("web", "side"))
    wish(bench, lambda pod, _: wishes.pod_stopped(pod))
    assert states(engine) == {"web": "exited", "side": "exited"}
    wish(bench, lambda pod, have: wishes.started(pod, have, ["web"]))
    assert states(engine) == {"web": "running", "side": "exited"}
    wish(bench, wishes.pod_started)
    assert states(engine) == {"web": "running", "side": "running"}


def test_starting_what_runs_changes_nothing(bench: Bench, engine: FakeEngine):
    making.make_pod(bench, word("web"))
    pid = engine.container(KEY, "web").pid
    wish(bench, wishes.pod_started)
    assert engine.container(KEY, "web").pid == pid


def test_starting_what_ended_by_itself_begins_another_life_each_time(bench: Bench, engine: FakeEngine):
    making.make_pod(bench, word("web"))
    for _ in range(3):
        engine.exit(KEY, "web", 1)
        settle(bench, KEY)
        assert states(engine) == {"web": "exited"}
        wish(bench, lambda pod, have: wishes.started(pod, have, ["web"]))
        assert states(engine) == {"web": "running"}


def test_restarting_what_runs_and_what_does_not(bench: Bench, engine: FakeEngine):
    making.make_pod(bench, word("web", "side"))
    wish(bench, lambda pod, _: wishes.stopped(pod, ["side"]))
    pid = engine.container(KEY, "web").pid
    wish(bench, wishes.pod_restarted)
    assert states(engine) == {"web": "running", "side": "running"}
    assert engine.container(KEY, "web").pid != pid


@pytest.fixture
def begun(bench: Bench, engine: FakeEngine) -> Bench:
    """A pod that was played: an init container that ended well, a sidecar, a member."""
    engine.codes = {"one": 0}
    spec = pod(container("web"), init=(container("one"), container("car", restart=RestartPolicy.ALWAYS)))
    edit(bench, KEY, lambda _: HandPod(spec))
    settle(bench, KEY)
    assert states(engine) == {"one": "exited", "car": "running", "web": "running"}
    return bench


def test_an_init_container_of_a_pod_that_has_begun_is_no_more_started_or_stopped(begun: Bench, engine: FakeEngine):
    one, everybody = engine.container(KEY, "one"), ["one", "car", "web"]
    for change in (wishes.started, wishes.each_stopped, wishes.restarted):
        with pytest.raises(InvalidInput, match="cannot start or stop one of pod shop: its time is over"):
            alter(begun, KEY, lambda pod, have, change=change: change(pod, have, ["one"]))
    wish(begun, lambda pod, have: wishes.each_stopped(pod, have, everybody))
    assert states(engine) == {"one": "exited", "car": "exited", "web": "exited"}
    wish(begun, lambda pod, have: wishes.started(pod, have, everybody))
    assert states(engine) == {"one": "exited", "car": "running", "web": "running"}
    assert engine.container(KEY, "one") == one


def test_restarting_a_pod_restarts_its_sidecars(begun: Bench, engine: FakeEngine):
    before = engine.running(KEY)
    wish(begun, wishes.pod_restarted)
    after = engine.running(KEY)
    assert after.keys() == before.keys()
    assert not set(after.values()) & set(before.values())


def test_a_pod_that_was_stopped_begins_anew(begun: Bench, engine: FakeEngine):
    one = engine.container(KEY, "one").id
    wish(begun, lambda pod, _: wishes.pod_stopped(pod))
    assert engine.running(KEY) == {}
    wish(begun, wishes.pod_started)
    assert states(engine) == {"one": "exited", "car": "running", "web": "running"}
    assert engine.container(KEY, "one").id != one


def test_removing_containers_leaves_init_containers_to_the_pod(begun: Bench, engine: FakeEngine):
    with pytest.raises(InvalidInput, match="cannot remove one of pod shop: it goes with the pod"):
        making.remove_members(begun, KEY, ["one"])
    making.remove_members(begun, KEY, ["one", "car"])
    assert states(engine) == {"one": "exited", "web": "running"}


def test_who_tells_of_the_end_of_an_init_container_does_not_wait_for_the_next(begun: Bench, engine: FakeEngine):
    spec = pod(container("web"), init=(container("one"), container("two")))
    edit(begun, KEY, lambda _: HandPod(spec))
    settle(begun, KEY, timeout=0, enough=lambda result: "two" in engine.running(KEY))
    one = engine.container(KEY, "one").id
    assert by_hand.ended(engine, begun.layout, one, engine.clock) is None
    assert engine.running(KEY).keys() == {"two"}


def test_pausing_and_resuming(bench: Bench, engine: FakeEngine):
    making.make_pod(bench, word("web", "side"))
    wish(bench, lambda pod, _: wishes.paused(pod, ["web"]))
    assert states(engine) == {"web": "paused", "side": "running"}
    wish(bench, lambda pod, _: wishes.resumed(pod, ["web", "side"]))
    assert states(engine) == {"web": "running", "side": "running"}


def test_what_a_folder_defines_is_stopped_once_and_started_again(bench: Bench, engine: FakeEngine, tmp_path: Path):
    owner = SourceId(f"dir:{tmp_path}")
    settle_plan(engine, present(POD, owner=owner))
    before = engine.running(KEY)
    oneshot.stop(bench, KEY, [engine.container(KEY, "web")], 3)
    assert set(engine.running(KEY)) == {"side"}
    by_hand.settle(bench, KEY, wanted=oneshot.AsApplied(bench))
    after = engine.running(KEY)
    assert set(after) == {"web", "side"}
    assert (after["side"] == before["side"], after["web"] == before["web"]) == (True, False)
    assert engine.observe(KEY, None).sandbox.owner == owner


def test_the_first_name_that_is_free_is_taken(bench: Bench):
    making.make_pod(bench, word("web"))
    assert making.first_free(bench, iter(["web", KEY.name, "free"])) == "free"


@pytest.mark.parametrize("seed", range(3))
def test_names_that_many_take_at_once_go_to_one_each(seed: int, bench: Bench, engine: FakeEngine):
    from concurrent.futures import ThreadPoolExecutor

    order = random.Random(seed)
    names = [f"name{n}" for n in range(4)] * 4
    order.shuffle(names)

    def make(number: int, name: str) -> bool:
        try:
            making.make_pod(bench, word(name, key=Key("default", f"pod{number}")))
        except InvalidInput:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(make, itertools.count(), names))
    assert sum(made) == 4
    assert {bench.source.holder(f"name{n}").name for n in range(4)} == {k.name for k in tuple(engine.keys())}
