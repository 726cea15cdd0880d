"""The host tests in the machine, by the command that a developer types."""

from __future__ import annotations

from pathlib import Path

from tests.vm.machine import Machine
from tests.vm.quickstart import PLACE, clone
from tests.vm.steps import Story

SLOWNESS = {"tcg": 10, "kvm": 2}
"""What deadlines are multiplied by (tests/slowness.py); Python takes 6 to 12 times as long there."""


def run(vm: Machine, story: Story, expression: str, log: Path) -> None:
    clone(vm, story)
    chosen = f" -k '{expression}'" if expression else ""
    with story.step(f"scripts/test host{chosen}"):
        command = f"cd {PLACE} && RECONCILER_TEST_SLOWNESS={SLOWNESS[vm.accel or 'tcg']} RECONCILER_TEST_JOBS={vm.cpus}"
        code = vm.show(f"{command} scripts/test host{chosen}", log=log)
        last = [line for line in log.read_text().splitlines() if line.startswith("== ")][-1]
        assert code == 0, f"exit code {code}: {last} (all of it: {log})"
        story.say(last.removeprefix("== "))
