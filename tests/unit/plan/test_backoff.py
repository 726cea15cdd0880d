"""The kubelet's crash-loop delays."""

from __future__ import annotations

import pytest

from reconciler.plan.backoff import next_crashes, restart_delay


@pytest.mark.parametrize(
    ("crashes", "delay"), [(0, 0), (1, 10), (2, 20), (3, 40), (4, 80), (5, 160), (6, 300), (7, 300), (10_000, 300)]
)
def test_the_first_restart_is_immediate_then_the_delay_doubles_up_to_five_minutes(crashes: int, delay: float):
    assert restart_delay(crashes) == delay


@pytest.mark.parametrize(
    ("previous", "ran_for", "crashes"), [(0, 1, 1), (4, 1, 5), (4, 600, 5), (4, 600.1, 1), (0, 9999, 1)]
)
def test_a_run_of_over_ten_minutes_forgets_the_crashes_before_it(previous: int, ran_for: float, crashes: int):
    assert next_crashes(previous, ran_for) == crashes
