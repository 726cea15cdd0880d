"""Commands on pods made by hand, against the engine in memory: intent on disk, work, what follows an end."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.controller import by_hand
from reconciler.controller.by_hand import Bench, edit, settle
from reconciler.controller.lock import claim
from reconciler.controller.wanted import Wanted
from reconciler.engine.layout import Layout
from reconciler.model.desired import Absent, Present, RunState, Unknown, Wish
from reconciler.model.errors import NotFound, Permanent
from reconciler.model.key import HAND, Key, SourceId
from reconciler.model.observed import PidRef
from reconciler.model.spec import PodSpec, RestartPolicy
from reconciler.sources.hand import HandMember, HandPod, HandSource
from tests.fakes.engine import FakeEngine, Killed
from tests.unit.plan.driver import KEY, container, pod, present
from tests.unit.plan.driver import settle as settle_plan
from tests.unit.plan.scenes import POD


def spec(*names: str, **fields: object) -> PodSpec:
    members = [container(name) for name in names]
    return replace(pod(container("x")), containers=tuple(members), **_hand(fields))


def _hand(fields: dict[str, object]) -> dict[str, object]:
    return {"keep": True, "restart_policy": RestartPolicy.NEVER, **fields}


def ask(bench: Bench, wanted: HandPod) -> None:
    edit(bench, wanted.key, lambda _: wanted)
    settle(bench, wanted.key)


def test_what_is_asked_for_is_written_first_and_done_then(engine: FakeEngine, bench: Bench):
    asked = HandPod(spec("web"))
    edit(bench, KEY, lambda before: asked if before is None else before)
    assert bench.source.read(KEY) == asked
    assert engine.running(KEY) == {}
    result = settle(bench, KEY)
    assert set(engine.running(KEY)) == {"web"}
    assert result.owner == HAND


def test_a_command_that_is_killed_leaves_what_the_next_one_finishes(engine: FakeEngine, bench: Bench):
    edit(bench, KEY, lambda _: HandPod(spec("web", "side")))
    engine.fail(2, "middle", Killed("x"))
    with pytest.raises(Killed):
        settle(bench, KEY)
    settle(Bench(engine, bench.layout, engine.clock), KEY)
    assert set(engine.running(KEY)) == {"web", "side"}


def test_a_pod_that_goes_is_forgotten_with_the_names_of_its_containers(engine: FakeEngine, bench: Bench):
    assert bench.source.claim("web", KEY)
    ask(bench, HandPod(spec("web")))
    assert not bench.source.claim("web", Key("default", "other"))
    edit(bench, KEY, lambda before: by_hand.removed(before, KEY, 3))
    settle(bench, KEY)
    assert engine.keys() == ()
    assert bench.source.read(KEY) is None
    assert bench.source.holder("web") is None


def test_only_what_was_made_by_hand_is_removed_by_hand(bench: Bench):
    with pytest.raises(NotFound, match="not made by hand"):
        edit(bench, KEY, lambda before: by_hand.removed(before, KEY))


def test_a_member_made_to_be_removed_goes_when_it_has_ended(engine: FakeEngine, bench: Bench):
    bench.source.claim("web", KEY)
    ask(bench, HandPod(spec("web", "side"), members=(HandMember("web", remove=True),)))
    engine.exit(KEY, "web")
    settle(bench, KEY)
    assert [c.name for c in engine.observe(KEY, None).containers] == ["side"]
    assert bench.source.read(KEY).members == ()
    assert bench.source.holder("web") is None


def test_a_pod_that_was_there_for_it_goes_with_it(engine: FakeEngine, bench: Bench):
    ask(bench, HandPod(spec("web"), members=(HandMember("web", remove=True),), solo=True))
    engine.exit(KEY, "web")
    settle(bench, KEY)
    assert engine.keys() == ()
    assert bench.source.all() == ()


def test_one_that_is_to_be_restarted_has_not_ended(engine: FakeEngine, bench: Bench):
    member = HandMember("web", remove=True)
    ask(bench, HandPod(spec("web", restart_policy=RestartPolicy.ALWAYS), members=(member,)))
    engine.exit(KEY, "web", 1)
    settle(bench, KEY)
    assert [c.restarts for c in engine.observe(KEY, None).containers] == [1]


def test_what_cannot_be_is_told_and_ends_the_work(engine: FakeEngine, bench: Bench):
    engine.unknown_images.add("nobody:1")
    edit(bench, KEY, lambda _: HandPod(replace(spec("web"), containers=(container("web", "nobody:1"),))))
    result = settle(bench, KEY)
    assert any("manifest unknown" in w.reason.text for w in result.waiting)


def test_a_step_that_fails_for_good_is_raised(engine: FakeEngine, bench: Bench):
    edit(bench, KEY, lambda _: HandPod(spec("web")))
    engine.fail(1, "before", Permanent("cannot create it: no"))
    with pytest.raises(Permanent, match="no"):
        settle(bench, KEY)


def test_a_stop_waits_for_the_end(engine: FakeEngine, bench: Bench):
    ask(bench, HandPod(spec("web")))
    edit(bench, KEY, lambda before: before.with_member(HandMember("web", Wish(RunState.STOPPED, grace=0.01))))
    engine.deaf.add("web")
    settle(bench, KEY, timeout=0.0)
    engine.tick(1.0)
    settle(bench, KEY)
    assert engine.running(KEY) == {}


def test_the_monitors_call_leaves_it_to_a_live_controller(engine: FakeEngine, bench: Bench, layout: Layout):
    ask(bench, HandPod(spec("web", restart_policy=RestartPolicy.ALWAYS)))
    ident = engine.container(KEY, "web").id
    engine.exit(KEY, "web", 1)
    with claim(layout.controller_lock, [], []):
        by_hand.ended(engine, layout, ident)
        assert engine.running(KEY) == {}
    layout.halted.touch()
    by_hand.ended(engine, layout, ident)
    assert engine.running(KEY) == {}
    layout.halted.unlink()
    assert by_hand.ended(engine, layout, ident, engine.clock) is None
    assert set(engine.running(KEY)) == {"web"}
    engine.exit(KEY, "web", 1)
    again = by_hand.ended(engine, layout, ident, engine.clock)
    assert again is not None and again > 0
    engine.tick(again)
    assert by_hand.ended(engine, layout, ident, engine.clock) is None
    assert set(engine.running(KEY)) == {"web"}


def test_the_next_back_off_is_waited_out_by_the_next_life_s_monitor(engine: FakeEngine, bench: Bench, layout: Layout):
    """Two would wait otherwise, and the older one is nobody's child: who removes the container would not know of it."""
    ask(bench, HandPod(spec("web", restart_policy=RestartPolicy.ALWAYS)))
    ident = engine.container(KEY, "web").id
    engine.exit(KEY, "web", 1)
    assert by_hand.ended(engine, layout, ident, engine.clock) is None
    engine.exit(KEY, "web", 1)
    again = by_hand.ended(engine, layout, ident, engine.clock)
    assert again is not None
    engine.tick(again)
    engine.brief.add("web")
    assert by_hand.ended(engine, layout, ident, engine.clock) is None
    assert engine.container(KEY, "web").restarts == 2


