"""Deadlines grow with the factor, those of programs too, and only once."""

from __future__ import annotations

import subprocess
import sys

PROBE = """
import subprocess, time
from tests import slowness
slowness.slow_down_subprocess()
assert slowness.seconds(2.0) == 10.0
subprocess.run(["sleep", "0.3"], timeout=0.2, check=True, capture_output=True)
begun = time.monotonic()
with subprocess.Popen(["sleep", "60"]) as sleeper:
    try:
        sleeper.wait(0.1)
    except subprocess.TimeoutExpired:
        took = time.monotonic() - begun
    sleeper.kill()
assert 0.5 <= took < 2.4, took
"""


def test_every_deadline_is_multiplied_once() -> None:
    environment = {"RECONCILER_TEST_SLOWNESS": "5", "PATH": "/usr/bin:/bin"}
    subprocess.run([sys.executable, "-c", PROBE], check=True, env=environment, timeout=60)
