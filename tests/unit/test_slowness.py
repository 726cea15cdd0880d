"""Deadlines grow with the factor, those of programs too, and only once."""

from __future__ import annotations

import subprocess
import sys

PROBE = """
import subprocess, time
from tests import slowness
slowness.slow_down_subprocess()
assert slowness.seconds(2.0) == 10.0
subprocess.run(["sleep", "1.1"], timeout=1, check=True, capture_output=True)
with subprocess.Popen(["sleep", "60"]) as sleeper:
    begun = time.monotonic()
    try:
        sleeper.wait(0.2)
    except subprocess.TimeoutExpired:
        took = time.monotonic() - begun
    sleeper.kill()
assert 1.0 <= took < 4.9, took
"""


def test_every_deadline_is_multiplied_once() -> None:
    environment = {"RECONCILER_TEST_SLOWNESS": "5", "PATH": "/usr/bin:/bin"}
    subprocess.run([sys.executable, "-c", PROBE], check=True, env=environment, timeout=60)
