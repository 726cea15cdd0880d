"""Anything, in any order, from several processes: hypothesis plays an operator on the real store and engine.

The short form is the same each time. ``RECONCILER_STATE_RUNS=100`` plays as many other ones, of 40 steps each; a run
that fails tells all its steps.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from reconciler.engine.effects import TRACE
from tests.host.instance import Instance
from tests.host.machine import FOLDER_NAMES, HAND_NAMES, NETWORKS, POD_NAMES, Operator

RUNS = int(os.environ.get("RECONCILER_STATE_RUNS", "0"))

pytestmark = [pytest.mark.host, pytest.mark.timeout(900 + 600 * RUNS)]

SETTINGS = settings(
    max_examples=RUNS or 3,
    stateful_step_count=40 if RUNS else 10,
    derandomize=not RUNS,
    deadline=None,
    database=None,
    phases=[Phase.generate],  # a step takes half a second: who wants less of a failing run leaves out steps by hand
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)

HANDS = st.sampled_from([*HAND_NAMES, *POD_NAMES])
VERBS = st.sampled_from(["run", "run", "create", "start", "start", "stop", "restart", "kill", "rm", "join"])
VARIANTS = st.integers(0, 7)
SHAPES = st.one_of(st.none(), VARIANTS)


class Machine(RuleBasedStateMachine):
    """Each rule is a step of the operator's; what must hold is looked at after each."""

    operator: Operator

    def __init__(self) -> None:
        super().__init__()
        self.operator = self.made()

    def made(self) -> Operator:
        raise NotImplementedError

    @initialize(shape=VARIANTS)
    def something_is_there(self, shape: int) -> None:
        self.operator.write("fa", shape)
        self.operator.two_at_once(self.operator.apply_words(), self.operator.words("run", "ha", 2), set())
        self.operator.command("run", "pa", 0)
        self.operator.command("join", "pa", 0)

    @rule(name=st.sampled_from(FOLDER_NAMES), shape=SHAPES, at_once=st.booleans())
    def edit_a_manifest(self, name: str, shape: int | None, at_once: bool) -> None:
        self.operator.write(name, shape)
        if at_once:
            self.operator.run(self.operator.apply_words())

    @rule(verb=VERBS, name=HANDS, variant=VARIANTS)
    def say_something_by_hand(self, verb: str, name: str, variant: int) -> None:
        self.operator.command(verb, name, variant)

    @rule(name=st.sampled_from(NETWORKS), make=st.booleans())
    def make_or_remove_a_network(self, name: str, make: bool) -> None:
        self.operator.run(["network", "create" if make else "rm", name])

    @rule(verb=VERBS, name=HANDS, variant=VARIANTS, place=st.integers(0, 10_000), after=st.booleans())
    def a_command_is_killed(self, verb: str, name: str, variant: int, place: int, after: bool) -> None:
        effect = self._effect(place, after)
        self.operator.killed(self.operator.words(verb, name, variant), name, effect)

    @rule(name=st.sampled_from(FOLDER_NAMES), shape=SHAPES, place=st.integers(0, 10_000), after=st.booleans())
    def an_apply_is_killed(self, name: str, shape: int | None, place: int, after: bool) -> None:
        self.operator.write(name, shape)
        self.operator.killed(self.operator.apply_words(), "", self._effect(place, after))
        self.operator.doubtful.discard("")

    @rule(verbs=st.tuples(VERBS, VERBS), names=st.tuples(HANDS, HANDS), variants=st.tuples(VARIANTS, VARIANTS))
    def two_say_something_at_once(
        self, verbs: tuple[str, str], names: tuple[str, str], variants: tuple[int, int]
    ) -> None:
        one, other = (self.operator.words(*said) for said in zip(verbs, names, variants, strict=True))
        self.operator.two_at_once(one, other, {*names})

    @rule(verb=VERBS, name=HANDS, variant=VARIANTS)
    def somebody_applies_meanwhile(self, verb: str, name: str, variant: int) -> None:
        words = self.operator.words(verb, name, variant)
        self.operator.two_at_once(words, self.operator.apply_words(), {name})

    @rule(verb=VERBS, name=HANDS, variant=VARIANTS, place=st.integers(0, 10_000), after=st.booleans())
    def a_controller_is_killed_meanwhile(self, verb: str, name: str, variant: int, place: int, after: bool) -> None:
        words = self.operator.words(verb, name, variant)
        self.operator.with_a_controller(words, name, self._effect(place, after))

    @rule(seed=st.integers(0, 10_000))
    def a_container_dies(self, seed: int) -> None:
        self.operator.kill_a_process(random.Random(seed))

    @precondition(lambda self: self.operator.history)
    @rule()
    def the_index_is_lost(self) -> None:
        self.operator.calm()
        self.operator.lose_the_index()

    @precondition(lambda self: len(self.operator.history) > 8)
    @rule()
    def all_is_put_right(self) -> None:
        self.operator.put_right()

    @invariant()
    def order(self) -> None:
        self.operator.expect_order()

    def teardown(self) -> None:
        self.operator.clear()

    def _effect(self, place: int, after: bool) -> str:
        effects = self.operator.effects
        return f"{effects[place % len(effects)]}:{'after' if after else 'before'}"


@pytest.fixture
def told() -> Iterator[list[str]]:
    """What was done last, for whoever reads of a failure."""
    steps: list[str] = []
    yield steps
    print("\n".join(steps))


def passed(instance: Instance, image: str, folder: Path, trace: Path) -> tuple[str, ...]:
    """The effects that such commands pass through, each once: those that are frequent would be most of all kills."""
    operator = Operator(instance, folder, image, ())
    environment = os.environ | {TRACE: str(trace)}
    for words in (operator.words("run", "ha", 2), operator.words("stop", "ha", 0), operator.words("rm", "ha", 0)):
        assert instance.run(*words, env=environment).returncode == 0
    operator.write("fa", 7)
    assert instance.run(*operator.apply_words(), env=environment).returncode == 0
    operator.write("fa", None)
    assert instance.run(*operator.apply_words(), env=environment).returncode == 0
    return tuple(sorted({*trace.read_text().split()}))


def test_whatever_is_done_in_whatever_order_nothing_is_lost_or_doubled(
    instance: Instance, image: str, folder: Path, tmp_path: Path, told: list[str]
) -> None:
    effects = passed(instance, image, folder, tmp_path / "trace")

    class OnThisInstance(Machine):
        def made(self) -> Operator:
            told.clear()
            return Operator(instance, folder, image, effects, history=told)

    run_state_machine_as_test(OnThisInstance, settings=SETTINGS)
