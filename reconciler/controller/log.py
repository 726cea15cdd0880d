"""The controller's log: constant event names with key and value, readable on a terminal, logfmt elsewhere.

structlog costs 0.1 s to import, so it is imported when a log is opened, which only ``watch`` does.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any, Protocol, TextIO, cast

from reconciler.model import actions as a
from reconciler.model.actions import Action
from reconciler.model.harmless import harmless

_EVENTS: dict[type[Action], str] = {
    a.PullImage: "pulling image",
    a.CreateSandbox: "pod created",
    a.RenewSandbox: "pod created again",
    a.SetUpNetwork: "network set up",
    a.UpdateRecord: "record updated",
    a.CreateContainer: "container created",
    a.RenewContainer: "container created again",
    a.StartContainer: "container started",
    a.StopContainer: "container stopping",
    a.KillContainer: "container killed",
    a.PauseContainer: "container paused",
    a.ResumeContainer: "container resumed",
    a.UpdateFiles: "files updated",
    a.UpdateNames: "names of services updated",
    a.UpdateResources: "resources updated",
    a.UpdatePodResources: "pod's cgroup updated",
    a.TermContainer: "container told to stop after its hook",
    a.RunHook: "hook begun again",
    a.RemoveContainer: "container removed",
    a.RemoveSandbox: "pod removed",
}


class Log(Protocol):
    def info(self, event: str, **values: Any) -> Any: ...

    def warning(self, event: str, **values: Any) -> Any: ...

    def error(self, event: str, **values: Any) -> Any: ...


class Silent:
    """For commands that report on their own."""

    def info(self, event: str, **values: Any) -> None: ...

    def warning(self, event: str, **values: Any) -> None: ...

    def error(self, event: str, **values: Any) -> None: ...


def told(action: Action) -> tuple[str, dict[str, str]]:
    """A step that was carried out, as an event and its values."""
    values = {"why": action.reason.text}
    for name, attribute in (("image", "image"), ("container", "name"), ("id", "container")):
        value = getattr(action, attribute, None)
        if isinstance(value, str):
            values[name] = value[:12] if name == "id" else value
    return _EVENTS[type(action)], values


def open_log(stream: TextIO | None = None) -> Log:
    """A log to ``stream`` (default: stderr)."""
    import structlog

    out = stream or sys.stderr
    renderer: Any
    journal = _is_journal(out)
    if out.isatty():
        plain = structlog.dev.plain_traceback
        renderer = structlog.dev.ConsoleRenderer(pad_event_to=20, colors=_wants_colour(), exception_formatter=plain)
    else:
        renderer = structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], drop_missing=True)
    stamp = structlog.processors.TimeStamper(fmt="%H:%M:%S" if out.isatty() else "iso", utc=not out.isatty())
    processors: list[Any] = [
        structlog.processors.add_log_level,
        stamp,
        structlog.processors.format_exc_info,
        renderer,
    ]
    if out.isatty():
        processors.insert(3, _made_harmless)
    elif journal:
        processors[1] = _take_level  # journald has its own clock, and a level from the line's beginning
        processors.append(_with_level)
    made = structlog.wrap_logger(structlog.PrintLogger(out), processors=processors)
    return cast("Log", made)


def _made_harmless(_log: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """What values say comes from manifests, containers and registries."""
    return {name: _harmless_lines(value) if isinstance(value, str) else value for name, value in event.items()}


def _harmless_lines(text: str) -> str:
    return "\n".join(map(harmless, text.split("\n")))


_LEVELS = {"info": 6, "warning": 4, "error": 3}
"""As syslog numbers them; see sd-daemon(3)."""

_this_line = threading.local()


def _take_level(_log: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """For ``_with_level``, which gets the finished line, in the same thread."""
    _this_line.level = _LEVELS.get(str(event.pop("level", "")), 6)
    return event


def _with_level(_log: Any, _method: str, line: str) -> str:
    return f"<{_this_line.level}>{line}"


def _is_journal(out: TextIO) -> bool:
    """Whether the stream leads to journald, as JOURNAL_STREAM says of one (systemd.exec(5))."""
    try:
        status = os.fstat(out.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _wants_colour() -> bool:
    """Whether a terminal may be given colours (no-color.org)."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
