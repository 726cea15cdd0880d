"""The host tests in the machine, by the command that a developer types."""

from __future__ import annotations

import time
from pathlib import Path

from tests.vm.machine import Machine
from tests.vm.quickstart import PLACE, clone
from tests.vm.results import Results
from tests.vm.steps import Story

SLOWNESS = {"tcg": 10, "kvm": 2}
"""What deadlines are multiplied by (tests/slowness.py); Python takes 6 to 12 times as long there."""

OWN = (
    *(
        "cgroups",
        "resources",
        "oom",
        "reboot",
        "halt",
        "install",
        "reset",
        "userns",
        "confinement",
        "apparmor",
        "parity",
    ),
    *("network", "dual_stack", "publish", "ports", "port_lives", "named_networks", "names", "firewalls"),
    *("firewall_daemons", "upkeep", "adoption", "disruption", "monitors", "conmon", "runtime", "oci", "pod_shares"),
)
"""First comes what the machine's kernel, systemd and cgroups decide; last what takes hours and is the same anywhere."""

ORDER = (*(f"test_{name}.py" for name in OWN), "*", "test_network_kills.py", "test_torture.py", "test_kills.py")
KILLS = {"tcg": "some", "kvm": ""}
DONE = f"{PLACE}/.cache/host-tests-done"
"""Not below /tmp, in whose place the tests have one of their own."""


def run(vm: Machine, story: Story, expression: str, log: Path, results: Results) -> None:
    """Those of ``expression`` that have not passed before, according to ``results``."""
    clone(vm, story)
    chosen = f" -k '{expression}'" if expression else ""
    accel = vm.accel or "tcg"
    vm.run(f"mkdir -p {PLACE}/.cache", user="user")
    vm.put("\n".join(results.done).encode(), DONE)
    settings = {
        "RECONCILER_TEST_SYSTEMD": "1",
        "RECONCILER_TEST_FORKS": "1" if accel == "tcg" else "",
        "RECONCILER_TEST_SLOWNESS": SLOWNESS[accel],
        "RECONCILER_TEST_JOBS": vm.cpus,
        "RECONCILER_TEST_DONE": DONE,
        "RECONCILER_TEST_ORDER": f"'{' '.join(ORDER)}'",
        "RECONCILER_KILLS": KILLS[accel],
    }
    words = " ".join(f"{name}={value}" for name, value in settings.items() if value)
    begun = time.monotonic()
    with story.step(f"scripts/test host{chosen}"):
        try:
            code = vm.show(f"cd {PLACE} && {words} scripts/test host -vv{chosen}", log=log, heard=results.hear)
        finally:
            results.spent(time.monotonic() - begun)
        story.say(f"host tests so far: {results}")
        last = [line for line in log.read_text().splitlines() if line.startswith("== ")][-1]
        assert code == 0, f"exit code {code}: {last} (all of it: {log})"
        story.say(last.removeprefix("== "))
