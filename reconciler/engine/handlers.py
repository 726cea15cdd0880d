"""A handler of a probe or a hook, run once against a container. Blocking, for as long as was said and hardly longer;
any number of threads may run any number of them.

What listens in a pod is asked from this machine's network, so images need no tools (pkg/kubelet/prober/prober.go).
"""

from __future__ import annotations

import time

from reconciler.engine import dialling, pulse, recorded
from reconciler.engine.context import Context
from reconciler.engine.dialling import Unreachable
from reconciler.engine.network.hostips import host_ips
from reconciler.model.errors import InvalidInput, NotFound, ReconcilerError
from reconciler.model.key import ContainerId
from reconciler.model.probe import Asked, ExecAction, GrpcAction, Handler, HttpAction, Outcome, SleepAction, TcpAction

MOST = 10 * 1024
"""Bytes of a command's output that are kept (pkg/probe/exec)."""

LOOPBACK = "127.0.0.1"


def run(
    ctx: Context,
    container: ContainerId,
    handler: Handler,
    timeout: float,
    address: str,
    asked: Asked = Asked.PROBE,
) -> Outcome:
    """What came of it, within ``timeout`` seconds; ``address``: where the container's ports are (``address_of``).

    Of an exec whose time is over, the command and what it started below it has been killed.
    """
    match handler:
        case ExecAction():
            return _exec(ctx, container, handler, timeout)
        case HttpAction():
            from reconciler.engine import httpget  # ssl and email: 20 ms

            return httpget.get(handler, address, timeout, asked)
        case TcpAction():
            return _connect(handler, address, timeout)
        case GrpcAction():
            from reconciler.engine import grpchealth  # h2: 20 ms

            return grpchealth.check(handler, address, timeout)
        case SleepAction():
            time.sleep(min(handler.seconds, timeout))
            return Outcome(handler.seconds <= timeout)


def ask(ctx: Context, container: ContainerId, handler: Handler, timeout: float) -> Outcome:
    """As a probe: what came of it says something of a container that runs, and goes on to.

    Raises NotFound where it has ended, InvalidInput where it is paused.
    """
    if pulse.was_paused(ctx.layout, container):
        raise InvalidInput(f"cannot probe container {container[:12]}: it is paused")
    outcome = run(ctx, container, handler, timeout, address_of(ctx, container))
    if not outcome.passed and not pulse.runs(ctx.layout, container):
        raise NotFound(f"cannot probe container {container[:12]}: it has ended")
    return outcome


def address_of(ctx: Context, container: ContainerId) -> str:
    """Where a container is reached from this machine: its own address, or its pod's, or this machine's where it is on
    its network (the kubelet: status.podIP, which is then the node's). Raises NotFound."""
    record = recorded.require(ctx, container)
    pod = recorded.require_pod(ctx, record.pod)
    if pod.spec.sandbox.host_network:
        return next(iter(host_ips()), LOOPBACK)
    own = (record.ip, record.ip6, *pod.ips)
    return next((ip for ip in own if ip), LOOPBACK)


def _exec(ctx: Context, container: ContainerId, action: ExecAction, timeout: float) -> Outcome:
    from reconciler.engine import execute

    try:
        code, output = execute.captured(ctx, container, action.command, most=MOST, timeout=timeout)
    except execute.TimedOut:
        return Outcome(False, f'command timed out: "{" ".join(action.command)}" timed out after {timeout:g}s')
    except ReconcilerError as e:
        return Outcome(False, e.message, errored=True)
    return Outcome(code == 0, output.decode(errors="replace"))


def _connect(action: TcpAction, address: str, timeout: float) -> Outcome:
    try:
        with dialling.dialled(action.host or address, action.port, time.monotonic() + timeout):
            return Outcome(True)
    except Unreachable as e:
        return Outcome(False, str(e))
