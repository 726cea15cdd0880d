"""From options to settings: the checks in the protocol's order and with its words, before anything is daemonised."""

from __future__ import annotations

import os

from conmon import prepare, say
from conmon.logs import drivers, passes_through
from conmon.logs.driver import Driver
from conmon.options import Options
from conmon.say import Fail


class Settings:
    """Checked options: what ``lifecycle`` works on. All paths are as given."""

    def __init__(self, options: Options, logs: list[Driver], operations: list[prepare.Operation]) -> None:
        self.options = options
        self.cid = options.cid or ""
        self.runtime = options.runtime or ""
        self.bundle = options.bundle if options.bundle is not None else os.getcwd()
        self.pidfile = options.container_pidfile or f"{os.getcwd()}/pidfile-{self.cid}"
        somewhere = options.bundle is not None or not options.exec
        self.passthrough = passes_through(options)
        self.reachable = (
            somewhere and not self.passthrough and (options.full_attach or options.socket_dir_path is not None)
        )
        """Whether there are an attach socket and control pipes. Who names no place for the socket has no use for
        them, and a monitor is the lighter for it (the C conmon would make them, with a link in /var/run/crio)."""
        self.logs = logs
        self.operations = operations


def check(options: Options) -> Settings:
    """Validate, and open the logs. Raises Fail."""
    if options.cid is None:
        raise Fail("Container ID not provided. Use --cid", bare=True)
    say.configure(options.log_level, options.cid, syslog=options.syslog)
    _check_mode(options)
    _check_runtime(options)
    if options.exit_delay < 0:
        raise Fail("Delay before invoking exit command must be greater than or equal to 0")
    _check_rotation(options)
    logs = drivers(options)
    return Settings(options, logs, prepare.load(options.prepare) if options.prepare is not None else [])


def resumed(options: Options) -> Settings:
    """What was checked already, for a container that runs: its end is told even where the log cannot be opened."""
    say.configure(options.log_level, options.cid or "", syslog=options.syslog)
    logs: list[Driver] = []
    try:
        logs = drivers(options)
    except Fail as fail:
        say.failure(fail)
    return Settings(options, logs, [])


def _check_mode(options: Options) -> None:
    if options.restore is not None and options.exec:
        raise Fail("Cannot use 'exec' and 'restore' at the same time")
    if options.exec_attach and not options.exec:
        raise Fail("Attach can only be specified with exec")
    if options.exec_attach and not options.api_version:
        raise Fail("Attach can only be specified for a non-legacy exec session")
    if options.cuuid is None and (not options.exec or options.api_version):
        raise Fail("Container UUID not provided. Use --cuuid")


def _check_runtime(options: Options) -> None:
    if options.runtime is None:
        raise Fail("Runtime path not provided. Use --runtime")
    if not os.access(options.runtime, os.X_OK):
        cause = "Permission denied" if os.path.exists(options.runtime) else "No such file or directory"
        raise Fail(f"Runtime path {options.runtime} is not valid: {cause}")
    if options.exec and options.exec_process_spec is None:
        raise Fail("Exec process spec path not provided. Use --exec-process-spec")


def _check_rotation(options: Options) -> None:
    if options.log_max_files < 0:
        raise Fail("log-max-files must be non-negative")
    if options.log_rotate and options.log_max_files < 1:
        raise Fail("log-max-files must be at least 1 when log-rotate is enabled")
