"""What is remembered of tests that a virtual machine ran, from what pytest says of each."""

from __future__ import annotations

from pathlib import Path

from tests.vm.results import Results

SAID = """\
bringing up nodes...
tests/host/test_oom.py::test_one
[gw0] [  3%] PASSED tests/host/test_oom.py::test_one
[gw1] [  6%] PASSED tests/host/test_kills.py::test_two[a pod is created and removed]
[gw1] [ 10%] FAILED tests/host/test_oom.py::test_three
[gw1] [ 13%] SKIPPED tests/host/test_oom.py::test_four
[gw0] [100%] PASSED tests/host/test_oom.py::test_five
[gw0] [100%] ERROR tests/host/test_oom.py::test_five
FAILED tests/host/test_oom.py::test_three - AssertionError
"""
KILLS = "tests/host/test_kills.py::test_two[a pod is created and removed]"


def hear(results: Results, said: str) -> None:
    for line in said.splitlines(keepends=True):
        results.hear(line)


def test_the_last_end_of_each_test_counts_and_survives_an_interruption(tmp_path: Path) -> None:
    hear(Results(tmp_path / "file", go_on=False), SAID)
    results = Results(tmp_path / "file", go_on=True)
    assert results.done == ["tests/host/test_oom.py::test_one", KILLS, "tests/host/test_oom.py::test_four"]
    assert results.failed == ["tests/host/test_oom.py::test_three", "tests/host/test_oom.py::test_five"]
    results.spent(90)
    hear(results, "[gw0] [ 50%] PASSED tests/host/test_oom.py::test_three\n")
    results.spent(90)
    assert str(Results(tmp_path / "file", go_on=True)) == "3 passed, 1 failed, 1 skipped; 3 min"


def test_a_new_run_begins_with_nothing(tmp_path: Path) -> None:
    hear(Results(tmp_path / "file", go_on=False), SAID)
    assert str(Results(tmp_path / "file", go_on=False)) == "0 passed, 0 failed, 0 skipped; 0 min"
