from __future__ import annotations

import pytest

from reconciler.cli.units import binary_size, duration, percent, size


@pytest.mark.parametrize(
    ("count", "decimal", "binary"),
    [
        (0, "0B", "0B"),
        (999, "999B", "999B"),
        (1000, "1kB", "1000B"),
        (1024, "1.024kB", "1KiB"),
        (4_567_890, "4.568MB", "4.356MiB"),
        (67_108_864, "67.11MB", "64MiB"),
        (16 << 30, "17.18GB", "16GiB"),
        (1 << 60, "1153PB", "1024PiB"),
    ],
)
def test_sizes_as_go_units_has_them(count: int, decimal: str, binary: str) -> None:
    assert (size(count), binary_size(count)) == (decimal, binary)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.0004, "0s"),
        (0.35, "350ms"),
        (0.9996, "1s"),
        (20.386, "20.386s"),
        (59.9999, "1m0s"),
        (60, "1m0s"),
        (3725.5, "1h2m5.5s"),
        (360_000, "100h0m0s"),
    ],
)
def test_durations_as_go_prints_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_percents() -> None:
    assert (percent(0), percent(99.999), percent(250)) == ("0.00%", "100.00%", "250.00%")
