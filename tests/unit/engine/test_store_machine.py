"""The store under several processes that are told things one after the other, at the same time, and killed meanwhile.

After each step: what a process answered is so, what a killed one was told is done or not, and nothing in between.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from reconciler.model.errors import TryLater
from tests.unit.engine import store_process as does
from tests.unit.engine.store_process import StoreProcess

NAMES = ("a", "b", "c")
WHO = st.integers(0, 2)
NAME = st.sampled_from(NAMES)

Step = tuple[Any, ...]
"""A function of ``store_process``, and what it is given."""

STEPS = st.one_of(
    st.tuples(st.just(does.lease), NAME),
    st.tuples(st.just(does.release), NAME),
    st.tuples(st.just(does.add_pod), NAME, st.integers(8000, 8002)),
    st.tuples(st.just(does.publish), NAME, st.integers(8000, 8002)),
    st.tuples(st.just(does.release_ports), NAME),
    st.tuples(st.just(does.remove_pod), NAME),
    st.tuples(st.just(does.add_container), NAME, st.integers(0, 2)),
    st.tuples(st.just(does.emit), NAME, st.sampled_from(("x", "y"))),
    st.tuples(st.just(does.put), st.sampled_from(("a", "b")), st.sampled_from(("1", "2"))),
)


class Machine(RuleBasedStateMachine):
    """``at``: what stands in the store, by what was told so far."""

    @initialize()
    def open(self) -> None:
        self.place = tempfile.TemporaryDirectory()
        self.path = Path(self.place.name) / "state.db"
        self.processes = [StoreProcess(self.path) for _ in range(3)]
        self.at = self.seen(0)

    @rule(who=WHO, step=STEPS)
    def one_is_told(self, who: int, step: Step) -> None:
        answer = self.processes[who].ask(*step)
        after = self.seen((who + 1) % 3)
        expect(self.at, step, answer, after)
        self.at = after

    @rule(steps=st.tuples(STEPS, STEPS, STEPS))
    def all_are_told_at_once(self, steps: tuple[Step, Step, Step]) -> None:
        for process, step in zip(self.processes, steps, strict=True):
            process.tell(*step)
        answers = [process.answer() for process in self.processes]
        self.at = self.seen(0)
        last = {step[1]: answer for step, answer in zip(steps, answers, strict=True) if step[0] is does.lease}
        freed = {step[1] for step in steps if step[0] is does.release}
        for name, lease in last.items():
            assert name in freed or self.at["leases"][name] == lease

    @rule(who=WHO, step=STEPS, other=STEPS)
    def one_is_killed_at_work(self, who: int, step: Step, other: Step) -> None:
        """While another works, too: it must not have to wait for the dead one."""
        self.processes[who].tell(*step)
        self.processes[(who + 1) % 3].tell(*other)
        self.processes[who].kill()
        self.processes[who] = StoreProcess(self.path)
        self.processes[(who + 1) % 3].answer()
        self.at = self.seen(who)

    @invariant()
    def nothing_is_doubled(self) -> None:
        if not hasattr(self, "at"):
            return
        at = self.at
        assert at["integrity"] == [("ok",)]
        assert len(at["addresses"]) == len({*at["addresses"]})
        leases = at["leases"].values()
        assert all(lease.ip and lease.ip6 for lease in leases), "both addresses come and go together"
        names = [name for name, _ in at["names"]]
        assert len(names) == len({*names})
        assert {*names} == {*at["pods"]}
        assert all(len({*attempts}) == len(attempts) for _, attempts in at["names"])
        sequence = [seq for *_, seq in at["events"]]
        assert sequence == sorted({*sequence})

    def teardown(self) -> None:
        for process in getattr(self, "processes", ()):
            process.kill()
        if hasattr(self, "place"):
            self.place.cleanup()

    def seen(self, who: int) -> dict[str, Any]:
        found: dict[str, Any] = self.processes[who].ask(does.seen)
        return found


def expect(before: dict[str, Any], step: Step, answer: Any, after: dict[str, Any]) -> None:
    """What one step, by itself, makes of the store; all else stays as it was."""
    what, name, *more = step
    changed = {part for part in before if before[part] != after[part]}
    port = (tuple(more),) if what in (does.add_pod, does.publish) else ((),)
    match what:
        case does.lease:
            assert after["leases"][name] == answer
            assert before["leases"].get(name, answer) == answer, "a key keeps its addresses"
            assert changed <= {"leases", "addresses"}
        case does.release:
            assert name not in after["leases"]
            assert changed <= {"leases", "addresses"}
        case does.add_pod:
            assert after["pods"][name] == before["pods"].get(name, (*port, False))
            assert changed <= {"pods", "names"}
        case does.publish:
            assert after["pods"].get(name) == ((*port, True) if name in before["pods"] else None)
            assert changed <= {"pods"}
        case does.release_ports:
            assert after["pods"].get(name) == (((), False) if name in before["pods"] else None)
            assert changed <= {"pods"}
        case does.remove_pod:
            assert name not in after["pods"]
            assert f"pod-{name}" not in after["containers"].values()
            assert changed <= {"pods", "containers", "names"}
        case does.add_container:
            assert after["containers"][f"{name}-{more[0]}"] == f"pod-{name}"
            assert changed <= {"containers", "names"}
        case does.emit:
            assert after["events"][-1][:2] == (f"default/{name}", more[0])
            assert sum(count for *_, count, _ in after["events"]) == 1 + sum(n for *_, n, _ in before["events"])
            assert changed == {"events"}
        case does.put:
            assert after["settings"][name] == more[0]
            assert changed <= {"settings"}


def test_several_processes_agree_whatever_they_are_told_and_whoever_dies() -> None:
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=8,
            stateful_step_count=25,
            derandomize=True,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_a_full_network_is_told_to_everybody(tmp_path: Path) -> None:
    process = StoreProcess(tmp_path / "state.db")
    try:
        leases = [process.ask(does.lease, f"p{number}").ip for number in range(13)]
        assert len({*leases}) == 13
        try:
            process.ask(does.lease, "one-more")
            raise AssertionError("there is no address left")
        except TryLater:
            pass
        assert process.ask(does.seen)["leases"].keys() == {f"p{number}" for number in range(13)}
    finally:
        process.kill()
