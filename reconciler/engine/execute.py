"""A command in a running container: with the caller's output and input, or a terminal shown on the caller's; or with
what it says kept for the caller.

Little is imported: it is to begin as soon as the runtime's own ``exec`` would.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from reconciler.engine import children, files, processes, pulse, relays, runtime
from reconciler.engine.context import Context
from reconciler.engine.effects import effect
from reconciler.engine.relays import Streams
from reconciler.engine.runtime import Runtime, environment, last_line
from reconciler.model.errors import InvalidInput, NotFound, Permanent, RuntimeFailed, TryLater
from reconciler.model.key import ContainerId

NOT_THERE, NOT_RUNNABLE = 127, 126
"""Exit codes for a command that never ran, as shells and podman have them."""
LAST_BREATH = 1.0
"""Seconds that the runtime has to end once its command was killed."""


class NotStarted(Permanent):
    """The command never ran. ``code``: 127 where it is not there, 126 where it cannot be run. ``told``: the runtime has
    said so itself, to where the command's stderr was to go; no runtime can be kept from that."""

    def __init__(self, message: str, code: int, *, told: bool) -> None:
        super().__init__(message)
        self.code = code
        self.told = told


class TimedOut(TryLater):
    """The command's time was over: it was killed."""


@effect("runtime.exec")
def run(
    ctx: Context,
    container: ContainerId,
    argv: Sequence[str],
    *,
    env: Sequence[str] = (),
    cwd: str | None = None,
    stdin: bool = False,
    tty: bool = False,
    timeout: float | None = None,
) -> int:
    """The command's exit code; 128 + signal where a signal ended the runtime itself. It has the user, capabilities and
    directory of the container's first process.

    ``env`` are ``NAME=value`` strings added to the container's own; ``stdin``: whether it reads ours; ``tty``: it has a
    terminal of its own, which the runtime connects with ours, both ways; ``timeout``: the seconds that it may take,
    the runtime's included.

    Raises NotFound, InvalidInput where the container is paused, NotStarted, TimedOut, RuntimeFailed.
    """
    maker, process = _prepared(ctx, container, argv, env, cwd, tty)
    # What the runtime itself has to say is kept apart from what the command writes to our stderr. The files are in
    # memory: a full disk is no reason not to look into a container, and nothing is left behind by a kill.
    with _in_memory() as said, _in_memory() as wanted, _in_memory() as pid:
        wanted.write(_encoded(process))
        wanted.flush()
        call = _call(maker, container, wanted, said, pid if tty else None, process.get("oomScoreAdj"))
        try:
            with _shown(pid.fileno()) if tty else relays.shielded(stdin) as streams:
                code = _ended(call, streams, timeout)
        except subprocess.TimeoutExpired:
            raise _timed_out(argv[0], timeout) from None
        except OSError as e:
            raise RuntimeFailed(f"cannot run {maker.path}: {e.strerror}") from e
        said.seek(0)
        words_of_runtime = said.read()
        if tty and os.pread(pid.fileno(), 20, 0):
            _show_rest(words_of_runtime)
            words_of_runtime = b""
    if code != 0 and words_of_runtime.strip():
        raise _not_started(argv[0], last_line(words_of_runtime), told=not tty)
    return code if code >= 0 else 128 - code


@effect("runtime.capture")
def captured(
    ctx: Context, container: ContainerId, argv: Sequence[str], *, most: int, timeout: float
) -> tuple[int, bytes]:
    """The command's exit code, and the first ``most`` bytes of what it wrote to its stdout and stderr; it has nothing
    to read. What it left running is not waited for. Any number of threads may call at once.

    Raises what ``run`` does.
    """
    maker, process = _prepared(ctx, container, argv, (), None, False)
    with _in_memory() as said, _in_memory() as wanted:
        wanted.write(_encoded(process))
        wanted.flush()
        call = _call(maker, container, wanted, said, None, process.get("oomScoreAdj"))
        try:
            code, output = _ended_with_output(call, most, timeout)
        except subprocess.TimeoutExpired:
            raise _timed_out(argv[0], timeout) from None
        except OSError as e:
            raise RuntimeFailed(f"cannot run {maker.path}: {e.strerror}") from e
        said.seek(0)
        words_of_runtime = said.read()
    if code != 0 and words_of_runtime.strip():
        raise _not_started(argv[0], last_line(words_of_runtime), told=False)
    return code if code >= 0 else 128 - code, output


