"""Situations to plan from, each brought about on the engine in memory, and the row that tells what is done in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from reconciler.model.actions import CreateContainer, PodActions, UpdateRecord
from reconciler.model.desired import Desired, Missing
from reconciler.model.key import Key, SourceId
from reconciler.model.observed import ImageState, ImageStatus, PortHolder, Problem
from reconciler.model.spec import (
    PodSpec,
    PortBinding,
    PullPolicy,
    Resources,
    RestartPolicy,
    SandboxSpec,
)
from reconciler.plan.sentences import describe, describe_waiting
from tests.fakes.engine import FakeEngine
from tests.unit.plan.driver import (
    ABSENT,
    KEY,
    NEVER,
    ON_FAILURE,
    UNKNOWN,
    container,
    one_round,
    perform,
    plan,
    pod,
    present,
    settle,
    settled,
    with_ports,
)

POD = pod()
WEB2 = pod(container("web", "busybox:2"), container("side"))
WEB3 = pod(container("web", "busybox:3"), container("side"))
GONE_SIDE = pod(container("web"))
PLUS_LOG = pod(container("web"), container("side"), container("log"))
HOSTNAME = replace(POD, sandbox=SandboxSpec(hostname="other"))
LIMIT = pod(container("web", resources=Resources(memory_limit=1 << 20)), container("side"))
LIMITED = pod(container("web", resources=Resources(cpu_request=100, cpu_limit=1000)))
LIMITED_MORE = pod(container("web", resources=Resources(cpu_request=100, cpu_limit=2000)))
SECOND = pod(container("side", resources=Resources(cpu_limit=1000)))

CHANGED = "image changed: busybox:1 -> busybox:2"
POD_CHANGED = "spec.hostname changed: (none) -> other (the pod is recreated)"


def changed(spec: PodSpec, **fields: object) -> PodSpec:
    return replace(spec, **fields)  # type: ignore[arg-type]


Given = Callable[[FakeEngine], Desired]


@dataclass(frozen=True)
class Row:
    """``then``: the steps, sorted; ``waits``: what is waited for; ``wake``: seconds until the next look by itself."""

    sentence: str
    given: Given
    then: tuple[str, ...] = ()
    waits: tuple[str, ...] = ()
    wake: float | None = None


def check(row: Row) -> PodActions:
    engine = FakeEngine()
    want = row.given(engine)
    made = plan(engine, want)
    assert sorted(map(describe, made.steps)) == sorted(row.then)
    assert sorted(map(describe_waiting, made.waiting)) == sorted(row.waits)
    wake = None if made.wake_at is None else made.wake_at - engine.clock.now()
    assert wake == pytest.approx(row.wake) if row.wake is not None else wake is None
    return made


def rows(*made: Row) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", made, ids=[r.sentence for r in made])


def here(engine: FakeEngine, *refs: str) -> None:
    for ref in refs or ("busybox:1", "busybox:2", "busybox:3"):
        engine.images[ref] = ImageState(ImageStatus.PRESENT, id=f"sha256:{ref}")


def rounds(engine: FakeEngine, want: Desired, count: int) -> None:
    for _ in range(count):
        one_round(engine, want)


def new(engine: FakeEngine) -> Desired:
    here(engine)
    return present(POD)


def new_after(count: int) -> Given:
    def given(engine: FakeEngine) -> Desired:
        want = new(engine)
        rounds(engine, want, count)
        return want

    return given


def no_images(engine: FakeEngine) -> Desired:
    return present(WEB2)


def one_image(engine: FakeEngine) -> Desired:
    here(engine, "busybox:1")
    engine.pull_time = 7
    want = present(WEB2)
    rounds(engine, want, 1)
    return want


def never_pulled(engine: FakeEngine) -> Desired:
    return present(pod(container("web", pull_policy=PullPolicy.NEVER)))


def pull_failed(after: float) -> Given:
    def given(engine: FakeEngine) -> Desired:
        engine.unknown_images.add("busybox:1")
        want = present(pod(container("web")))
        rounds(engine, want, 1)
        engine.tick(after)
        return want

    return given


def missing_reference(engine: FakeEngine) -> Desired:
    here(engine)
    return present(POD, missing=(Missing("ConfigMap", "settings", "spec.volumes[0]"),))


def port_taken_and_no_images(engine: FakeEngine) -> Desired:
    engine.foreign_ports.append(NGINX)
    return present(with_ports(pod(container("web")), 8080))


def problem(container_name: str, *, transient: bool = True) -> Given:
    def given(engine: FakeEngine) -> Desired:
        here(engine)
        found = Problem("CreateContainerConfigError", "no such directory: /srv", container_name, transient)
        engine.judge = lambda _spec: (found,)
        return present(POD)

    return given


def port_taken(holder: PortHolder) -> Given:
    def given(engine: FakeEngine) -> Desired:
        here(engine)
        engine.foreign_ports.append(holder)
        return present(with_ports(POD, 8080))

    return given


NGINX = PortHolder(PortBinding(8080, 80, host_ip="127.0.0.1"), pid=123, command="nginx")
CREATE_BOTH = ("create container side because it is not there yet", "create container web because it is not there yet")


def edit(new_spec: PodSpec, old: PodSpec = POD, *, deaf: bool = False, after: int = 0, **fields: object) -> Given:
    """``old`` runs; then ``new_spec`` is wanted and ``after`` rounds were done for it."""

    def given(engine: FakeEngine) -> Desired:
        here(engine)
        settled(old, engine=engine)
        if deaf:
            engine.deaf |= {"web", "side"}
        want = present(new_spec, **fields)
        rounds(engine, want, after)
        return want

    return given


def stale_files() -> Given:
    """The pod runs as wanted; then the host's resolvers change."""

    def given(engine: FakeEngine) -> Desired:
        want = edit(POD)(engine)
        engine.resolvers_changed()
        return want

    return given


