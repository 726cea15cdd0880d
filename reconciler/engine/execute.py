"""A command in a running container, with the caller's output and input or a terminal shown on the caller's."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from reconciler.engine import recorded, relays, terminals
from reconciler.engine.context import Context
from reconciler.engine.effects import effect
from reconciler.engine.records import ContainerFacts, ContainerRecord
from reconciler.engine.runtime import environment, last_line
from reconciler.model.errors import InvalidInput, Permanent, RuntimeFailed
from reconciler.model.key import ContainerId

NOT_THERE, NOT_RUNNABLE = 127, 126
"""Exit codes for a command that never ran, as shells and podman have them."""


class NotStarted(Permanent):
    """The command never ran. ``code``: 127 where it is not there, 126 where it cannot be run."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


@effect("runtime.exec")
def run(
    ctx: Context,
    container: ContainerId,
    argv: Sequence[str],
    env: Sequence[str],
    cwd: str | None,
    stdin: bool,
    tty: bool = False,
) -> int:
    """The command's exit code; 128 + signal where a signal ended the runtime itself. It has the user, capabilities and
    directory of the container's first process.

    ``env`` are ``NAME=value`` strings added to the container's own; ``stdin``: whether it reads ours; ``tty``: it has a
    terminal of its own, which the runtime connects with ours, both ways.

    Raises NotFound, InvalidInput where the container is paused, NotStarted, RuntimeFailed.
    """
    record, facts = recorded.require(ctx, container), recorded.facts_of(ctx, container)
    if facts.paused and _is_paused(ctx, record, facts):
        raise InvalidInput(f"cannot run a command in {record.name}: it is paused")
    variables = dict(pair.partition("=")[::2] for pair in env)
    runtime = ctx.runtime_of(container)
    if tty:
        variables = {"TERM": os.environ.get("TERM", "xterm"), **variables}
    process = {**runtime.exec_process(container, argv, env=variables, cwd=cwd or ""), "terminal": tty}
    # What the runtime itself has to say is kept apart from what the command writes to our stderr. The files are in
    # memory: a full disk is no reason not to look into a container, and nothing is left behind by a kill.
    with _in_memory() as said, _in_memory() as wanted, _in_memory() as pid:
        wanted.write(msgspec.json.encode(process))
        wanted.flush()
        program, *words = runtime.exec_argv(container, _path_of(wanted))
        if tty and runtime.name == "crun":  # runc would put a file of its own in the place of the one in memory
            words[-1:-1] = ["--pid-file", str(_path_of(pid))]
        call = [*_scored(process.get("oomScoreAdj")), program, "--log", str(_path_of(said)), *words]
        try:
            code = _shown(call, pid.fileno()) if tty else _shielded(call, stdin)
        except OSError as e:
            raise RuntimeFailed(f"cannot run {program}: {e.strerror}") from e
        said.seek(0)
        words_of_runtime = said.read()
        if tty and os.pread(pid.fileno(), 20, 0):
            _show_rest(words_of_runtime)
            words_of_runtime = b""
    if code != 0 and words_of_runtime.strip():
        raise _not_started(argv[0], last_line(words_of_runtime))
    return code if code >= 0 else 128 - code


def _is_paused(ctx: Context, record: ContainerRecord, facts: ContainerFacts) -> bool:
    from reconciler.engine import pausing  # it knows cgroups, which a command in a container mostly does without

    return pausing.is_paused(ctx, record, facts)


def _shielded(call: list[str], stdin: bool) -> int:
    with relays.shielded(stdin) as (given, stdout, stderr):
        done = subprocess.run(call, check=False, stdin=given, stdout=stdout, stderr=stderr, env=environment())
    return done.returncode


def _shown(call: list[str], pidfile: int) -> int:
    with terminals.shown(pidfile):
        return subprocess.run(call, check=False, env=environment()).returncode


def _show_rest(text: bytes) -> None:
    """crun (1.8) puts what it has not shown yet of the terminal of a command that has ended, and a newline, where its
    own errors go."""
    text = text.removesuffix(b"\n")
    while text:
        text = text[os.write(1, text) :]


def _scored(oom_score: int | None) -> list[str]:
    """What goes before a command for it to begin with a score: crun leaves an exec'd process with its own.

    A lower score than ours may be refused; then it stays ours. No preexec_fn, which is not safe beside threads.
    """
    if oom_score is None:
        return []
    return ["/bin/sh", "-c", f'{{ echo {oom_score} >/proc/self/oom_score_adj; }} 2>/dev/null; exec "$@"', "sh"]


def _in_memory() -> BinaryIO:
    return open(os.memfd_create("exec"), "w+b")


def _path_of(file: BinaryIO) -> Path:
    """By our pid, so that the runtime opens it itself and inherits nothing that the command would get."""
    return Path(f"/proc/{os.getpid()}/fd/{file.fileno()}")


def _not_started(command: str, cause: str) -> NotStarted:
    missing = "not found" in cause or "No such file" in cause or "no such file" in cause
    return NotStarted(f"cannot run {command}: {cause}", NOT_THERE if missing else NOT_RUNNABLE)
