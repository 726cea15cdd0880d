"""What conmon says about itself: to stderr while there is one, to syslog when asked."""

from __future__ import annotations

import _socket
import os
import time

SYSLOG = "/dev/log"
_DAEMON = 3 << 3
"""Facility (syslog(3))."""
LEVELS = {"error": 1, "fatal": 1, "panic": 1, "warn": 2, "warning": 2, "info": 3, "debug": 4, "trace": 5}

_settings: dict[str, object] = {"level": 2, "syslog": False, "cid": ""}


class Fail(Exception):
    """Ends the program with status 1; the text is the message. ``bare`` drops the level from the prefix."""

    def __init__(self, text: str, *, bare: bool = False) -> None:
        super().__init__(text)
        self.text = text
        self.bare = bare


def configure(level: str | None, cid: str, *, syslog: bool) -> None:
    """Set the level by its name (case does not matter; None is warning). Raises Fail for an unknown one."""
    number = LEVELS.get((level or "warning").lower())
    if number is None:
        raise Fail(f"No such log level {level}")
    _settings["level"] = number
    _settings["syslog"] = syslog
    _settings["cid"] = cid


def failure(fail: Fail) -> None:
    """Report the error that ends the program."""
    _write(f"conmon: {fail.text}\n" if fail.bare else f"[conmon:e]: {fail.text}\n")
    _syslog(3, fail.text)


def warn(text: str) -> None:
    """Report what is wrong but does not end the program."""
    level = _settings["level"]
    if isinstance(level, int) and level >= 2:
        _write(f"[conmon:w]: {text}\n")
        _syslog(4, text)


def _write(text: str) -> None:
    try:
        os.write(2, text.encode(errors="surrogateescape"))
    except OSError:
        pass  # nobody listens: there is no better place to say so


def _syslog(priority: int, text: str) -> None:
    """As syslog(3), which waits for ever for a reader that is stuck: our container would have no monitor. So what
    cannot be said at once is lost."""
    if not _settings["syslog"]:
        return
    when = time.strftime("%b %e %H:%M:%S")
    said = f"<{_DAEMON | priority}>{when} conmon[{os.getpid()}]: conmon {str(_settings['cid'])[:20]}: {text}"
    try:
        mailbox = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC)
        try:
            mailbox.sendto(said.encode(errors="surrogateescape"), SYSLOG)
        finally:
            mailbox.close()
    except OSError:
        pass  # nobody listens, or does not keep up
