"""The OCI runtime: its command line, and the process that becomes it."""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # why: see process.py
import itertools
import os
import sys

from conmon import fds, libc, prepare, process, say
from conmon.options import Options
from conmon.say import Fail
from conmon.settings import Settings


def arguments(settings: Settings, console: str | None = None) -> list[str]:
    """The runtime's argv for create, restore or exec."""
    options = settings.options
    words = [settings.runtime]
    if options.systemd_cgroup and not options.exec:
        words.append("--systemd-cgroup")
    words += options.runtime_arg
    if options.exec:
        words += ["exec", "--pid-file", settings.pidfile, "--process", options.exec_process_spec or "", "--detach"]
    else:
        words += ["create" if options.restore is None else "restore"]
        words += ["--bundle", settings.bundle, "--pid-file", settings.pidfile]
        words += ["--no-pivot"] if options.no_pivot else []
        words += ["--no-new-keyring"] if options.no_new_keyring else []
        if options.restore is not None:
            words += ["--detach", "--image-path", options.restore, "--work-path", settings.bundle]
    words += options.runtime_opt
    if console is not None:
        words += ["--console-socket", console]
    return [*words, settings.cid]


def spawn(
    settings: Settings,
    stdio: tuple[int, int, int],
    inherited: list[int],
    oom_score: str | None,
    console: str | None = None,
    start: int | None = None,
) -> int:
    """Start the runtime with these three descriptors as 0, 1, 2. Its pid. ``console``: the socket for the terminal.

    ``start``: a pipe that the child waits for before it becomes the runtime.

    ``inherited`` are the descriptors we were started with: the runtime gets those its --preserve-fds (or
    LISTEN_FDS) counts; the others are ours to hold, and the container must not.
    """
    argv = arguments(settings, console)
    parent = os.getpid()
    everything = signal.valid_signals()
    signal.pthread_sigmask(signal.SIG_BLOCK, everything)  # a signal to the child must not meet our handlers there
    pid = os.fork()
    if pid == 0:
        try:
            process.default_signals()
            libc.die_with_parent(signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(127)
            if start is not None:
                os.read(start, 8192)
            _become(argv, settings, stdio, inherited, parent, oom_score)
        except Fail as fail:
            os.write(2, fail.text.encode(errors="surrogateescape"))
        except OSError as error:
            os.write(2, f"cannot start {argv[0]}: {error.strerror}".encode(errors="surrogateescape"))
        finally:
            os._exit(127)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    fds.close_all((settings.options.runtime_fd,))
    return pid


def preserved(options: Options, environment: dict[str, str]) -> int:
    """How many descriptors from 3 on the runtime passes into the container."""
    words = [*options.runtime_arg, *options.runtime_opt]
    counts = [environment.get("LISTEN_FDS", "0")]
    counts += [after for word, after in itertools.pairwise(words) if word == "--preserve-fds"]
    counts += [word.partition("=")[2] for word in words if word.startswith("--preserve-fds=")]
    return max((int(count) for count in counts if count.isascii() and count.isdigit()), default=0)


def run_prepared(words: list[str]) -> int:
    """``FILE PROGRAM ARG...``: do the operations of FILE, then become PROGRAM. Returns only on failure."""
    try:
        if len(words) < 2:
            raise Fail("--run-prepared needs a file and a program", bare=True)
        operations = prepare.load(words[0])
        process.default_signals()
        fds.shield_null(0)  # the C conmon's stdin for a container that has none
        prepare.perform(operations)
        os.execv(words[1], words[1:])
    except Fail as fail:
        say.failure(fail)
    except OSError as error:
        say.failure(Fail(f"cannot start {words[1]}: {error.strerror}"))
    return 127


def _become(
    argv: list[str],
    settings: Settings,
    stdio: tuple[int, int, int],
    inherited: list[int],
    parent: int,
    oom_score: str | None,
) -> None:
    for target, fd in enumerate(stdio):
        os.dup2(fd, target)
    last = 2 + preserved(settings.options, dict(os.environ))
    for fd in inherited:
        os.set_inheritable(fd, fd <= last)
    if settings.options.replace_listen_pid or os.environ.get("LISTEN_PID") == str(parent):
        os.environ["LISTEN_PID"] = str(os.getpid())
    process.set_oom_score(oom_score)
    if settings.operations:
        prepare.perform(settings.operations)
    sys.stdout.flush()
    _execute(argv, settings.options.runtime_fd)


def _execute(argv: list[str], copy: int) -> None:
    """Become the runtime: its copy, or the program itself where a copy in memory may not be run (vm.memfd_noexec, a
    policy of the host's). Raises OSError."""
    if copy >= 0:
        try:
            os.set_inheritable(copy, False)
            os.execve(copy, argv, os.environ)
        except OSError:
            pass
    os.execve(argv[0], argv, os.environ)
