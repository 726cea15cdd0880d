"""Whether what was named runs. Who is meant by a name: see ``test_resolve``."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from reconciler.cli.naming import find_pod, find_running
from reconciler.model.errors import InvalidInput, NotFound
from reconciler.model.key import ContainerId, Key, Named, NamedPod
from reconciler.model.observed import ContainerState, Observed
from tests.unit.cli.pods import container

DB, WEB = Key("default", "db"), Key("default", "web")
PG = Named(DB, "postgres", 0, ContainerId("cc44".ljust(64, "0")))
PODS = (NamedPod(DB, "ab" * 32, (PG,)), NamedPod(WEB, "ac" * 32), NamedPod(Key("other", "ended"), ""))


@pytest.mark.parametrize(
    ("runs", "state", "told"),
    [
        pytest.param(True, None, None, id="it runs: nothing more is looked at"),
        pytest.param(False, ContainerState.RUNNING, None, id="it runs after all"),
        pytest.param(False, ContainerState.EXITED, "cannot see db/postgres: .* is exited, not running", id="it ended"),
        pytest.param(False, ContainerState.CREATED, "is created, not running", id="it was not started yet"),
        pytest.param(False, None, "is gone, not running", id="it was removed meanwhile"),
    ],
)
def test_what_is_to_run_must_run(runs: bool, state: ContainerState | None, told: str | None) -> None:
    there = () if state is None else (container("db", "postgres", state=state, id_=PG.id),)
    look = (lambda _key: pytest.fail("looked at")) if runs else (lambda key: Observed(key, None, there))
    engine = SimpleNamespace(names=lambda: PODS, runs=lambda _id: runs, look=look)
    if told is None:
        assert find_running(engine, "cc4", doing="see") is PG
    else:
        with pytest.raises(InvalidInput, match=told):
            find_running(engine, "cc4", doing="see")


def test_a_pod_is_found_by_its_id() -> None:
    assert find_pod(PODS, "ab" * 32) is PODS[0]
    assert find_pod(PODS, "aca") is PODS[1]
    assert find_pod(PODS, "ended") is PODS[2]
    with pytest.raises(InvalidInput, match="cannot tell which pod"):
        find_pod((PODS[0], NamedPod(WEB, "abc" * 21 + "a")), "ab")
    called_so = NamedPod(Key("default", "ab" * 32), "ff" * 32)
    assert find_pod((called_so, PODS[0]), "ab" * 32) is PODS[0], "an id counts before a name"
    with pytest.raises(NotFound):
        find_pod(PODS, "ad")
