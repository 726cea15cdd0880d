"""`kube play` and `kube down` against the engine in memory."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.controller import played
from reconciler.controller.by_hand import Bench, edit, settle
from reconciler.model.actions import CreateContainer, StartContainer
from reconciler.model.desired import RunState, Wish
from reconciler.model.errors import InvalidInput, NotOwned, RuntimeFailed
from reconciler.model.key import HAND, Key, SourceId
from reconciler.model.login import Login
from reconciler.model.objects import Object
from reconciler.model.observed import ContainerState
from reconciler.model.spec import PodSpec, RestartPolicy
from reconciler.sources.hand import HandMember, HandPod
from tests.fakes.engine import FakeEngine
from tests.slowness import seconds
from tests.unit.plan.driver import KEY, container, pod, present
from tests.unit.plan.driver import settle as settle_plan
from tests.unit.plan.scenes import GONE_SIDE, POD, WEB2

OTHER = replace(POD, key=Key("default", "other"))
LOGINS = (Login("registry:5000", "c2VjcmV0"),)


def play(bench: Bench, *pods: PodSpec, **options: object) -> tuple[played.Outcome, ...]:
    return played.play(bench, pods, **options)  # type: ignore[arg-type]


def registry(name: str, logins: tuple[Login, ...]) -> Object:
    return Object("Secret", "default", name, logins=logins)


def found(engine: FakeEngine, name: str, key: Key = KEY) -> tuple[Login, ...] | None:
    """What an engine that makes the pod of ``key`` finds."""
    secret = engine.objects_for(key, HAND)("Secret", name)
    return secret.logins if secret else None


def with_secret(name: str) -> PodSpec:
    return pod(container("web", pull_secrets=(name,)))


# --- play ------------------------------------------------------------------------------------------------------------


def test_pods_are_made_by_hand_and_their_ids_told_in_the_manifests_order(bench: Bench, engine: FakeEngine):
    one, two = play(bench, POD, OTHER)
    have = engine.observe(KEY, None)
    assert have.sandbox is not None
    assert (one.key, one.pod, one.ok) == (KEY, have.sandbox.id, True)
    assert one.containers == tuple(engine.container(KEY, name).id for name in ("web", "side"))
    assert (have.sandbox.owner, have.sandbox.applied.keep) == (HAND, False)
    assert set(engine.running(two.key)) == {"web", "side"}


def test_played_again_unchanged_nothing_is_done(bench: Bench, engine: FakeEngine):
    (before,) = play(bench, POD)
    done = len(engine.performed)
    (again,) = play(bench, POD)
    assert (again.pod, again.containers, again.steps) == (before.pod, before.containers, 0)
    assert len(engine.performed) == done


def test_played_again_changed_only_what_changed_is_touched(bench: Bench, engine: FakeEngine):
    (before,) = play(bench, POD)
    (after,) = play(bench, WEB2)
    assert after.steps > 0
    assert after.pod == before.pod
    assert after.containers[0] != before.containers[0]
    assert after.containers[1] == before.containers[1]
    play(bench, GONE_SIDE)
    assert set(engine.running(KEY)) == {"web"}


def test_without_start_containers_wait(bench: Bench, engine: FakeEngine):
    (made,) = play(bench, POD, start=False)
    assert made.ok
    assert engine.running(KEY) == {}
    assert {engine.container(KEY, name).state for name in ("web", "side")} == {ContainerState.CREATED}
    play(bench, POD)
    assert set(engine.running(KEY)) == {"web", "side"}


def test_what_was_stopped_by_hand_is_started_by_playing_it_and_its_lives_go_on_being_counted(
    bench: Bench, engine: FakeEngine
):
    play(bench, POD)
    stopped = HandMember("web", Wish(RunState.STOPPED, turn=3, grace=1))
    edit(bench, KEY, lambda before: before.with_member(stopped))
    settle(bench, KEY)
    assert set(engine.running(KEY)) == {"side"}
    play(bench, POD)
    assert set(engine.running(KEY)) == {"web", "side"}
    assert bench.source.read(KEY).member("web").wish == Wish(turn=3)


def test_a_pod_of_a_folder_is_refused_and_the_others_are_played(bench: Bench, engine: FakeEngine):
    owner = SourceId("dir:/srv/pods")
    settle_plan(engine, present(POD, owner=owner))
    refused, fine = play(bench, WEB2, OTHER)
    assert isinstance(refused.error, NotOwned)
    assert 'cannot play pod "shop": it belongs to /srv/pods' in refused.error.message
    assert fine.ok
    assert bench.source.read(KEY) is None
    assert engine.observe(KEY, None).sandbox.owner == owner
    assert engine.container(KEY, "web").spec.image == "busybox:1"


def test_a_pod_made_by_another_command_is_refused_unless_it_is_to_be_replaced(bench: Bench, engine: FakeEngine):
    by_run = replace(POD, keep=True, restart_policy=RestartPolicy.NEVER)
    bench.source.claim("web", KEY)
    edit(bench, KEY, lambda _: HandPod(by_run))
    settle(bench, KEY)
    before = engine.observe(KEY, None).sandbox.id
    (refused,) = play(bench, POD)
    assert isinstance(refused.error, InvalidInput)
    assert "--replace" in refused.error.hint
    (made,) = play(bench, POD, replace_others=True)
    assert made.ok
    assert made.pod != before
    assert bench.source.holder("web") is None


def test_replace_of_what_was_played_converges(bench: Bench):
    (before,) = play(bench, POD)
    (after,) = play(bench, POD, replace_others=True)
    assert (after.pod, after.steps) == (before.pod, 0)


def test_a_removal_that_was_cut_short_before_its_last_word_is_no_obstacle(bench: Bench, engine: FakeEngine):
    bench.source.claim("web", KEY)
    bench.source.write(HandPod(replace(POD, keep=True), going=True))
    (made,) = play(bench, POD)
    assert made.ok
    assert bench.source.holder("web") is None


def test_what_cannot_be_is_told_of_its_pod(bench: Bench, engine: FakeEngine):
    engine.unknown_images.add("nobody:1")
    bad, good = play(bench, pod(container("web", "nobody:1")), OTHER)
    assert any("manifest unknown" in why for why in bad.why)
    assert good.ok


def test_what_fails_is_told_of_its_pod(bench: Bench, engine: FakeEngine):
    for nth in (1, 1, 1):
        engine.fail(nth, "before", RuntimeFailed("cannot create it: no"))
    (failed,) = play(bench, POD)
    assert failed.error is not None
    assert not failed.ok
    assert bench.source.asked_for(KEY)


def test_a_mistake_of_ours_is_raised(bench: Bench, engine: FakeEngine):
    engine.fail(1, "before", ValueError("oops"))
    with pytest.raises(ValueError, match="oops"):
        play(bench, POD)


# --- Secrets ---------------------------------------------------------------------------------------------------------


def test_a_secret_is_found_by_who_pulls_and_forgotten_with_the_pod(bench: Bench, engine: FakeEngine):
    spec = with_secret("regcred")
    came = [registry("regcred", LOGINS), registry("unused", LOGINS)]
    play(bench, spec, objects=came)
    assert found(engine, "regcred") == LOGINS
    assert found(engine, "unused") is None
    assert found(engine, "regcred", Key("elsewhere", "web")) is None
    (file,) = bench.layout.hand.glob("*/*.json")
    assert file.stat().st_mode & 0o777 == 0o600
    assert "c2VjcmV0" not in repr(bench.source.read(KEY))

    play(bench, spec)
    assert found(engine, "regcred") == LOGINS
    played.down(bench, [KEY])
    assert found(engine, "regcred") is None


def test_a_pod_has_the_secret_that_it_was_played_with_and_any_other_pod_the_last_one_played(
    bench: Bench, engine: FakeEngine
):
    newer = (Login("registry:5000", "bmV3ZXI="),)
    first, second = with_secret("regcred"), replace(with_secret("regcred"), key=Key("default", "a-second"))
    play(bench, first, objects=[registry("regcred", LOGINS)])
    engine.tick(5)
    play(bench, second, objects=[registry("regcred", newer)])
    assert found(engine, "regcred") == LOGINS
    assert found(engine, "regcred", second.key) == newer
    assert found(engine, "regcred", Key("default", "third")) == newer


# --- down ------------------------------------------------------------------------------------------------------------


def test_down_removes_what_was_played_and_is_content_where_nothing_is(bench: Bench, engine: FakeEngine):
    (made,) = play(bench, POD)
    (gone,) = played.down(bench, [KEY])
    assert (gone.pod, gone.ok) == (made.pod, True)
    assert engine.keys() == ()
    assert not bench.source.asked_for(KEY)
    (nothing,) = played.down(bench, [KEY])
    assert (nothing.pod, nothing.ok) == ("", True)


def test_down_of_a_pod_that_could_never_be_made_forgets_it(bench: Bench, engine: FakeEngine):
    engine.unknown_images.add("nobody:1")
    play(bench, pod(container("web", "nobody:1")))
    played.down(bench, [KEY])
    assert not bench.source.asked_for(KEY)
    assert engine.keys() == ()


def test_down_gives_each_container_its_grace(bench: Bench, engine: FakeEngine):
    play(bench, replace(POD, grace_period=0))
    engine.deaf.add("web")
    played.down(bench, [KEY])
    assert engine.keys() == ()


@pytest.mark.parametrize(
    ("owner", "keep", "error", "says"),
    [
        pytest.param(SourceId("dir:/srv/pods"), False, NotOwned, "belongs to /srv/pods", id="a folder's"),
        pytest.param(HAND, True, InvalidInput, "not played, but made by hand", id="another command's"),
    ],
)
def test_down_leaves_alone(owner, keep, error, says, bench: Bench, engine: FakeEngine):
    settle_plan(engine, present(replace(POD, keep=keep), owner=owner))
    (refused,) = played.down(bench, [KEY])
    assert isinstance(refused.error, error)
    assert says in refused.error.message
    assert set(engine.running(KEY)) == {"web", "side"}


def test_down_of_a_played_pod_whose_word_is_lost(bench: Bench, engine: FakeEngine):
    play(bench, POD)
    Path(bench.source.path_of(KEY)).unlink()
    (gone,) = played.down(bench, [KEY])
    assert gone.ok
    assert engine.keys() == ()


# --- following -------------------------------------------------------------------------------------------------------


def test_it_is_told_when_all_pods_have_run_their_course(bench: Bench, engine: FakeEngine):
    never = replace(POD, restart_policy=RestartPolicy.NEVER)
    play(bench, never)
    engine.exit(KEY, "web", 1)
    engine.exit(KEY, "side")
    stop = threading.Event()
    with played.following(bench, [KEY], stop):
        assert stop.wait(seconds(20))


def test_what_fails_meanwhile_is_tried_again(bench: Bench, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(played, "LOOK_AGAIN", 0.01)
    play(bench, replace(POD, restart_policy=RestartPolicy.ON_FAILURE))
    engine.exit(KEY, "web", 1)
    for nth in (1, 1, 1):
        engine.fail(nth, "before", RuntimeFailed("cannot create it: no"))
    stop, started = threading.Event(), threading.Event()
    bench.on_step = lambda _key, step: started.set() if isinstance(step, StartContainer) else None
    with played.following(bench, [KEY], stop):
        assert started.wait(seconds(20))
        assert not stop.is_set()
        engine.exit(KEY, "side")
        engine.exit(KEY, "web")
        assert stop.wait(seconds(20))


def test_a_new_container_is_made_for_each_start(bench: Bench, engine: FakeEngine):
    play(bench, POD)
    first = engine.container(KEY, "web").id
    engine.exit(KEY, "web", 1)
    settle(bench, KEY)
    assert engine.container(KEY, "web").id != first
    assert sum(isinstance(step, CreateContainer) and step.name == "web" for step in engine.performed) == 2
