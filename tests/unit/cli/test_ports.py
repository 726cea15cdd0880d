"""Ports in tables: consecutive ones are one range."""

from __future__ import annotations

import pytest

from reconciler.cli.ports import ranges, run
from reconciler.model.spec import PortBinding, Protocol

P = PortBinding


@pytest.mark.parametrize(
    ("bindings", "expected"),
    [
        pytest.param([], [], id="none"),
        pytest.param([P(80, 80)], ["80->80"], id="one"),
        pytest.param([P(n, n + 1000) for n in (8002, 8000, 8001)], ["8000-8002->9000-9002"], id="a run, in any order"),
        pytest.param([P(1, 1), P(2, 3)], ["1->1", "2->3"], id="both sides must go on"),
        pytest.param([P(1, 1), P(2, 2, Protocol.UDP)], ["1->1", "2->2"], id="of one protocol"),
        pytest.param([P(1, 1), P(2, 2, host_ip="::")], ["1->1", "2->2"], id="of one address"),
    ],
)
def test_runs_of_ports(bindings: list[PortBinding], expected: list[str]) -> None:
    shown = [f"{run(b.host_port, count)}->{run(b.container_port, count)}" for b, count in ranges(bindings)]
    assert shown == expected
