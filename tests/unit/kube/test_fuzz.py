"""A short run of scripts/fuzz, the same each time, and what longer runs have found."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.kube import load
from reconciler.model.strictness import Strictness
from tests.fuzz.bounds import TooSlow, bounded, complaint, complaint_apart
from tests.fuzz.cases import Case, case
from tests.fuzz.corpus import Seed, seeds
from tests.fuzz.smaller import smaller
from tests.fuzz.subject import examine, problems_are_told
from tests.fuzz.workers import work

EACH = 350
"""Inputs of one test; eight of them take some ten seconds of a processor."""


@pytest.mark.parametrize("part", range(8))
def test_nothing_but_our_own_errors_comes_of_a_mutated_manifest(part: int, tmp_path: Path) -> None:
    for number in range(part * EACH, (part + 1) * EACH):
        made = case(0, number)
        try:
            examine(made, tmp_path)
        except Exception as error:
            error.add_note(f"scripts/fuzz --seed 0 --first {number} --count 1")
            raise


@pytest.mark.parametrize("seed", seeds(), ids=lambda seed: seed.name)
@pytest.mark.parametrize("strictness", Strictness)
def test_what_is_mutated_is_good(seed: Seed, strictness: Strictness, tmp_path: Path) -> None:
    loaded = load(seed.name, seed.text, strictness)
    assert loaded.pods
    assert not [str(problem) for problem in loaded.problems if problem.is_error]
    examine(Case(seed.name, seed.text, strictness, seed.name, "hello.yaml", in_folder=True), tmp_path)


SERVICE = "apiVersion: v1\nkind: Service\n"
POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - {name: a, image: b}\n"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(SERVICE, id="a Service without metadata"),
        pytest.param(f"{SERVICE}metadata: {{labels: {{a: b}}}}", id="a Service without a name"),
        pytest.param(f"{SERVICE}metadata: {{name: a}}\nspec: {{ports: [{{name: b}}]}}", id="a port without a number"),
        pytest.param(f"{SERVICE}metadata: {{name: a}}\nspec: {{ports: [null, 1, []]}}", id="ports that are none"),
        pytest.param(POD.replace("image: b", "image: b, envFrom: [{Ref: {}}]"), id="envFrom of what is not known"),
        pytest.param(
            POD.replace("image: b", "image: b, volumeMounts: [{name: t, mountPath: {}}]")
            + "  volumes: [{name: t, projected: {sources: [{serviceAccountToken: {}}]}}]",
            id="a token that is mounted at no path",
        ),
    ],
)
@pytest.mark.parametrize("strictness", Strictness)
def test_what_was_found(text: str, strictness: Strictness, tmp_path: Path) -> None:
    examine(Case("a.yaml", text.encode(), strictness, "hello.yaml", "hello.yaml"), tmp_path)
    loaded = load("a.yaml", text.encode(), strictness)
    problems_are_told(loaded)
    assert any(problem.is_error for problem in loaded.problems)
    assert not loaded.pods


# --- the fuzzer itself ------------------------------------------------------------------------------------------------


def test_the_same_number_is_the_same_input() -> None:
    assert case(3, 14) == case(3, 14) != case(4, 14)


def test_what_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fuzz.bounds.SECONDS", 0.05)
    with pytest.raises(TooSlow), bounded():
        while True:
            pass


def test_a_crash_of_a_reader_is_told_from_outside() -> None:
    def crash() -> None:
        import os
        import signal

        os.kill(os.getpid(), signal.SIGKILL)

    def fail() -> None:
        raise RuntimeError("no")

    assert complaint_apart(crash) == "dies of SIGKILL"
    assert complaint_apart(lambda: None) == ""
    assert "RuntimeError" in complaint_apart(fail)


def test_a_finding_is_made_smaller() -> None:
    def fails(data: bytes) -> bool:
        return b"x" in data and b"y" in data

    assert smaller(b"a\nb x c\nd\ne\nfy\ng\n" * 3, fails) == b"xy"


def test_workers_go_on_behind_what_kills_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def dangerous(made: Case, folder: Path) -> None:
        import os
        import signal

        if made == case(5, 3):
            os.kill(os.getpid(), signal.SIGKILL)
        if made == case(5, 6):
            raise RuntimeError("six")

    monkeypatch.setattr("tests.fuzz.workers.examine", dangerous)
    counts: list[int] = []
    found = list(work(5, range(9), 2, lambda done, most: counts.append(done), each=0.1))
    assert sorted((one.number, one.complaint.partition(" in ")[0]) for one in found) == [
        (3, "dies of SIGKILL"),
        (6, "RuntimeError"),
    ]
    assert counts[-1] == 9
    assert complaint(lambda: None) == ""
