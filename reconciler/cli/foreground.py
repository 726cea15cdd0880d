"""A container that a command makes or starts and stays with: its streams are ours, signals to us are its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from reconciler.cli.app import FAILED_AS_PODMAN
from reconciler.cli.conversation import Conversation, Ended
from reconciler.cli.terminal import complain
from reconciler.engine.execute import NOT_RUNNABLE, NOT_THERE
from reconciler.model.errors import ReconcilerError
from reconciler.model.key import ContainerId

if TYPE_CHECKING:
    from reconciler.controller.by_hand import Bench
    from reconciler.engine.engine import Engine

LOST = -1


def stay_with(
    engine: Engine,
    bench: Bench,
    container: ContainerId,
    start: Callable[[], None],
    *,
    stdin: bool,
    keys: bytes,
    proxy: bool = True,
) -> int:
    """Connect with a container that waits for its start, have it started, and stay until it ends; the exit code, its
    own where it ended, 0 after the keys that detach.

    ``start`` raises what keeps it from starting. ``proxy``: signals to us go to it, where it has no terminal.
    """
    sys.stdout.flush()
    with engine.attached(container) as session:
        start()
        given = 0 if stdin and (session.stdin or session.tty) else None
        forward = None if session.tty and given is not None and os.isatty(given) else _forwarding(engine, container)
        ended = Conversation(session, given, keys, forward if proxy else None).hold()
    return 0 if ended is Ended.DETACHED else _exit_code(engine, bench, container, session.life)


def _forwarding(engine: Engine, container: ContainerId) -> Callable[[int], None]:
    def forward(number: int) -> None:
        with suppress(ReconcilerError):  # it has ended meanwhile
            engine.signal(container, number)

    return forward


def _exit_code(engine: Engine, bench: Bench, container: ContainerId, life: int) -> int:
    """Of one that was to be removed when it ended, what whoever removed it left."""
    code = None
    with suppress(ReconcilerError):
        code = engine.exit_code(container, life)
    if code is None:
        code = bench.source.code_of(container)
    if code is None:
        complain(
            "no connection with the container any more: it may run on",
            "its output came faster than it was read here, or its monitor was killed and replaced",
        )
        return FAILED_AS_PODMAN
    return FAILED_AS_PODMAN if code == LOST else code


def code_of(error: ReconcilerError) -> int:
    """What podman exits with where a container could not be started: 127 where its command is not there, 126 where it
    cannot be run, 125 for all else."""
    text = error.message.lower()
    if "is not in image" in text or "executable file not found" in text or "no such file or directory" in text:
        return NOT_THERE
    is_refused = "permission denied" in text or "is not executable" in text  # the latter says a later crun
    return NOT_RUNNABLE if is_refused else FAILED_AS_PODMAN