def _prepared(
    ctx: Context, container: ContainerId, argv: Sequence[str], env: Sequence[str], cwd: str | None, tty: bool
) -> tuple[Runtime, dict[str, Any]]:
    """The runtime that is to do it, and the process. Raises InvalidInput where the container is paused, NotStarted
    where no runtime knows it any more: somebody cleared the run directory."""
    if pulse.was_paused(ctx.layout, container):
        _expect_goes_on(ctx, container)
    maker, process = runtime.maker_of(container, ctx.layout), _process(ctx, container, argv, env, cwd, tty)
    if maker is None:
        cause = f"what its OCI runtime knew of the container, in {ctx.layout.run / 'runtime'}, is gone"
        remedy = f"it goes on running, and can be made anew: reconciler restart {container[:12]}"
        raise NotStarted(f"cannot run {argv[0]}: {cause}; {remedy}", NOT_RUNNABLE, told=False)
    return maker, process


def _timed_out(command: str, seconds: float | None) -> TimedOut:
    return TimedOut(f"cannot run {command} to its end: it took more than {seconds or 0:g} s and was killed")


def _expect_goes_on(ctx: Context, container: ContainerId) -> None:
    """Raises InvalidInput where it is paused (what was asked for need not be so)."""
    from reconciler.engine import pausing, recorded  # cgroups and records, which a command mostly does without

    record = recorded.require(ctx, container)
    if pausing.is_paused(ctx, record, recorded.facts_of(ctx, container)):
        raise InvalidInput(f"cannot run a command in {record.name}: it is paused")


def _process(
    ctx: Context, container: ContainerId, argv: Sequence[str], env: Sequence[str], cwd: str | None, tty: bool
) -> dict[str, Any]:
    """What the container's first process is made of, but for what is given."""
    config = files.read_or_none(ctx.layout.container(container) / "config.json")
    if config is None:
        raise NotFound(f"cannot find container {container[:12]}: it is not here")
    try:
        own = json.loads(config)["process"]
    except (ValueError, KeyError) as e:
        raise RuntimeFailed(f"cannot read the configuration of container {container[:12]}: {e}") from e
    given = dict(pair.partition("=")[::2] for pair in env)
    if tty:
        given = {"TERM": os.environ.get("TERM", "xterm"), **given}
    return exec_process(own, argv, given, cwd or "", terminal=tty)


def exec_process(
    process: dict[str, Any], argv: Sequence[str], env: dict[str, str], cwd: str = "", *, terminal: bool = False
) -> dict[str, Any]:
    """A ``process.json`` from the ``process`` of a container's config.json: same user, rights and directory. Extra
    ``env`` comes last and so wins."""
    kept = [item for item in process.get("env", ()) if item.partition("=")[0] not in env]
    added = [f"{name}={value}" for name, value in env.items()]
    place = {"cwd": cwd} if cwd else {}
    return {**process, **place, "args": list(argv), "env": kept + added, "terminal": terminal}