def edit_blocked(new_spec: PodSpec, block: Callable[[FakeEngine], None], old: PodSpec = POD) -> Given:
    def given(engine: FakeEngine) -> Desired:
        want = edit(new_spec, old)(engine)
        block(engine)
        return want

    return given


def no_image_2(engine: FakeEngine) -> None:
    engine.images.pop("busybox:2")


def web_is_bad(engine: FakeEngine) -> None:
    engine.judge = lambda _spec: (Problem("CreateContainerConfigError", "no such directory: /srv", "web"),)


def nginx_is_there(engine: FakeEngine) -> None:
    engine.foreign_ports.append(NGINX)


def old_yields(engine: FakeEngine) -> None:
    engine.foreign_ports.append(PortHolder(NGINX.binding, key=Key("default", "old"), yields=True))


def edited_again(second: PodSpec, *, after: int, deaf: bool = True) -> Given:
    """web is being replaced for the second image, when another version is wanted."""

    def given(engine: FakeEngine) -> Desired:
        edit(WEB2, deaf=deaf, after=after)(engine)
        return present(second)

    return given


def grace_over(engine: FakeEngine) -> Desired:
    want = edit(WEB2, deaf=True, after=2)(engine)
    engine.tick(30)
    return want


def killed(seconds_ago: float) -> Given:
    def given(engine: FakeEngine) -> Desired:
        want = grace_over(engine)
        engine.undead.add("web")
        rounds(engine, want, 1)
        engine.tick(seconds_ago)
        return want

    return given


def no_network(engine: FakeEngine) -> Desired:
    want = edit(WEB2, after=1)(engine)
    live = engine._pods[KEY]
    live.sandbox = replace(live.sandbox, networked=False)
    return want


def never_made(engine: FakeEngine) -> Desired:
    engine.unknown_images.add("typo:1")
    rounds(engine, present(pod(container("web", "typo:1"))), 1)
    engine.tick(60)
    return present(pod(container("web", "busybox:2")))


def died_before_its_start(policy: RestartPolicy) -> Given:
    """The replacement of web was created, and ended without ever being started."""

    def given(engine: FakeEngine) -> Desired:
        want = edit(changed(WEB2, restart_policy=policy), changed(POD, restart_policy=policy), after=1)(engine)
        rounds_before = engine._pods[KEY].containers
        new = max((c for c in rounds_before if c.name == "web"), key=lambda c: c.attempt)
        engine._pods[KEY].put(engine._ended(new, 137))
        return want

    return given


def taken_back_without_image(engine: FakeEngine) -> Desired:
    edit(HOSTNAME, deaf=True, after=1)(engine)
    engine.images.clear()
    return present(POD)


def unfinished_stop_of_a_recorded_edit(engine: FakeEngine) -> Desired:
    want = edit(WEB2, after=1)(engine)
    perform(engine, tuple(s for s in plan(engine, want).steps if isinstance(s, UpdateRecord)))
    return UNKNOWN


def edited_old_pod(new: PodSpec, old: PodSpec) -> Given:
    """The pod was made by a version that gave pods' cgroups no values."""

    def given(engine: FakeEngine) -> Desired:
        want = edit(new, old)(engine)
        live = engine._pods[KEY]
        live.sandbox = replace(live.sandbox, resources=None, qos=None)
        return want

    return given


def refused_live(engine: FakeEngine) -> Desired:
    engine.greedy.add("web")
    return edit(LIMITED, LIMITED_MORE, after=1)(engine)


def taken_back_after_refusal(engine: FakeEngine) -> Desired:
    refused_live(engine)
    return present(LIMITED_MORE)


def moved_tag(engine: FakeEngine) -> Desired:
    """`apply --pull` found that web's image is another one now."""
    want = edit(POD)(engine)
    live = engine._pods[KEY]
    web = next(c for c in live.containers if c.name == "web")
    live.put(replace(web, image_id="a" * 64, newer="b" * 64))
    return want


