"""Signals that users send to containers. Apart from what ends containers by them, which imports far more."""

from __future__ import annotations

import signal

from reconciler.engine import processes
from reconciler.engine.context import Context
from reconciler.engine.recorded import facts_of, require
from reconciler.engine.watched import process_of
from reconciler.model.errors import InvalidInput
from reconciler.model.key import ContainerId


def send(ctx: Context, container: ContainerId, number: int) -> None:
    """Send a signal to the container's first process: nothing is meant by it but what the program makes of it. Where it
    is paused that waits until it goes on, but for its death.

    Raises NotFound, InvalidInput where it does not run.
    """
    record, facts = require(ctx, container), facts_of(ctx, container)
    process = process_of(facts)
    if not processes.alive(process):
        raise InvalidInput(f"cannot send a signal to {record.name}: it does not run")
    processes.send_signal(process, number)
    if facts.paused and number == signal.SIGKILL:
        from reconciler.engine import pausing

        pausing.let_go_on(ctx, record)
