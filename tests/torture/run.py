"""A plan carried out: each step's acts, another controller, and what has become of it all.

One thread; it waits for the kernel to show what the shadow says, and asks again until it does or the time is over.
"""

from __future__ import annotations

import select
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from reconciler.model.errors import ReconcilerError
from tests.slowness import seconds
from tests.torture import checks, kernel, kills
from tests.torture.churn import Command, Edit, End, Step, Strike
from tests.torture.kernel import Sight
from tests.torture.lab import Lab
from tests.torture.world import World, manifest

PATIENCE = 120.0
"""Seconds within which all must be well after a kill."""
NOBODY = "nobody was there to be killed"


@dataclass
class Tally:
    """What a run has come to. ``slowest``: seconds until all was well, and the step."""

    kills: Counter[str] = field(default_factory=Counter)
    steps: int = 0
    slowest: tuple[float, int] = (0.0, 0)
    settling: float = 0.0


class Failed(Exception):
    """What a step found, a sentence each."""

    def __init__(self, step: int, faults: list[str]) -> None:
        super().__init__(f"step {step}: {'; '.join(faults)}")
        self.step = step
        self.faults = faults


def begin(lab: Lab, world: World) -> None:
    """Have everything as ``world`` says, with a controller. Raises Failed.

    Of a broken file the last good version must have been seen."""
    for name, text in world.mended().files().items():
        lab.write(name, text)
    for hand in world.hands.values():
        lab.edit(Command(hand.words()))
        if not hand.running:
            lab.edit(Command(("stop", hand.name)))
    lab.start()
    _settle(lab, world, 0)
    for pod in world.pods.values():
        if pod.broken:
            lab.write(pod.file, manifest(pod))


def carry_out(lab: Lab, step: Step, old: World, tally: Tally) -> None:
    """One step. Raises Failed.

    1. Where the step has a fault, have a controller that will meet it. 2. The acts, the controller's end among them.
    3. Another controller. 4. Wait until the kernel shows what should run. 5. What was not touched is the same.
    """
    before = kernel.look(lab.tag)
    if step.fault:
        tally.kills["controller at rest"] += lab.kill()
        lab.start(step.fault)
    for pause, act in step.acts:
        lab.rest(pause)
        _do(lab, act, step, tally)
    lab.start()
    began = time.monotonic()
    after = _settle(lab, step.world, step.number)
    took = time.monotonic() - began
    tally.steps += 1
    tally.settling += took
    tally.slowest = max(tally.slowest, (took, step.number))
    if gone := checks.lost(step, before, after, old):
        raise Failed(step.number, gone)


def _do(lab: Lab, act: Edit | Strike | End, step: Step, tally: Tally) -> None:
    match act:
        case Strike():
            hit = kills.strike(lab.tag, lab.runtime, act)
            tally.kills[act.victim if hit else f"{act.victim}: {NOBODY}"] += 1
        case End() if step.fault and lab.await_fault():
            lab.kill()
            tally.kills["controller at a fault point"] += 1
        case End():
            tally.kills["controller where its fault point did not come" if step.fault else "controller in churn"] += 1
            if not lab.kill():
                raise Failed(step.number, ["the controller had ended by itself"])
        case _:
            lab.edit(act)


def _settle(lab: Lab, world: World, number: int) -> Sight:
    """Wait until all is well; what the kernel shows then. Raises Failed."""

    def look() -> list[str]:
        if lab.controller is not None and lab.controller.poll() is not None:
            raise Failed(number, [f"the controller ended by itself ({lab.controller.returncode})", *lab.complaints])
        return checks.differences(world, kernel.look(lab.tag))

    def look_closely() -> list[str]:
        sight = kernel.look(lab.tag)
        layout = lab.instance.engine.layout
        return [
            *checks.differences(world, sight),
            *checks.contents(world, sight, lab.ran, layout.logs),
            *checks.network(world, sight, lab.tag),
            *checks.unanswered(world),
            *checks.runtime(lab.runtime, sight),
            *checks.undone(lab.instance, lab.folder, world),
        ]

    end = time.monotonic() + seconds(PATIENCE)
    faults = _until_silent(look, end) or _until_silent(look_closely, end)
    faults += lab.complaints
    lab.complaints.clear()
    if faults:
        raise Failed(number, faults)
    return kernel.look(lab.tag)


def _until_silent(look: Callable[[], list[str]], end: float) -> list[str]:
    """What it says in the end."""
    while (found := _looked(look)) and time.monotonic() < end:
        select.select([], [], [], 0.1)
    return found


def _looked(look: Callable[[], list[str]]) -> list[str]:
    try:
        return look()
    except (OSError, ReconcilerError) as error:  # what is looked at goes away meanwhile
        return [str(error)]