def moved_tag_of_a_volume(engine: FakeEngine) -> Desired:
    """The same of an image that a volume of web shows."""
    want = edit(POD)(engine)
    live = engine._pods[KEY]
    live.put(replace(next(c for c in live.containers if c.name == "web"), newer=f"data:1 {'b' * 64}"))
    return want


def other_owner(engine: FakeEngine) -> Desired:
    return replace(edit(POD)(engine), owner=SourceId("dir:/elsewhere"))  # type: ignore[type-var]


STOP_ALL = (
    f"stop container side (grace 30s) because {POD_CHANGED}",
    f"stop container web (grace 30s) because {POD_CHANGED}",
)


def ended(code: int, spec: PodSpec = POD, *, times: int = 1, ago: float = 0.0, want: Desired | None = None) -> Given:
    """web ended ``times`` times in a row; the last one ``ago`` seconds ago."""

    def given(engine: FakeEngine) -> Desired:
        here(engine)
        settled(spec, engine=engine)
        for n in range(times):
            engine.exit(KEY, "web", code)
            if n < times - 1:
                settle(engine, present(spec))
        engine.tick(ago)
        return want or present(spec)

    return given


def restarted(engine: FakeEngine) -> Desired:
    want = ended(1)(engine)
    rounds(engine, want, 1)
    return want


def ran_long(engine: FakeEngine) -> Desired:
    want = ended(1, times=5)(engine)
    settle(engine, want)
    engine.tick(601)
    engine.exit(KEY, "web", 1)
    return want


def lost_image(engine: FakeEngine) -> Desired:
    want = ended(1)(engine)
    engine.images.clear()
    return want


def blocked_and_crashed(engine: FakeEngine) -> Desired:
    want = edit_blocked(WEB2, web_is_bad)(engine)
    engine.exit(KEY, "web", 1)
    return want


def cut_creation(engine: FakeEngine) -> Desired:
    want = new_after(1)(engine)
    engine.fail(1, "middle")
    perform(engine, tuple(s for s in plan(engine, want).steps if isinstance(s, CreateContainer) and s.name == "web"))
    return want


ON_FAIL = changed(POD, restart_policy=ON_FAILURE)
ONCE = changed(POD, restart_policy=NEVER)


def infra_dead(spec: PodSpec = POD, want: Desired | None = None, finish: dict[str, int] | None = None) -> Given:
    def given(engine: FakeEngine) -> Desired:
        here(engine)
        settled(spec, engine=engine)
        for name, code in (finish or {}).items():
            engine.exit(KEY, name, code)
        engine.kill_infra(KEY)
        return want or present(spec)

    return given


def stopped_with_success(engine: FakeEngine) -> Desired:
    engine.term_code = 0
    want = infra_dead(ON_FAIL)(engine)
    rounds(engine, want, 1)
    return want


def rebooted(want: Desired, spec: PodSpec = POD, *, after: int = 0, finish: bool = False) -> Given:
    def given(engine: FakeEngine) -> Desired:
        here(engine)
        settled(spec, engine=engine)
        for name in list(engine.running(KEY)) if finish else ():
            engine.exit(KEY, name, 0)
        engine.reboot()
        rounds(engine, want, after)
        return want

    return given


def cut_sandbox(engine: FakeEngine) -> Desired:
    want = new(engine)
    engine.fail(1, "middle")
    rounds(engine, want, 1)
    return want


def cut_removal(then: Desired) -> Given:
    def given(engine: FakeEngine) -> Desired:
        edit(HOSTNAME, after=1)(engine)
        engine.fail(1, "middle")
        rounds(engine, present(HOSTNAME), 1)
        return then

    return given


def ended_husk_with_conflict(engine: FakeEngine) -> Desired:
    want = edit(with_ports(POD, 8080), after=2)(engine)
    nginx_is_there(engine)
    return want


def rebooted_with_conflict(engine: FakeEngine) -> Desired:
    want = rebooted(present(with_ports(POD, 8080)), with_ports(POD, 8080), after=1)(engine)
    nginx_is_there(engine)
    return want


def rebooted_with_bad_edit(engine: FakeEngine) -> Desired:
    want = rebooted(present(WEB2), after=0)(engine)
    web_is_bad(engine)
    rounds(engine, want, 1)
    return want


def absent(*, after: int = 0, deaf: bool = False, spec: PodSpec = POD) -> Given:
    def given(engine: FakeEngine) -> Desired:
        here(engine)
        settled(spec, engine=engine)
        engine.deaf |= {"web"} if deaf else set()
        rounds(engine, ABSENT, after)
        return ABSENT

    return given


def absent_husk(engine: FakeEngine) -> Desired:
    edit(HOSTNAME, after=2)(engine)
    return ABSENT


GRACE = "(grace 30s) because"
DIED = "its infra container died"
