"""Who is asked when, what becomes of the answers, and that nobody waits for anybody; on an engine in memory, with a
clock that stands still and a crew that works when it is told to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from reconciler.controller.crew import Crew, Work
from reconciler.controller.log import Silent
from reconciler.controller.probes import Prober
from reconciler.model.clock import SystemClock
from reconciler.model.errors import NotFound, TryLater
from reconciler.model.hook import HookState
from reconciler.model.key import ContainerId, Key
from reconciler.model.probe import ExecAction, Handler, Outcome, Probe, TcpAction, Verdict
from reconciler.plan.patients import patients
from tests.fakes.clock import FakeClock
from tests.fakes.engine import FakeEngine
from tests.slowness import seconds
from tests.unit.plan.driver import KEY, container, observe, pod, present, settle

LIVE, READY, UP = ExecAction(("live",)), TcpAction(80), ExecAction(("up",))
PROBES = {"liveness": Probe(LIVE), "readiness": Probe(READY, period=5)}
PASSED, FAILED = Outcome(True), Outcome(False, "it\nfailed\x1b[2J")


class Patience(Crew):
    """Keeps what it is given until it is told to ``work``."""

    def __init__(self) -> None:
        super().__init__("patience", 0)
        self.given: list[Work] = []

    def do(self, work: Work) -> None:
        self.given.append(work)

    def work(self) -> None:
        given, self.given = self.given, []
        for one in given:
            one()


@dataclass
class Ward:
    """A pod with probes, and those who ask it. ``says``: what comes of each handler; ``asked``: all that were run."""

    clock: FakeClock = field(default_factory=FakeClock)
    crew: Patience = field(default_factory=Patience)
    says: dict[Handler, Outcome] = field(default_factory=dict)
    asked: list[Handler] = field(default_factory=list)
    changed: list[Key] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.engine = FakeEngine(self.clock)
        self.engine.probing = self._answer
        self.prober = Prober(self.engine, self.clock, self.changed.append, Silent(), self.crew)

    def _answer(self, handler: Handler) -> Outcome:
        self.asked.append(handler)
        return self.says.get(handler, PASSED)

    def run(self, *, resting: bool = False, paused: bool = False, **probes: Probe) -> None:
        """Have the pod run with these probes, and follow it."""
        self.spec = pod(container("web", **probes))
        settle(self.engine, present(self.spec))
        self.follow(resting=resting, paused=paused)

    def follow(self, **state: bool) -> None:
        found = patients(observe(self.engine, present(self.spec)))
        self.prober.follow(KEY, [replace(patient, **state) for patient in found])

    def step(self, after: float = 0.0) -> list[Handler]:
        """Let time pass, and run what is due then; what that was."""
        self.clock.advance(after)
        before = len(self.asked)
        self.prober.tick()
        self.crew.work()
        return self.asked[before:]

    def next(self) -> float | None:
        """Seconds to the next probe."""
        due = self.prober.tick()
        return None if due is None else due - self.clock.now()

    @property
    def web(self) -> Verdict:
        web = self.engine.container(KEY, "web")
        return Verdict(web.started_up, web.is_ready, web.unhealthy)

    @property
    def told(self) -> list[str]:
        return [
            f"{reason}: {text}" for _, _, reason, text in self.engine.emitted if reason in ("Unhealthy", "ProbeWarning")
        ]


@pytest.fixture
def ward() -> Ward:
    return Ward()


def test_a_container_is_asked_at_its_start_and_then_in_each_period(ward: Ward) -> None:
    ward.run(**PROBES)
    assert ward.step() == [LIVE, READY]
    assert ward.next() == 5
    assert ward.step(5) == [READY]
    assert ward.step(5) == [LIVE, READY]


def test_nothing_wakes_where_no_probe_is_due(ward: Ward) -> None:
    ward.prober.follow(KEY, ())
    assert ward.next() is None
    ward.run(startup=Probe(UP), liveness=Probe(LIVE))
    ward.says[UP] = FAILED
    for _ in range(3):
        ward.step(10)
    assert ward.web.unhealthy == "startup"
    assert ward.next() is None, "it is on hold until another container is there"


def test_the_first_question_waits_for_its_delay(ward: Ward) -> None:
    ward.run(readiness=Probe(READY, initial_delay=7))
    assert (ward.next(), ward.step()) == (7, [])
    assert ward.step(7) == [READY]


def test_what_follows_is_written_down_once_and_told_to_who_syncs(ward: Ward) -> None:
    ward.run(**PROBES)
    assert not ward.web.is_ready
    ward.step()
    assert (ward.web, ward.changed) == (Verdict(), [KEY])
    ward.step(10)
    assert ward.changed == [KEY], "nothing is new"


def test_startup_goes_first_and_the_others_follow_at_once(ward: Ward) -> None:
    ward.run(startup=Probe(UP, period=3), **PROBES)
    ward.says[UP] = FAILED
    assert ward.step() == [UP]
    ward.says[UP] = PASSED
    assert ward.step(3) == [UP]
    assert ward.web == Verdict(started_up=True, is_ready=False)
    assert ward.step() == [LIVE, READY]
    assert ward.web == Verdict()
    assert UP not in ward.step(30)


def test_failures_are_told_in_the_kubelets_words_harmlessly(ward: Ward) -> None:
    ward.says = {LIVE: FAILED, READY: Outcome(True, "odd", warning=True), UP: Outcome(False, "no such", errored=True)}
    ward.run(startup=Probe(UP), **PROBES)
    ward.step()
    ward.says[UP] = PASSED
    ward.step(10)
    ward.step()
    assert ward.told == [
        "Unhealthy: Startup probe errored and resulted in unknown state: no such",
        "Unhealthy: Liveness probe failed: it failed\ufffd[2J",
        "ProbeWarning: Readiness probe warning: odd",
    ]


def test_a_long_story_is_cut(ward: Ward) -> None:
    ward.says[LIVE] = Outcome(False, "x" * 100_000)
    ward.run(**PROBES)
    ward.step()
    assert len(ward.told[0]) < 1100 and ward.told[0].endswith("x…")


def test_one_of_several_containers_is_named(ward: Ward) -> None:
    ward.says[LIVE] = FAILED
    ward.spec = pod(container("web", **PROBES), container("side"))
    settle(ward.engine, present(ward.spec))
    ward.follow()
    ward.step()
    assert ward.told[0].startswith("Unhealthy: container web: Liveness probe failed: ")


def test_what_could_not_be_asked_is_tried_three_times_and_says_nothing(ward: Ward) -> None:
    ward.says[LIVE] = Outcome(False, "no such program", errored=True)
    ward.run(liveness=Probe(LIVE, failure=1))
    assert ward.step() == [LIVE] * 3
    for _ in range(5):
        ward.step(10)
    assert ward.web == Verdict()


def test_the_result_of_one_that_has_gone_is_forgotten(ward: Ward) -> None:
    ward.says[LIVE] = FAILED
    ward.run(liveness=Probe(LIVE, failure=1))
    ward.prober.tick()
    ward.engine.exit(KEY, "web", 1)
    settle(ward.engine, present(ward.spec))
    ward.follow()
    ward.crew.work()
    assert (ward.told, ward.web, ward.changed) == ([], Verdict(), [])


def test_the_result_of_a_probe_that_was_edited_meanwhile_is_forgotten(ward: Ward) -> None:
    ward.says[LIVE] = FAILED
    ward.run(liveness=Probe(LIVE, failure=1))
    ward.prober.tick()
    ward.run(liveness=Probe(ExecAction(("other",)), failure=1))
    ward.crew.work()
    assert ward.web == Verdict()
    assert ward.step() == [ExecAction(("other",))], "the new one is asked at once"


def test_an_edit_keeps_what_counts_and_what_is_removed_counts_no_more(ward: Ward) -> None:
    ward.run(**PROBES)
    ward.step()
    ward.says[READY] = FAILED
    ward.run(readiness=Probe(READY, period=1))
    assert ward.web.is_ready
    for _ in range(3):
        ward.step(1)
    assert not ward.web.is_ready
    ward.run(liveness=Probe(LIVE))
    assert ward.web.is_ready
    assert ward.step(5) == [LIVE]


def test_a_readiness_probe_that_is_added_must_pass_first(ward: Ward) -> None:
    ward.run(liveness=Probe(LIVE))
    ward.step()
    ward.run(**PROBES)
    assert not ward.web.is_ready
    ward.step()
    assert ward.web.is_ready


def test_one_that_is_being_ended_is_asked_for_its_readiness_alone(ward: Ward) -> None:
    ward.run(**PROBES)
    ward.step()
    ward.follow(resting=True)
    assert ward.step(10) == [READY]
    ward.follow()
    assert ward.step() == [LIVE], "it was left alone for a while, and is not any more"


@pytest.mark.parametrize("state", HookState)
def test_nobody_is_asked_before_his_hook_has_passed(ward: Ward, state: HookState) -> None:
    ward.run(**PROBES)
    have = observe(ward.engine, present(ward.spec))
    hooked = replace(have, containers=tuple(replace(c, post_start=state) for c in have.containers))
    assert bool(patients(hooked)) is (state is HookState.PASSED)


def test_one_that_is_paused_is_not_asked(ward: Ward) -> None:
    ward.run(paused=True, **PROBES)
    assert ward.next() is None


def test_a_controller_that_begins_anew_goes_on_from_what_was_found(ward: Ward) -> None:
    ward.run(**PROBES)
    ward.step()
    ward.clock.advance(12)
    ward.prober = Prober(ward.engine, ward.clock, ward.changed.append, Silent(), ward.crew)
    ward.says[READY] = FAILED
    ward.follow()
    assert (ward.next(), ward.web) == (3, Verdict())
    ward.step(3)
    ward.step(5)
    assert ward.web.is_ready
    ward.step(5)
    assert not ward.web.is_ready


def test_what_cannot_be_written_is_tried_again(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    ward.run(**PROBES)
    write = ward.engine.note_verdict

    def full(container: ContainerId, since: float, verdict: Verdict) -> None:
        raise TryLater("cannot write: No space left on device")

    monkeypatch.setattr(ward.engine, "note_verdict", full)
    ward.step()
    assert (ward.web.is_ready, ward.changed) == (False, [])
    monkeypatch.setattr(ward.engine, "note_verdict", write)
    ward.step(5)
    assert (ward.web.is_ready, ward.changed) == (True, [KEY])


def test_one_who_has_ended_gives_no_answer(ward: Ward) -> None:
    ward.run(liveness=Probe(LIVE, failure=1))

    def gone(_handler: Handler) -> Outcome:
        raise NotFound("cannot probe: it has ended")

    ward.engine.probing = gone
    ward.step()
    assert (ward.told, ward.web) == ([], Verdict())


def test_a_slow_probe_delays_no_other() -> None:
    """On real threads: one of two containers never answers."""
    engine, answered, let_go = FakeEngine(), threading.Event(), threading.Event()
    slow, quick = Probe(LIVE, period=1), Probe(READY, period=1)
    times = 0

    def answer(handler: Handler) -> Outcome:
        nonlocal times
        if handler == LIVE:
            let_go.wait()
        else:
            times += 1
            if times == 2:
                answered.set()
        return PASSED

    engine.probing = answer
    clock = SystemClock()
    spec = pod(container("a", liveness=slow), container("b", liveness=quick))
    settle(engine, present(spec))
    prober = Prober(engine, clock, lambda _key: None, Silent())
    prober.start()
    found = patients(observe(engine, present(spec)))
    prober.follow(KEY, [replace(patient, since=clock.now()) for patient in found])
    assert answered.wait(seconds(30))
    let_go.set()
    prober.stop()
    assert not prober.thread.is_alive()


@pytest.mark.parametrize(
    "do",
    [
        pytest.param(lambda prober: prober.follow(KEY, ()), id="nobody is to be asked any more"),
        pytest.param(lambda prober: prober.stop(), id="the controller ends"),
    ],
)
def test_nothing_comes_of_what_is_under_way_when(ward: Ward, do: Callable[[Prober], None]) -> None:
    ward.run(**PROBES)
    ward.prober.tick()
    do(ward.prober)
    ward.crew.work()
    assert (ward.changed, ward.next()) == ([], None)


def test_a_crew_has_as_many_threads_as_there_is_work_at_once_and_no_more_than_it_may() -> None:
    crew = Crew("test", 2, idle=0.05)
    gate, begun, done = threading.Event(), threading.Semaphore(0), threading.Semaphore(0)

    def work() -> None:
        begun.release()
        gate.wait()
        done.release()

    for _ in range(5):
        crew.do(work)
    for _ in range(2):
        assert begun.acquire(timeout=seconds(10))
    assert not begun.acquire(blocking=False), "a third one waits its turn"
    gate.set()
    for _ in range(5):
        assert done.acquire(timeout=seconds(10))
    ended = threading.Event()
    crew.do(ended.set)
    assert ended.wait(seconds(10)), "who has slept is replaced"
