"""The controller's log: constant event names with key and value, readable on a terminal, logfmt elsewhere.

structlog costs 0.1 s to import, so it is imported when a log is opened, which only ``watch`` does.
"""

from __future__ import annotations

import sys
from typing import Any, Protocol, TextIO, cast


class Log(Protocol):
    def info(self, event: str, **values: Any) -> Any: ...

    def warning(self, event: str, **values: Any) -> Any: ...

    def error(self, event: str, **values: Any) -> Any: ...


class Silent:
    """For commands that report on their own."""

    def info(self, event: str, **values: Any) -> None: ...

    def warning(self, event: str, **values: Any) -> None: ...

    def error(self, event: str, **values: Any) -> None: ...


def open_log(stream: TextIO | None = None) -> Log:
    """A log to ``stream`` (default: stderr)."""
    import structlog

    out = stream or sys.stderr
    renderer: Any
    if out.isatty():
        renderer = structlog.dev.ConsoleRenderer(pad_event_to=24)
    else:
        renderer = structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], drop_missing=True)
    processors: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        renderer,
    ]
    if out.isatty():
        del processors[2]
    made = structlog.wrap_logger(structlog.PrintLogger(out), processors=processors)
    return cast("Log", made)
