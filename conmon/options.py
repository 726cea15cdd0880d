"""The command line: one table, and GLib's grammar (GOption), which getopt and argparse cannot imitate.

Long options only in full, as ``--opt value`` or ``--opt=value``. The next word is the value even if it
begins with ``-`` or is empty. A short option never has its value glued on; in a cluster (``-tb DIR``)
each letter may take the next word, but only one of them. ``--flag=anything`` sets the flag. Words left
over are ignored, ``--`` ends the options.
"""

from __future__ import annotations

from conmon import VERSION
from conmon.say import Fail

FLAG, STRING, ARRAY, INT, INT64 = "flag", "string", "array", "int", "int64"
_LIMITS = {INT: 1 << 31, INT64: 1 << 63}


class Options:
    """What the command line said; the defaults are the protocol's."""

    def __init__(self) -> None:
        self.cid: str | None = None
        self.cuuid: str | None = None
        self.runtime: str | None = None
        self.bundle: str | None = None
        self.container_pidfile: str | None = None
        self.conmon_pidfile: str | None = None
        self.oom_file: str | None = None
        self.log_path: list[str] = []
        self.name: str | None = None
        self.terminal = False
        self.stdin = False
        self.leave_stdin_open = False
        self.exec = False
        self.exec_process_spec: str | None = None
        self.exec_attach = False
        self.api_version = False
        self.exit_dir: str | None = None
        self.persist_dir: str | None = None
        self.exit_command: str | None = None
        self.exit_command_arg: list[str] = []
        self.exit_delay = 0
        self.timeout = 0
        self.systemd_cgroup = False
        self.no_pivot = False
        self.no_new_keyring = False
        self.runtime_arg: list[str] = []
        self.runtime_opt: list[str] = []
        self.restore: str | None = None
        self.socket_dir_path: str | None = None
        self.full_attach = False
        self.log_size_max = -1
        self.log_global_size_max = -1
        self.log_rotate = False
        self.log_max_files = 1
        self.log_dated = False
        self.log_allowlist_dir: list[str] = []
        self.log_tag: str | None = None
        self.log_label: list[str] = []
        self.no_container_partial_message = False
        self.log_level: str | None = None
        self.syslog = False
        self.no_sync_log = False
        self.sync = False
        self.replace_listen_pid = False
        self.sdnotify_socket: str | None = None
        self.version = False
        self.help = False
        self.prepare: str | None = None
        self.runtime_fd = -1


class Option:
    """One row of the table. ``attribute`` names the field of Options; a hidden row is absent from --help."""

    __slots__ = ("attribute", "hidden", "kind", "long", "short", "text")

    def __init__(self, long: str, short: str, kind: str, text: str, attribute: str = "") -> None:
        self.long = long
        self.short = short
        self.kind = kind
        self.text = text
        self.attribute = attribute or long.replace("-", "_")
        self.hidden = not text


TABLE = (
    Option("api-version", "", FLAG, "Speak API version 1 on the sync pipe"),
    Option("bundle", "b", STRING, "OCI bundle directory (default: the working directory)"),
    Option("cid", "c", STRING, "Container id"),
    Option("conmon-pidfile", "P", STRING, "Where to write the monitor's pid"),
    Option("container-pidfile", "p", STRING, "Where the runtime writes the container's pid"),
    Option("pidfile", "", STRING, "", "container_pidfile"),
    Option("cuuid", "u", STRING, "Container uuid"),
    Option("exec", "e", FLAG, "Run a process in a running container"),
    Option("exec-attach", "", FLAG, "Attach to an exec session"),
    Option("exec-process-spec", "", STRING, "The process.json of an exec session"),
    Option("exit-command", "", STRING, "Program to run after the container has ended"),
    Option("exit-command-arg", "", ARRAY, "Argument of the exit command; repeatable"),
    Option("exit-delay", "", INT, "Seconds to wait before the exit command"),
    Option("exit-dir", "", STRING, "Directory for the exit file, which is called like the container id"),
    Option("full-attach", "", FLAG, "Attach socket in the bundle, without the short symbolic link"),
    Option("leave-stdin-open", "", FLAG, "Keep stdin open when an attached client leaves"),
    Option("log-allowlist-dir", "", ARRAY, "Directory in which logs may be rotated; repeatable"),
    Option("log-dated", "", FLAG, "With --log-rotate: the kubelet's names, older ones gzipped (not in the C conmon)"),
    Option("log-global-size-max", "", INT64, "Bytes of output kept altogether"),
    Option("log-label", "", ARRAY, "KEY=VALUE field for journald; repeatable"),
    Option("log-level", "", STRING, "error, warning, info, debug or trace"),
    Option("log-max-files", "", INT, "Rotated log files to keep"),
    Option("log-path", "l", ARRAY, "DRIVER:PATH of a log; repeatable"),
    Option("log-rotate", "", FLAG, "Keep old logs when one is full"),
    Option("log-size-max", "", INT64, "Bytes per log file"),
    Option("log-tag", "", STRING, "Tag for journald"),
    Option("name", "n", STRING, "Container name"),
    Option("no-container-partial-message", "", FLAG, "Leave CONTAINER_PARTIAL_MESSAGE out of journald records"),
    Option("no-new-keyring", "", FLAG, "Passed to the runtime"),
    Option("no-pivot", "", FLAG, "Passed to the runtime"),
    Option("no-sync-log", "", FLAG, "Do not fsync the log at the end"),
    Option("oom-file", "", STRING, "File for the number of OOM kills, written at each (not in the C conmon)"),
    Option("persist-dir", "0", STRING, "Directory for the files exit and oom"),
    Option("prepare", "", STRING, "Mount operations done before the runtime starts (not in the C conmon)"),
    Option("replace-listen-pid", "", FLAG, "Set LISTEN_PID to the runtime's pid"),
    Option("restore", "", STRING, "Restore from this checkpoint"),
    Option("restore-arg", "", ARRAY, "", "runtime_opt"),
    Option("runtime", "r", STRING, "Path of the OCI runtime"),
    Option("runtime-arg", "", ARRAY, "Global argument for the runtime; repeatable"),
    Option("runtime-fd", "", INT, "A sealed copy of the runtime in memory, to be run instead (not in the C conmon)"),
    Option("runtime-opt", "", ARRAY, "Argument for the runtime's subcommand; repeatable"),
    Option("sdnotify-socket", "", STRING, "The host's notify socket to relay to"),
    Option("socket-dir-path", "", STRING, "Directory for the short links to attach sockets"),
    Option("stdin", "i", FLAG, "Give the container a stdin"),
    Option("sync", "", FLAG, "Stay in the foreground; exit with the container's status"),
    Option("syslog", "", FLAG, "Also report to syslog"),
    Option("systemd-cgroup", "s", FLAG, "Passed to the runtime"),
    Option("terminal", "t", FLAG, "Give the container a terminal"),
    Option("timeout", "T", INT, "Kill the container after this many seconds"),
    Option("version", "", FLAG, "Print the version"),
)