# --- the source ------------------------------------------------------------------------------------------------------


def test_a_pod_whose_word_is_lost_is_kept(bench: Bench, engine: FakeEngine):
    ask(bench, HandPod(spec("web")))
    Path(bench.source.path_of(KEY)).unlink()
    source = HandSource(bench.layout.hand)
    source.own(KEY)
    assert isinstance(source.resolve(KEY).desired, Unknown)
    settle(bench, KEY)
    assert set(engine.running(KEY)) == {"web"}


def test_a_damaged_word_is_no_word(bench: Bench):
    edit(bench, KEY, lambda _: HandPod(spec("web")))
    Path(bench.source.path_of(KEY)).write_text('{"spec":')
    desired = bench.source.resolve(KEY).desired
    assert isinstance(desired, Unknown)
    assert "damaged" in desired.why


def test_wishes_reach_the_plan(bench: Bench):
    edit(bench, KEY, lambda _: HandPod(spec("web"), RunState.CREATED, (HandMember("web", Wish(turn=2)),)))
    desired = bench.source.resolve(KEY).desired
    assert isinstance(desired, Present)
    assert (desired.run, desired.wish("web")) == (RunState.CREATED, Wish(RunState.CREATED, turn=2))


def test_a_controller_looks_after_what_is_made_by_hand_and_prunes_nothing_of_it(bench: Bench):
    edit(bench, KEY, lambda _: HandPod(spec("web")))
    wanted = Wanted([HandSource(bench.layout.hand)])
    assert wanted.keys() == {KEY}
    assert isinstance(wanted.resolve(KEY).desired, Present)
    assert isinstance(wanted.resolve(Key("default", "nobody")).desired, Absent)


def test_a_pod_of_a_folder_is_not_taken_over(bench: Bench, engine: FakeEngine, tmp_path: Path):
    owner = SourceId(f"dir:{tmp_path}")
    settle_plan(engine, present(POD, owner=owner))
    edit(bench, KEY, lambda _: HandPod(spec("web")))
    result = settle(bench, KEY)
    assert (result.owner, set(engine.running(KEY))) == (owner, {"web", "side"})


def test_nobody_waits_for_the_end_of_what_has_ended_already(bench: Bench):
    """Be its number another process's by now, which goes on."""
    edit(bench, KEY, lambda _: HandPod(spec("web")))
    result = settle(bench, KEY)
    ended = replace(result, running=tuple((name, PidRef(os.getpid(), 1)) for name, _ in result.running))
    assert ended.running
    begun = time.monotonic()
    with by_hand._Bell(bench.engine, KEY) as bell:
        bell.wait(ended, bench.clock.now() + 60, bench.clock)
    assert time.monotonic() - begun < 30
