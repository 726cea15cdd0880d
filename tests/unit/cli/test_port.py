"""`port` as podman prints it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.cli import app, port
from reconciler.model.errors import InvalidInput
from reconciler.model.observed import ContainerState
from reconciler.model.spec import PortBinding, Protocol
from tests.unit.cli.pods import container, pod
from tests.unit.cli.test_podlogs import Engine

PORTS = (
    PortBinding(8443, 443, host_ip="127.0.0.1"),
    PortBinding(8080, 80),
    PortBinding(8081, 80, host_ip="::1"),
    PortBinding(5353, 53, Protocol.UDP),
    PortBinding(5354, 53),
)


@pytest.fixture(autouse=True)
def web(monkeypatch: pytest.MonkeyPatch):
    a, b = container("web", "a"), replace(container("web", "b", state=ContainerState.CREATED), created_wall=9e9)
    there = pod("web", a, b, ports=PORTS)
    other = pod("quiet", container("quiet", "app"))
    monkeypatch.setattr("reconciler.cli.settings.Options.engine", lambda self: Engine(there, other))
    return there


def said(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert app.run(["port", *words]) == 0
    return capsys.readouterr().out.splitlines()


LINES = [
    "53/tcp -> 0.0.0.0:5354",
    "53/udp -> 0.0.0.0:5353",
    "80/tcp -> 0.0.0.0:8080",
    "80/tcp -> [::1]:8081",
    "443/tcp -> 127.0.0.1:8443",
]


def test_all_ports_of_a_container(web, capsys) -> None:
    assert said(capsys, "web/a") == LINES
    assert said(capsys, "web/b") == LINES, "they are the pod's"
    assert said(capsys, "--latest") == LINES
    assert said(capsys, "quiet") == []
    assert said(capsys, web.sandbox.infra.id[:12]) == LINES


@pytest.mark.parametrize(
    ("word", "lines"),
    [
        ("80", ["0.0.0.0:8080", "[::1]:8081"]),
        ("80/tcp", ["0.0.0.0:8080", "[::1]:8081"]),
        ("53/udp", ["0.0.0.0:5353"]),
        ("53", ["0.0.0.0:5354"]),
    ],
)
def test_one_port_is_told_by_its_place_alone(word: str, lines: list[str], capsys) -> None:
    assert said(capsys, "web/a", word) == lines
    assert said(capsys, "-l", word) == lines


def test_all_are_those_of_every_container_that_runs(web, capsys) -> None:
    shown = said(capsys, "--all")
    ids = [web.sandbox.infra.id[:12], web.containers[0].id[:12]]
    assert shown == [f"{id_}\t{line}" for id_ in ids for line in LINES]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("web/a", "81"), "cannot show port 81 of web/a: it is not published"),
        (("web/a", "80/udp"), "cannot show port 80/udp of web/a: it is not published"),
        (("web/a", "http"), 'cannot show port "http": '),
        (("web/a", "80", "81"), "unexpected extra argument"),
        (("--all", "web/a"), "--all goes with nothing else"),
        ((), "Missing argument 'CONTAINER'"),
        (("nobody",), 'cannot find container "nobody"'),
    ],
)
def test_what_cannot_be_shown(words: tuple[str, ...], error: str, capsys) -> None:
    assert app.run(["port", *words]) == 125
    assert error in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "/tcp", "80/", "80/icmp", "-1", "٣", " 80", "8_0", "80/tcp/udp"])
def test_what_is_no_port(text: str) -> None:
    with pytest.raises(InvalidInput, match="cannot show port"):
        port.wanted(text)
