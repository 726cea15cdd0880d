"""How numbers of the benchmarks are judged and shown."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from tests.bench.load import busy_part
from tests.bench.plot import svg
from tests.bench.rows import (
    BARE,
    CASES,
    FEW,
    MEASURES,
    OURS,
    PODMAN,
    Measure,
    Reach,
    measures_of,
    medians,
    merged,
    ratio,
    verdicts,
)
from tests.bench.table import BEGIN, END, markdown, put_in, shown, terminal

BY_NAME = {measure.name: measure for measure in MEASURES}
MEDIANS = {
    "pod3": {OURS: 132.0, BARE: 106.0, PODMAN: 468.0},
    "edit": {OURS: 72.0, BARE: 25.0, PODMAN: 3986.0},
    "idle": {OURS: 0.21},
    "busy": {OURS: 97.0},
    "growth": {OURS: 60.0, FEW: 30.0},
}
FACTS: dict[str, Any] = dict.fromkeys(("crun", "runc", "podman", "kernel", "python"), "x")
RESULT = {"facts": {**FACTS, "cpus": 2, "load_before": 0.1, "load_after": 1.0, "seconds": 60}, "medians": {}}


def result() -> dict[str, Any]:
    return {**RESULT, "medians": {"crun": MEDIANS}}


def judged(name: str, of: dict[str, float]) -> list[tuple[float, bool]]:
    return [(round(v.value, 3), v.passed) for v in verdicts(BY_NAME[name], of)]


@pytest.mark.parametrize(
    ("name", "of", "expected"),
    [
        pytest.param("pod3", MEDIANS["pod3"], [(0.282, False), (1.245, True)], id="a ratio to each contender"),
        pytest.param("pod3", {OURS: 1.0, BARE: 2.0}, [(0.5, True)], id="one that was left out is not judged"),
        pytest.param("pod3", {OURS: 100.0, PODMAN: 500.0}, [(0.2, True)], id="just reached is reached"),
        pytest.param("idle", {OURS: 0.51}, [(0.51, False)], id="an absolute bound"),
        pytest.param("busy", {OURS: 89.0}, [(89.0, False)], id="what should be large"),
        pytest.param("growth", MEDIANS["growth"], [(2.0, False)], id="ours with many and with few"),
        pytest.param("touched", {OURS: 0.0}, [(0.0, True)], id="none may be touched"),
        pytest.param("gap", {OURS: 1.0, PODMAN: 1.0}, [], id="what has nothing to reach"),
        pytest.param("edit", {PODMAN: 1.0}, [], id="what was not measured of ours"),
    ],
)
def test_a_number_is_judged(name: str, of: dict[str, float], expected: list[tuple[float, bool]]) -> None:
    assert judged(name, of) == expected


def test_the_median_of_each_contender() -> None:
    assert medians({"pod3": {OURS: [3.0, 1.0, 2.0], PODMAN: [4.0, 6.0], BARE: []}}) == {
        "pod3": {OURS: 2.0, PODMAN: 5.0}
    }


def test_runs_of_several_cases_come_together() -> None:
    found = merged([{"a": {OURS: [1.0]}}, {"a": {OURS: [2.0], PODMAN: [3.0]}, "b": {OURS: [4.0]}}])
    assert found == {"a": {OURS: [1.0, 2.0], PODMAN: [3.0]}, "b": {OURS: [4.0]}}


def test_nothing_is_infinitely_less() -> None:
    assert ratio(1.0, 0.0) == float("inf")


def test_each_measure_has_a_name_of_its_own_and_a_case() -> None:
    assert len(BY_NAME) == len(MEASURES)
    assert measures_of(CASES) == MEASURES


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (132.4, "ms", "132 ms"),
        (7.26, "ms", "7.3 ms"),
        (2410.0, "ms", "2.41 s"),
        (21_300.0, "ms", "21.3 s"),
        (0.214, "% of a core", "0.21 % of a core"),
        (0.0, "", "0"),
    ],
)
def test_a_value_is_shown_with_as_many_digits_as_it_deserves(value: float, unit: str, text: str) -> None:
    assert shown(value, unit) == text


@pytest.mark.parametrize(
    ("reach", "text"),
    [(Reach(1 / 5, PODMAN), "<= 1/5 podman"), (Reach(1.5, BARE), "<= 1.5 x bare"), (Reach(90), "<= 90 MiB")],
)
def test_what_is_to_be_reached_in_words(reach: Reach, text: str) -> None:
    assert reach.told("MiB") == text


def test_the_table_names_what_was_missed() -> None:
    text = terminal(result())
    assert "0.28 x podman (<= 1/5): MISS; 1.25 x bare (<= 1.5 x): pass" in text
    assert "0.02 x podman (<= 1/20): pass" in text
    assert text.endswith("\n2 missed\n")


def test_no_figure_stands_in_the_readme_without_its_ratio() -> None:
    rows = markdown(result()).splitlines()
    assert rows[0].startswith("Medians of one run")
    assert rows[4].startswith(
        "| pod of three, renamed in → all run | 132 ms | 106 ms | 468 ms | **0.28** | ≤ 1/5 podman (missed)"
    )
    assert all(row.count("|") == 7 for row in rows[2:])


def test_the_readme_keeps_what_is_around_the_table() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert put_in(page, "| new |\n") == f"before\n{BEGIN}\n\n| new |\n\n{END}\nafter\n"
    assert put_in(put_in(page, "| 1 |\n"), "| new |\n") == put_in(page, "| new |\n")
    with pytest.raises(ValueError, match="lacks"):
        put_in("no marks", "")


def bars(picture: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for bar in ElementTree.fromstring(picture).iter("{http://www.w3.org/2000/svg}rect"):
        found.setdefault(bar.attrib["class"], []).append(float(bar.attrib["width"]))
    return found


def test_bars_are_as_long_as_their_part_of_podmans() -> None:
    drawn = bars(svg(MEDIANS))
    longest = drawn[PODMAN][0]
    assert drawn[PODMAN] == [longest, longest]
    assert drawn[OURS] == [pytest.approx(longest * 132 / 468, abs=0.1), pytest.approx(longest * 72 / 3986, abs=0.1)]


def test_the_plot_is_for_light_and_dark_and_says_what_it_shows() -> None:
    picture = svg(MEDIANS)
    assert "prefers-color-scheme: dark" in picture
    title = ElementTree.fromstring(picture).findtext("{http://www.w3.org/2000/svg}title")
    assert title is not None
    assert "pod of three: 0.28" in title


def test_what_podman_was_not_measured_of_is_not_drawn() -> None:
    assert bars(svg({"pod3": {OURS: 1.0}})) == {}


def test_the_busy_part_of_the_processors_time() -> None:
    assert busy_part([10, 0, 10, 100, 0, 0, 0, 0], [40, 0, 20, 110, 50, 0, 0, 0]) == 40.0
    assert busy_part([1] * 8, [1] * 8) == 0.0


def test_a_measure_without_bounds_has_no_verdict() -> None:
    assert verdicts(Measure("x", "x", "x", "ms"), {OURS: 1.0}) == ()
