from __future__ import annotations

import pytest

from reconciler.cli.table import age, ago, size, table


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (121, "2m1s"),
        (599, "9m59s"),
        (600, "10m"),
        (3 * 3600 - 1, "179m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 120, "3h2m"),
        (8 * 3600, "8h"),
        (48 * 3600 - 1, "47h"),
        (48 * 3600, "2d"),
        (50 * 3600, "2d2h"),
        (8 * 86400, "8d"),
        (400 * 86400, "400d"),
        (2 * 365 * 86400, "2y"),
        (800 * 86400, "2y70d"),
        (9 * 365 * 86400, "9y"),
    ],
)
def test_age_as_kubectl_prints_it(seconds, shown):
    assert age(seconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 B"), (999, "999 B"), (1234, "1.23 kB"), (4_571_000, "4.57 MB"), (2e9, "2 GB"), (3e12, "3 TB")],
)
def test_size(count, shown):
    assert size(int(count)) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(1, "1 second ago"), (90, "1 minute ago"), (7300, "2 hours ago"), (86400 * 14, "2 weeks ago")],
)
def test_ago_as_podman_prints_it(seconds, shown):
    assert ago(seconds) == shown


def test_columns_line_up_and_lines_end_without_blanks():
    assert table(["NAME", "READY"], [("a-long-name", 1), ("b", "")]) == "NAME          READY\na-long-name   1\nb"


def test_a_cell_cannot_steer_the_terminal():
    assert "\x1b" not in table(["NAME"], [("\x1b[2J\x9b",)])
