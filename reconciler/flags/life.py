"""How a container comes, restarts and ends: ``--pull``, ``--restart``, ``--stop-signal``, ``--exit-policy``; and what
runs in it: ``--entrypoint``, ``--user``, ``--workdir``."""

from __future__ import annotations

import re
import signal

from reconciler.flags import amounts
from reconciler.model.errors import InvalidInput
from reconciler.model.spec import PullPolicy, RestartPolicy
from reconciler.model.words import clean_path, did_you_mean

_RESTART = {
    "no": RestartPolicy.NEVER,
    "never": RestartPolicy.NEVER,
    "always": RestartPolicy.ALWAYS,
    "on-failure": RestartPolicy.ON_FAILURE,
    "unless-stopped": RestartPolicy.ALWAYS,
}
_PULL = {
    "always": PullPolicy.ALWAYS,
    "newer": PullPolicy.ALWAYS,
    "missing": PullPolicy.IF_NOT_PRESENT,
    "never": PullPolicy.NEVER,
}
_EXIT = {"continue": False, "stop": True}
_USER = re.compile(r"[^\s:]+(?::[^\s:]+)?")
_REALTIME = re.compile(r"RT(MIN|MAX)(?:([+-])(\d{1,2}))?")
_RTMIN, _RTMAX = 34, 64
"""As containers have them; glibc keeps the two below for itself."""


def restart(text: str | None) -> tuple[RestartPolicy | None, int]:
    """The policy, and how many failures in a row are enough (0: none); None for what was not said. Raises
    InvalidInput."""
    if text is None:
        return None, 0
    word, colon, retries = text.partition(":")
    if word not in _RESTART:
        raise _no_such(f"--restart {text!r}", word, [*_RESTART])
    if colon and word != "on-failure":
        raise InvalidInput(f"cannot use --restart {text!r}: only on-failure is given up after some times")
    return _RESTART[word], amounts.seconds(retries, f"--restart {text!r}:") if colon else 0


def pull(text: str | None) -> PullPolicy:
    """When an image is asked for at its registry. Raises InvalidInput."""
    word = text or "missing"
    if word not in _PULL:
        raise _no_such(f"--pull {text!r}", word, [*_PULL])
    return _PULL[word]


def stops_when_done(text: str | None) -> bool:
    """``--exit-policy``: whether the infra container ends with the last member. Raises InvalidInput."""
    word = text or "continue"
    if word not in _EXIT:
        raise _no_such(f"--exit-policy {text!r}", word, [*_EXIT])
    return _EXIT[word]


def stop_signal(text: str | None) -> str:
    """A signal's whole name (SIGTERM, SIGRTMIN+3); "" for the image's. Raises InvalidInput."""
    if not text:
        return ""
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 4 else _number(text.upper())
    if not 1 <= number <= _RTMAX:
        known = [s.name for s in signal.Signals]
        raise InvalidInput(f"cannot use --stop-signal {text!r}: there is no such signal{did_you_mean(text, known)}")
    return _name(number)


def _number(text: str) -> int:
    """0 for no signal."""
    short = text.removeprefix("SIG")
    if match := _REALTIME.fullmatch(short):
        base = _RTMIN if match[1] == "MIN" else _RTMAX
        number = base + int(f"{match[2]}{match[3]}") if match[2] else base
        return number if _RTMIN <= number <= _RTMAX else 0
    found = signal.Signals.__members__.get(f"SIG{short}")
    return 0 if found is None else int(found)


def _name(number: int) -> str:
    if _RTMIN <= number <= _RTMAX:
        return "SIGRTMIN" if number == _RTMIN else f"SIGRTMIN+{number - _RTMIN}"
    try:
        return signal.Signals(number).name
    except ValueError:
        raise InvalidInput(f"cannot use --stop-signal {number}: the C library keeps that for itself") from None


def command(text: str | None, option: str = "--entrypoint") -> tuple[str, ...] | None:
    """A program, or a JSON array of it and its arguments; None for the image's, () for none. Raises InvalidInput."""
    if not text:
        return None if text is None else ()
    if not text.lstrip().startswith("["):
        return (text,)
    import json

    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return (text,)  # podman, too: a program may be called so
    if not all(isinstance(word, str) for word in found):
        hint = 'write ["/bin/sh", "-c"]'
        raise InvalidInput(f"cannot use {option} {text!r}: all of its words must be strings", hint=hint)
    return tuple(w for w in found) if found != [""] else ()


def user(text: str | None) -> str:
    """``NAME|UID[:GROUP|GID]``; "" for the image's. Raises InvalidInput."""
    if text and not _USER.fullmatch(text):
        raise InvalidInput(f"cannot use --user {text!r}: it is not a user", hint="write USER[:GROUP], names or numbers")
    return text or ""


def working_directory(text: str | None) -> str:
    """An absolute path; "" for the image's. Raises InvalidInput."""
    if text and not text.startswith("/"):
        raise InvalidInput(f"cannot use --workdir {text!r}: it is not an absolute path in the container")
    return clean_path(text) if text else ""


def _no_such(what: str, word: str, known: list[str]) -> InvalidInput:
    near = did_you_mean(word, known)
    return InvalidInput(f"cannot use {what}: there is no such policy{near}", hint=f"use one of {', '.join(known)}")
