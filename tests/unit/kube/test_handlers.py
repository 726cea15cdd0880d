"""What hooks and probes are to do: what is wrong with it, what it compiles to, and that it is written out as it was."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.kube.handlers import check_handler, compile_handler, present_handler
from reconciler.model.probe import ExecAction, GrpcAction, Handler, HttpAction, SleepAction, TcpAction

CONTAINER = {"name": "a", "ports": [{"name": "web", "containerPort": 8080}, {"containerPort": 9}]}


@pytest.mark.parametrize(
    ("handler", "flaws"),
    [
        pytest.param({"exec": {"command": ["true"]}}, [], id="a command"),
        pytest.param({"httpGet": {"port": "web"}}, [], id="a port by its name"),
        pytest.param(
            {"tcpSocket": {"port": 70000}}, ["tcpSocket.port: 70000 is not a port (1 to 65535)"], id="too high"
        ),
        pytest.param({}, [": says nothing to do: exec, httpGet, tcpSocket…"], id="nothing"),
        pytest.param(
            {"exec": {"command": ["true"]}, "sleep": {"seconds": 1}},
            ["sleep: a handler does one thing, and this one has exec already"],
            id="two things",
        ),
        pytest.param(
            {"httpGet": {"port": "wep"}},
            ["httpGet.port: the container has no port called 'wep', did you mean web?"],
            id="a port that there is not",
        ),
        pytest.param(
            {"httpGet": {"port": "8080"}},
            [
                "httpGet.port: '8080' must be lower-case letters, digits and single '-', with at least one letter"
                " (remove the quotes)"
            ],
            id="a number in quotes",
        ),
        pytest.param(
            {"httpGet": {"port": 80, "httpHeaders": [{"name": "X-A", "value": "b"}, {"name": "a b", "value": ""}]}},
            ["httpGet.httpHeaders.1.name: 'a b' must be letters, digits and '-'"],
            id="a header's name",
        ),
    ],
)
def test_flaws(handler: Any, flaws: list[str]) -> None:
    found = [f"{'.'.join(map(str, f.at))}: {f.message}" for f in check_handler(handler, (), CONTAINER)]
    assert found == flaws


@pytest.mark.parametrize(
    ("handler", "meant"),
    [
        ({"exec": {"command": ["sh", "-c", "$(A)"]}}, ExecAction(("sh", "-c", "$(A)"))),
        ({"httpGet": {"port": "web"}}, HttpAction(8080)),
        ({"httpGet": {"port": 80, "path": "x?y", "scheme": "HTTPS"}}, HttpAction(80, "/x?y", scheme="HTTPS")),
        (
            {
                "httpGet": {
                    "port": 80,
                    "host": "h",
                    "httpHeaders": [{"name": "B", "value": "1"}, {"name": "A", "value": ""}],
                }
            },
            HttpAction(80, host="h", headers=(("B", "1"), ("A", ""))),
        ),
        ({"tcpSocket": {"port": "web"}}, TcpAction(8080)),
        ({"tcpSocket": {"port": 9, "host": "::1"}}, TcpAction(9, "::1")),
        ({"grpc": {"port": 9}}, GrpcAction(9)),
        ({"grpc": {"port": 9, "service": "s"}}, GrpcAction(9, "s")),
        ({"sleep": {"seconds": 3}}, SleepAction(3)),
    ],
)
def test_what_is_meant_and_that_it_reads_back(handler: Any, meant: Handler) -> None:
    assert compile_handler(handler, CONTAINER) == meant
    assert compile_handler(present_handler(meant), {}) == meant
