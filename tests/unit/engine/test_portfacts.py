"""Who has a port that is wanted, and who of them is waited for."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from reconciler.engine import portfacts
from reconciler.engine.layout import Layout
from reconciler.engine.network import ports
from reconciler.model.errors import PortTaken
from reconciler.model.spec import PortBinding
from tests.slowness import seconds

WANTED = (PortBinding(8080, 80),)
OTHER = "b" * 64
MINE = "a" * 64


@pytest.fixture
def ctx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(portfacts.netrecords, "why_no_ipv6", lambda _ctx: "")
    monkeypatch.setattr(portfacts, "LETS_GO", seconds(30))
    return SimpleNamespace(layout=Layout.at(tmp_path))


def refused(monkeypatch: pytest.MonkeyPatch, *pids: int) -> list[int]:
    """``ports.hold`` refuses once for each of ``pids`` (the last one for ever if it is negative); who was told of."""
    left, told = list(pids), list[int]()

    def hold(_bindings: object, *, ipv6: bool) -> list[object]:
        assert ipv6
        if not left:
            return []
        pid = left[0] if left[0] < 0 else left.pop(0)
        told.append(abs(pid))
        raise PortTaken("cannot publish port 8080/tcp: it is held", pid=abs(pid))

    monkeypatch.setattr(ports, "hold", hold)
    return told


@contextmanager
def process(*words: str) -> Iterator[int]:
    """One that has ``words`` on its command line."""
    program = [sys.executable, "-c", "print(flush=True); input()", *words]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as one:
        assert one.stdout
        assert one.stdout.readline() == b"\n"
        yield one.pid
        one.communicate(b"\n")


def test_the_zygote_is_waited_for(ctx: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with process("--zygote", str(ctx.layout.zygote_socket), "--idle") as zygote:
        told = refused(monkeypatch, zygote, zygote, zygote)
        assert portfacts.hold(ctx, WANTED) == []
    assert told == [zygote] * 3


def test_not_for_ever(ctx: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with process("--zygote", str(ctx.layout.zygote_socket), "--idle") as zygote:
        refused(monkeypatch, -zygote)
        monkeypatch.setattr(portfacts, "LETS_GO", 0.05)
        with pytest.raises(PortTaken):
            portfacts.hold(ctx, WANTED)


def test_another_instance_s_zygote_is_not(ctx: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with process("--zygote", "/run/other/zygote.sock", "--idle") as zygote:
        told = refused(monkeypatch, -zygote)
        with pytest.raises(PortTaken):
            portfacts.hold(ctx, WANTED)
    assert told == [zygote]


def test_a_monitor_of_the_same_container_is_waited_for(ctx: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with process("conmon", "-c", MINE, "-u") as monitor:
        refused(monkeypatch, monitor)
        assert portfacts.hold(ctx, WANTED, MINE) == []


@pytest.mark.parametrize("container", [OTHER, None])
def test_another_s_is_not(ctx: Any, monkeypatch: pytest.MonkeyPatch, container: str | None) -> None:
    with process("conmon", "-c", MINE, "-u") as monitor:
        told = refused(monkeypatch, -monitor)
        with pytest.raises(PortTaken):
            portfacts.hold(ctx, WANTED, container)
    assert told == [monitor]


def test_somebody_else_is_not(ctx: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    told = refused(monkeypatch, -os.getpid())
    with pytest.raises(PortTaken):
        portfacts.hold(ctx, WANTED, MINE)
    assert told == [os.getpid()]


def test_who_cannot_be_found_may_have_let_go(ctx: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(monkeypatch, 0)
    assert portfacts.hold(ctx, WANTED) == []


def test_who_cannot_be_found_twice_has_it(ctx: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    told = refused(monkeypatch, 0, 0, 0)
    with pytest.raises(PortTaken):
        portfacts.hold(ctx, WANTED)
    assert told == [0, 0]
