from __future__ import annotations

import pytest

from reconciler.cli.table import age, ago, columns, size, table


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
    [
        (-3, "Less than a second ago"),
        (0.9, "Less than a second ago"),
        (1, "1 second ago"),
        (18, "18 seconds ago"),
        (60, "About a minute ago"),
        (119, "About a minute ago"),
        (120, "2 minutes ago"),
        (3599, "59 minutes ago"),
        (3600, "About an hour ago"),
        (5399, "About an hour ago"),
        (5400, "2 hours ago"),
        (86400, "24 hours ago"),
        (86400 * 2, "2 days ago"),
        (86400 * 13, "13 days ago"),
        (86400 * 14, "2 weeks ago"),
        (86400 * 59, "8 weeks ago"),
        (86400 * 60, "2 months ago"),
        (86400 * 365, "12 months ago"),
        (86400 * 365 * 2, "2 years ago"),
    ],
)
def test_ago_as_podman_prints_it(seconds, shown):
    assert ago(seconds) == shown


def test_columns_line_up_and_lines_end_without_blanks():
    assert table(["NAME", "READY"], [("a-long-name", 1), ("b", "")]) == "NAME          READY\na-long-name   1\nb"


def test_the_gap_between_columns_can_be_narrower():
    assert table(["A", "B"], [("1234", 5)], gap=2) == "A     B\n1234  5"


def test_a_table_without_rows_is_its_headings_or_nothing():
    assert table(["A", "B"], []) == "A   B"
    assert table(["A", "B"], [], header=False) == ""


def test_tabs_become_columns():
    assert columns("ID\tNAMES\nabc\tweb/app\tlast\nlonger than all\n\tx") == (
        "ID   NAMES\nabc  web/app  last\nlonger than all\n     x"
    )


def test_a_cell_cannot_steer_the_terminal():
    assert "\x1b" not in table(["NAME"], [("\x1b[2J\x9b",)])
