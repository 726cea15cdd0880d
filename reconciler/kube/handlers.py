"""Handlers of hooks and probes: checked as the Kubernetes API does (core/validation: validateHandler), compiled, and
written out again. Pure.

A port that is named is one of the container's own; its number is what is compiled.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from reconciler.kube import names
from reconciler.kube.problem import Flaw, Path, Reason
from reconciler.model.probe import ExecAction, GrpcAction, Handler, HttpAction, SleepAction, TcpAction
from reconciler.model.words import did_you_mean

Json = dict[str, Any]

KINDS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
PORT_MAX = 65535
_HEADER = re.compile(r"[-A-Za-z0-9]+")


def check_handler(handler: Json, at: Path, container: Json) -> Iterator[Flaw]:
    """Flaws of what ``handler`` is to do in the ``container`` that has it: one thing, at a port that there is."""
    found = [kind for kind in KINDS if isinstance(handler.get(kind), dict)]
    if not any(kind in handler for kind in KINDS):
        yield _bad("says nothing to do: exec, httpGet, tcpSocket…", at)
    for kind in found[1:]:
        yield _bad(f"a handler does one thing, and this one has {found[0]} already", (*at, kind))
    for kind in found:
        action, place = handler[kind], (*at, kind)
        if "port" in action:
            yield from _port(action["port"], (*place, "port"), container)
        for index, header in enumerate(action.get("httpHeaders", ())):
            name = header.get("name") if isinstance(header, dict) else None
            if isinstance(name, str) and not _HEADER.fullmatch(name):
                yield _bad(f"{name!r} must be letters, digits and '-'", (*place, "httpHeaders", index, "name"))


def _port(port: Any, at: Path, container: Json) -> Iterator[Flaw]:
    if isinstance(port, str):
        known = _named_ports(container)
        if text := names.port_name(port):
            hint = " (remove the quotes)" if port.isascii() and port.isdigit() else ""
            yield _bad(f"{text}{hint}", at)
        elif port not in known:
            yield _bad(f"the container has no port called {port!r}{did_you_mean(port, sorted(known))}", at)
    elif not 1 <= port <= PORT_MAX:
        yield _bad(f"{port} is not a port (1 to {PORT_MAX})", at)


def compile_handler(handler: Json, container: Json) -> Handler:
    """What ``handler``, which has no flaws, does. Words of a command are as they are written: who expands them, does
    so before (kubelet: probes are expanded, hooks are not)."""
    if "exec" in handler:
        return ExecAction(tuple(handler["exec"]["command"]))
    if get := handler.get("httpGet"):
        headers = tuple((h["name"], h.get("value", "")) for h in get.get("httpHeaders", ()))
        path = get.get("path") or "/"
        return HttpAction(
            _number(get["port"], container),
            path if path.startswith("/") else f"/{path}",
            get.get("host", ""),
            get.get("scheme") or "HTTP",
            headers,
        )
    if tcp := handler.get("tcpSocket"):
        return TcpAction(_number(tcp["port"], container), tcp.get("host", ""))
    if grpc := handler.get("grpc"):
        return GrpcAction(int(grpc["port"]), grpc.get("service") or "")
    return SleepAction(int(handler["sleep"]["seconds"]))


def present_handler(handler: Handler) -> Json:
    """As a manifest says it; reading it gives an equal handler."""
    match handler:
        case ExecAction():
            return {"exec": {"command": [*handler.command]}}
        case HttpAction():
            out: Json = {"path": handler.path, "port": handler.port, "scheme": handler.scheme}
            out |= {"host": handler.host} if handler.host else {}
            headers = [{"name": name, "value": value} for name, value in handler.headers]
            return {"httpGet": out | ({"httpHeaders": headers} if headers else {})}
        case TcpAction():
            return {"tcpSocket": {"port": handler.port} | ({"host": handler.host} if handler.host else {})}
        case GrpcAction():
            return {"grpc": {"port": handler.port} | ({"service": handler.service} if handler.service else {})}
        case SleepAction():
            return {"sleep": {"seconds": handler.seconds}}


def _number(port: int | str, container: Json) -> int:
    return _named_ports(container)[port] if isinstance(port, str) else int(port)


def _named_ports(container: Json) -> dict[str, int]:
    ports = (port for port in container.get("ports", ()) if isinstance(port, dict))
    return {port["name"]: int(port["containerPort"]) for port in ports if port.get("name") and "containerPort" in port}


def _bad(text: str, at: Path) -> Flaw:
    return Flaw(text, Reason.INVALID_VALUE, at)
