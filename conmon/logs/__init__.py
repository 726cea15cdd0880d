"""Where a container's output goes: the drivers named by --log-path."""

from __future__ import annotations

from conmon import say
from conmon.logs.driver import Driver
from conmon.logs.k8sfile import K8sFile, Limits
from conmon.options import Options
from conmon.say import Fail

PASSTHROUGH = "passthrough"
"""The container's stdio is ours: there is nothing to read, and no log. ``none``: what is read goes nowhere."""
_JOURNALD = "journald"
_WITHOUT_PATH = ("off", "null", "none", _JOURNALD, PASSTHROUGH)


def drivers(options: Options) -> list[Driver]:
    """Open the logs that --log-path names. Raises Fail, in the protocol's words and order."""
    if not options.log_path:
        raise Fail("Log driver not provided. Use --log-path")
    named = [split(path) for path in options.log_path]
    opened: list[Driver] = [_k8s_file(path, options) for name, path in named if name == "k8s-file"]
    journald = any(name == _JOURNALD for name, _ in named)
    if opened and not journald:
        _refuse_journald_options(options)
    if journald and len(options.cid or "") <= 12:
        raise Fail("Container ID must be longer than 12 characters")
    _check_labels(options.log_label)
    if options.no_container_partial_message and not journald:
        say.warn("--no-container-partial-message has no effect without journald log driver")
    return [*opened, _journal(options)] if journald else opened


def passes_through(options: Options) -> bool:
    """Whether --log-path says that the container gets our own stdio."""
    return any(split(path)[0] == PASSTHROUGH for path in options.log_path)


def _journal(options: Options) -> Driver:
    from conmon.logs.journald import Journald

    mark = not options.no_container_partial_message
    return Journald(options.cid or "", options.name, options.log_tag, options.log_label, mark_partial=mark)


def _k8s_file(path: str, options: Options) -> K8sFile:
    keep = options.log_max_files if options.log_rotate else 0
    size, total, dated = options.log_size_max, options.log_global_size_max, options.log_dated
    limits = Limits(size, total, keep, options.log_allowlist_dir, dated=dated)
    return K8sFile(path, limits, sync=not options.no_sync_log)


def split(text: str) -> tuple[str, str]:
    """``DRIVER:PATH``, ``DRIVER``, ``:PATH`` or ``PATH`` as (driver, path). Raises Fail.

    As strtok does it: colons at the front are skipped, and a second colon cuts the path.
    """
    words = [word for word in text.split(":") if word]
    if not words:
        raise Fail("log-path must not be empty")
    if text.startswith(":"):
        return "k8s-file", words[0]
    driver = words[0]
    if driver == "k8s-file":
        if len(words) < 2:
            raise Fail("k8s-file requires a filename")
        return "k8s-file", words[1]
    if driver in _WITHOUT_PATH:
        return driver, ""
    if len(words) > 1:
        raise Fail(f"No such log driver {driver}")
    return "k8s-file", driver


def _refuse_journald_options(options: Options) -> None:
    if options.log_tag is not None:
        raise Fail("k8s-file doesn't support --log-tag")
    if options.log_label:
        raise Fail("k8s-file doesn't support --log-label")


def _check_labels(labels: list[str]) -> None:
    for label in labels:
        key, _, _ = label.partition("=")
        if label.count("=") != 1 or not key:
            raise Fail("Container labels must be in format LABEL=VALUE")
        if not all(letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_" for letter in key):
            raise Fail("Container label names must contain only uppercase letters, numbers and underscore")
