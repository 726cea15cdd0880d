"""The plans of `scripts/torture`: a seed is a run, and the shadow says what the folder says."""

from __future__ import annotations

import pkgutil
from dataclasses import replace
from functools import cache
from importlib import import_module
from itertools import pairwise

import pytest

import reconciler.engine
from reconciler.engine import effects
from reconciler.kube import load
from tests.torture.churn import ALL, FEWEST, MOST, Command, End, Move, Remove, Step, Strike, Victim, Write, plan
from tests.torture.kills import POINTS
from tests.torture.world import OBJECTS, Shape, manifest, objects

SEEDS = range(6)
KILLS = 60


@cache
def steps(seed: int, *, calm: bool = False) -> list[Step]:
    return list(plan(seed, KILLS, POINTS, calm=calm))


def test_a_seed_is_a_run() -> None:
    assert steps(1) == steps(1)
    assert steps(1) != steps(2)
    assert len(steps(1)) == KILLS + 1


@pytest.mark.parametrize("calm", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_after_each_step_the_folder_says_what_the_shadow_says(seed: int, calm: bool) -> None:
    folder: dict[str, str] = {}
    for step in steps(seed, calm=calm):
        for _, act in step.acts:
            match act:
                case Write():
                    folder[act.file] = act.text
                case Remove():
                    del folder[act.file]
                case Move():
                    folder[act.to] = folder.pop(act.file)
        assert folder == step.world.files()


@pytest.mark.parametrize("seed", SEEDS)
def test_who_is_another_container_was_touched(seed: int) -> None:
    for before, after in pairwise(steps(seed)):
        for pod in after.world.pods.values():
            old = before.world.pods.get(pod.name)
            same = old is not None and old.life == pod.life
            assert same or (pod.name, ALL) in after.touched
            known = {m.name: m.version for m in old.members} if old else {}
            for member in pod.members:
                touched = {(pod.name, ALL), (pod.name, member.name)} & after.touched
                assert known.get(member.name) == member.version or touched


@pytest.mark.parametrize("seed", SEEDS)
def test_a_step_ends_one_controller_and_removes_one_pod_at_most(seed: int) -> None:
    for before, after in pairwise(steps(seed)):
        assert sum(isinstance(act, End) for _, act in after.acts) == 1
        assert len(before.world.pods.keys() - after.world.pods.keys()) <= 1
        assert FEWEST <= len(after.world.pods) <= MOST or len(after.world.pods) >= len(before.world.pods)
        ports = [pod.port for pod in after.world.pods.values() if pod.port]
        assert len(ports) == len(set(ports))


@pytest.mark.parametrize("seed", SEEDS)
def test_there_is_a_controller_that_runs_the_runtime_to_be_killed(seed: int) -> None:
    for step in steps(seed):
        acts = [act for _, act in step.acts]
        for place, act in enumerate(acts):
            if isinstance(act, Strike) and act.victim is Victim.RUNTIME:
                assert isinstance(acts[place - 1], Write)
                assert End() in acts[place:] and not step.fault


def test_every_kind_of_kill_and_of_command_comes_up() -> None:
    acts = [act for seed in SEEDS for step in steps(seed) for _, act in step.acts]
    assert {act.victim for act in acts if isinstance(act, Strike)} == set(Victim)
    verbs = {"run", "rm", "restart", "stop", "start", "image"}
    assert {act.words[0] for act in acts if isinstance(act, Command)} == verbs


def test_manifests_are_good_but_for_the_broken_ones() -> None:
    """One of each shape: what else is edited are numbers."""
    world = steps(1)[0].world
    for pod in world.pods.values():
        for broken in (False, True):
            text = manifest(replace(pod, broken=broken))
            problems = [p for p in load(pod.file, text.encode()).problems if p.is_error]
            assert bool(problems) == broken, problems
    assert {pod.shape for pod in world.pods.values()} == set(Shape)
    assert not load(OBJECTS, objects(world).encode()).problems


def test_the_places_to_die_at_are_effects() -> None:
    for module in pkgutil.walk_packages(reconciler.engine.__path__, "reconciler.engine."):
        import_module(module.name)
    assert set(POINTS) <= set(effects.points())
