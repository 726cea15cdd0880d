"""``conmon`` is each of the conmons in turn; ``bench`` a place for it, with a runtime of our making."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host.conformance.bench import Bench
from tests.host.conformance.programs import CHOSEN, Program, numbers


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "conmon" in metafunc.fixturenames:
        since = metafunc.definition.get_closest_marker("since")
        wanted = numbers(since.args[0]) if since else ()
        able = [each for each in CHOSEN if each.version >= wanted]
        params = [pytest.param(each, id=each.name, marks=pytest.mark.conformance) for each in able]
        metafunc.parametrize("conmon", params)


@pytest.fixture
def bench(tmp_path: Path, conmon: Program) -> Iterator[Bench]:
    made = Bench(tmp_path, conmon)
    yield made
    made.clear()