def _encoded(process: dict[str, Any]) -> bytes:
    try:
        return json.dumps(process, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise InvalidInput("cannot run the command: runtimes take words that are UTF-8 only") from None


def _call(
    maker: Runtime, container: ContainerId, process: BinaryIO, log: BinaryIO, pid: BinaryIO | None, score: int | None
) -> list[str]:
    program, *words = maker.exec_argv(container, _path_of(process))
    if pid is not None and maker.name == "crun":  # runc would put a file of its own in the place of the one in memory
        words[-1:-1] = ["--pid-file", str(_path_of(pid))]
    return [*_scored(score), program, "--log", str(_path_of(log)), *words]


@contextlib.contextmanager
def _shown(pidfile: int) -> Iterator[Streams]:
    """The command's stderr is its terminal: the runtime's own goes nowhere."""
    from reconciler.engine import terminals

    with _in_memory() as nowhere, terminals.shown(pidfile):
        yield None, None, nowhere.fileno()


def _ended(call: list[str], streams: Streams, timeout: float | None) -> int:
    """The runtime's exit code. Raises subprocess.TimeoutExpired when all of it has been killed."""
    stdin, stdout, stderr = streams
    process = subprocess.Popen(call, env=environment(), stdin=stdin, stdout=stdout, stderr=stderr)
    try:
        return process.wait() if timeout is None else _ended_within(process, timeout)
    except BaseException:
        _end(process)
        raise


def _ended_with_output(call: list[str], most: int, seconds: float) -> tuple[int, bytes]:
    """The runtime's exit code, and the beginning of what came through one pipe. Raises subprocess.TimeoutExpired when
    all of it has been killed."""
    output, end = os.pipe2(os.O_CLOEXEC)
    nothing = relays.empty()
    try:
        try:
            process = subprocess.Popen(call, env=environment(), stdin=nothing, stdout=end, stderr=end)
        finally:
            os.close(end)
            os.close(nothing)
        try:
            kept = _read_until_ended(process, output, most, seconds)
        except BaseException:
            _end(process)
            raise
        return process.wait(), kept
    finally:
        os.close(output)


def _read_until_ended(process: subprocess.Popen[bytes], output: int, most: int, seconds: float) -> bytes:
    """What is too much is read and forgotten: nobody is to wait for us to read it."""
    kept, until = b"", time.monotonic() + seconds
    pidfd, poll = os.pidfd_open(process.pid), select.poll()
    try:
        poll.register(output, select.POLLIN)
        poll.register(pidfd, select.POLLIN)
        while ready := dict(poll.poll(max(0.0, until - time.monotonic()) * 1000)):
            if ready.get(output, 0) & select.POLLIN:
                kept += os.read(output, relays.PIECE)[: most - len(kept)]
                if pidfd in ready and len(kept) == most:
                    return kept  # others go on to write
            elif pidfd in ready:
                return kept
            else:
                poll.unregister(output)  # closed by all who could write
        raise subprocess.TimeoutExpired(process.args, seconds)
    finally:
        os.close(pidfd)


def _ended_within(process: subprocess.Popen[bytes], seconds: float) -> int:
    """By a descriptor: ``Popen.wait`` would look again and again."""
    pidfd = os.pidfd_open(process.pid)
    try:
        if not processes.ended(pidfd, seconds):
            raise subprocess.TimeoutExpired(process.args, seconds)
    finally:
        os.close(pidfd)
    return process.wait()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the command, with whatever it has started that is still below it. The runtime then ends by itself as a rule,
    and leaves our terminal as it was; but runc waits for all who have the command's output, also for those that are
    nobody's any more."""
    _kill_below(process.pid, signal.SIGCONT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(LAST_BREATH)
    _kill_below(process.pid, signal.SIGKILL)
    children.end(process)


def _kill_below(runtime: int, then: int) -> None:
    """Nothing of it can begin anything meanwhile; ``then`` is for the runtime itself."""
    itself = processes.pid_ref(runtime)
    if itself is None or not processes.alive(itself):
        return
    processes.send_signal(itself, signal.SIGSTOP)
    for ref in processes.held_below(runtime):
        processes.send_signal(ref, signal.SIGKILL)
    processes.send_signal(itself, then)


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


def _not_started(command: str, cause: str, *, told: bool) -> NotStarted:
    missing = "not found" in cause or "No such file" in cause or "no such file" in cause
    return NotStarted(f"cannot run {command}: {cause}", NOT_THERE if missing else NOT_RUNNABLE, told=told)
