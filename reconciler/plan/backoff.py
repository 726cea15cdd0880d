"""How long a member that ended waits for its next start. Pure.

The kubelet's rule (pkg/kubelet/kubelet.go: MaxContainerBackOff 300 s, base 10 s): the first restart is immediate,
then the delay doubles; a run that lasted over twice the longest delay forgets the crashes before it.
"""

from __future__ import annotations

BASE = 10.0
CAP = 300.0
FORGET_AFTER = 600.0


def restart_delay(crashes: int) -> float:
    """Seconds from the end of a run to the next start, after ``crashes`` earlier ones in a row: 0, 10, 20, 40 … 300."""
    if crashes <= 0:
        return 0.0
    return min(CAP, BASE * 2.0 ** min(crashes - 1, 10))


def next_crashes(previous: int, ran_for: float) -> int:
    """Crashes in a row that the next attempt carries, after one with ``previous`` that ran ``ran_for`` seconds."""
    return 1 if ran_for > FORGET_AFTER else previous + 1