_LONG = {option.long: option for option in TABLE}
_SHORT = {option.short: option for option in TABLE if option.short}


def parse(argv: list[str]) -> Options:
    """Read the words after the program name. Raises Fail with GLib's words."""
    options = Options()
    index = 0
    while index < len(argv):
        word = argv[index]
        if word == "--":
            break
        if word.startswith("--"):
            index = _long(options, argv, index)
        elif word.startswith("-") and word != "-":
            index = _cluster(options, argv, index)
        if options.help:
            break
        index += 1
    return options


def usage() -> str:
    """The text of --help."""
    rows = ["Usage:", "  conmon [OPTION…] - conmon utility", "", "Help Options:", "  -h, --help", ""]
    rows.append("Application Options:")
    for option in TABLE:
        if not option.hidden:
            short = f"-{option.short}, " if option.short else ""
            rows.append(f"  {short + '--' + option.long:<30} {option.text}")
    return "\n".join(rows) + "\n"


def version() -> str:
    """The text of --version, as podman reads it."""
    return f"conmon version {VERSION}\ncommit: unknown\n"


def _long(options: Options, argv: list[str], index: int) -> int:
    name, equals, value = argv[index][2:].partition("=")
    if name in ("help", "help-all") and not equals:
        options.help = True
        return index
    option = _LONG.get(name)
    if option is None:
        raise _error(f"Unknown option {argv[index]}")
    if option.kind == FLAG:
        setattr(options, option.attribute, True)
    elif equals:
        _store(options, option, value, f"--{name}")
    else:
        index += 1
        _store(options, option, _next(argv, index, f"--{name}"), f"--{name}")
    return index


def _cluster(options: Options, argv: list[str], index: int) -> int:
    taken = index
    for letter in argv[index][1:]:
        if letter in "h?":
            options.help = True
            return taken
        option = _SHORT.get(letter)
        if option is None:
            raise _error(f"Unknown option {argv[index]}")
        if option.kind == FLAG:
            setattr(options, option.attribute, True)
            continue
        if taken > index:
            raise _error(f"Error parsing option -{letter}")
        taken = index + 1
        _store(options, option, _next(argv, taken, f"-{letter}"), f"-{letter}")
    return taken


def _next(argv: list[str], index: int, name: str) -> str:
    if index >= len(argv):
        raise _error(f"Missing argument for {name}")
    return argv[index]


def _store(options: Options, option: Option, value: str, name: str) -> None:
    if option.kind == ARRAY:
        getattr(options, option.attribute).append(value)
    elif option.kind == STRING:
        setattr(options, option.attribute, value)
    else:
        setattr(options, option.attribute, _integer(value, name, _LIMITS[option.kind]))


def _integer(text: str, name: str, limit: int) -> int:
    """A number as strtol(base 0) reads it: decimal, 0x hexadecimal, 0 octal."""
    digits = text.lstrip(" \t\n\v\f\r")
    sign = -1 if digits.startswith("-") else 1
    body = digits[1:] if digits[:1] in ("-", "+") else digits
    base = 16 if body[:2] in ("0x", "0X") else 8 if body[:1] == "0" else 10
    try:
        if not body.isascii() or not body.isalnum():
            raise ValueError(text)
        number = sign * int(body, base)
    except ValueError:
        raise _error(f"Cannot parse integer value “{text}” for {name}") from None
    if not -limit <= number < limit:
        raise _error(f"Integer value “{text}” for {name} out of range")
    return number


def _error(why: str) -> Fail:
    return Fail(f"option parsing failed: {why}", bare=True)
