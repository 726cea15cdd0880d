"""What results of probes come to, as a table of what was said and what follows; and when probes are run."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.probe import Probe, ProbeKind, TcpAction, Verdict
from reconciler.plan.probing import Standing, Standings, after, begun, first_due, is_asked, next_due, renewed, verdict

LIVENESS, READINESS, STARTUP = ProbeKind.LIVENESS, ProbeKind.READINESS, ProbeKind.STARTUP
PROBE = Probe(TcpAction(80))
ALL = (STARTUP, LIVENESS, READINESS)
UP, FRESH = Verdict(), Verdict(started_up=False, is_ready=False)


def fresh(*kinds: ProbeKind) -> dict[ProbeKind, Standing]:
    return {kind: begun(kind, replace(FRESH, started_up=STARTUP not in kinds)) for kind in kinds}


def told(standings: Standings, kind: ProbeKind, results: str, probe: Probe = PROBE) -> dict[ProbeKind, Standing]:
    """``+`` for each result that passed, ``-`` for each that did not."""
    found = dict(standings)
    for result in results:
        found[kind] = after(found[kind], probe, result == "+")
    return found


@pytest.mark.parametrize(
    ("kinds", "results", "follows"),
    [
        pytest.param((), {}, Verdict(), id="without probes it is up and ready"),
        pytest.param((LIVENESS,), {}, Verdict(), id="before its first result it is alive"),
        pytest.param((READINESS,), {}, Verdict(is_ready=False), id="before its first result it is not ready"),
        pytest.param((STARTUP,), {}, Verdict(False, False), id="before its first result it is not up, and not ready"),
        pytest.param((READINESS,), {READINESS: "+"}, Verdict(), id="one success makes it ready"),
        pytest.param((READINESS,), {READINESS: "+--"}, Verdict(), id="two failures leave it ready"),
        pytest.param((READINESS,), {READINESS: "+---"}, Verdict(is_ready=False), id="three take it back"),
        pytest.param((READINESS,), {READINESS: "+--+--"}, Verdict(), id="failures count in a row only"),
        pytest.param((READINESS,), {READINESS: "+---+"}, Verdict(), id="it may become ready again"),
        pytest.param((LIVENESS,), {LIVENESS: "--"}, Verdict(), id="two failures leave it alive"),
        pytest.param((LIVENESS,), {LIVENESS: "---"}, Verdict(unhealthy="liveness"), id="three end it"),
        pytest.param((STARTUP,), {STARTUP: "--"}, Verdict(False, False), id="it takes its time to start up"),
        pytest.param((STARTUP,), {STARTUP: "--+"}, Verdict(), id="it is up and ready when startup has passed"),
        pytest.param((STARTUP,), {STARTUP: "---"}, Verdict(False, False, "startup"), id="one that never comes up ends"),
        pytest.param((STARTUP, READINESS), {STARTUP: "+"}, Verdict(is_ready=False), id="up, and not ready yet"),
        pytest.param((STARTUP, READINESS), {STARTUP: "+", READINESS: "+"}, Verdict(), id="up and ready"),
    ],
)
def test_what_follows(kinds: tuple[ProbeKind, ...], results: dict[ProbeKind, str], follows: Verdict) -> None:
    standings = fresh(*kinds)
    for kind, said in results.items():
        standings = told(standings, kind, said)
    assert verdict(standings) == follows


@pytest.mark.parametrize(("results", "ready"), [("++", False), ("+++", True), ("++-+", False), ("++-+++", True)])
def test_successes_count_in_a_row_up_to_their_threshold(results: str, ready: bool) -> None:
    assert verdict(told(fresh(READINESS), READINESS, results, replace(PROBE, success=3))).is_ready is ready


@pytest.mark.parametrize(
    ("kinds", "results", "asked", "at_the_end"),
    [
        pytest.param(ALL, {}, {STARTUP}, set(), id="startup goes first"),
        pytest.param(ALL, {STARTUP: "+"}, {LIVENESS, READINESS}, {READINESS}, id="and is over then"),
        pytest.param(ALL, {STARTUP: "---"}, set(), set(), id="when it has failed nothing is asked until the next life"),
        pytest.param((LIVENESS,), {LIVENESS: "---"}, set(), set(), id="liveness that has failed is on hold"),
        pytest.param(
            (LIVENESS, READINESS), {LIVENESS: "---"}, {READINESS}, {READINESS}, id="readiness goes on meanwhile"
        ),
        pytest.param((READINESS,), {READINESS: "---"}, {READINESS}, {READINESS}, id="readiness is never on hold"),
    ],
)
def test_who_is_asked(
    kinds: tuple[ProbeKind, ...], results: dict[ProbeKind, str], asked: set[ProbeKind], at_the_end: set[ProbeKind]
) -> None:
    """``at_the_end``: of a container that was told to stop."""
    standings = fresh(*kinds)
    for kind, said in results.items():
        standings = told(standings, kind, said)
    assert {kind for kind in kinds if is_asked(kind, standings, ending=False)} == asked
    assert {kind for kind in kinds if is_asked(kind, standings, ending=True)} == at_the_end


@pytest.mark.parametrize(
    "known", [UP, FRESH, Verdict(is_ready=False), Verdict(unhealthy="liveness"), Verdict(False, False, "startup")]
)
def test_a_controller_that_begins_goes_on_from_what_is_known(known: Verdict) -> None:
    standings = {kind: begun(kind, known) for kind in ALL}
    assert verdict(standings) == known


def test_an_edited_probe_begins_to_count_anew_and_takes_nothing_back() -> None:
    passed, failed = Standing(True, False, 2), Standing(False, False, 3)
    assert (renewed(passed), renewed(failed), renewed(Standing())) == (Standing(True), Standing(), Standing())


@pytest.mark.parametrize(
    ("delay", "since", "now", "due"),
    [
        pytest.param(0, 100.0, 100.2, 100.2, id="at once where nothing delays it"),
        pytest.param(5, 100.0, 100.2, 105.0, id="the delay counts from the start"),
        pytest.param(5, 100.0, 112.0, 112.0, id="at once where its first time has just gone by"),
        pytest.param(5, 100.0, 131.0, 135.0, id="in step with the start where the controller comes late"),
    ],
)
def test_when_a_probe_is_run_first(delay: int, since: float, now: float, due: float) -> None:
    assert first_due(replace(PROBE, initial_delay=delay), since, now) == due


@pytest.mark.parametrize(
    ("now", "due"),
    [
        pytest.param(100.3, 110.0, id="a period after it was due"),
        pytest.param(110.0, 120.0, id="one that took its whole period is not run twice at once"),
        pytest.param(134.0, 140.0, id="what was missed is left out"),
    ],
)
def test_when_a_probe_is_run_next(now: float, due: float) -> None:
    assert next_due(PROBE, 100.0, now) == due


@given(st.lists(st.booleans()), st.integers(1, 5), st.integers(1, 5))
def test_what_counts_is_always_the_last_result_that_came_often_enough(
    results: list[bool], success: int, failure: int
) -> None:
    standing, probe = Standing(), replace(PROBE, success=success, failure=failure)
    counts: bool | None = None
    for place, result in enumerate(results):
        standing = after(standing, probe, result)
        enough = success if result else failure
        if results[max(0, place + 1 - enough) : place + 1] == [result] * enough:
            counts = result
        assert standing.passed is counts
