"""Where a container's output goes: the drivers named by --log-path."""

from __future__ import annotations

from conmon import say
from conmon.logs.k8sfile import K8sFile, Limits
from conmon.options import Options
from conmon.say import Fail

Driver = K8sFile
"""Something with ``write(stream, data)``, ``reopen()``, ``sync()`` and ``close()``. ``none`` is the absence of one."""

_NOTHING = ("off", "null", "none")
_UNBUILT = ("journald", "passthrough")


def drivers(options: Options) -> list[Driver]:
    """Open the logs that --log-path names. Raises Fail, in the protocol's words and order."""
    if not options.log_path:
        raise Fail("Log driver not provided. Use --log-path")
    named = [split(path) for path in options.log_path]
    opened = [_k8s_file(path, options) for name, path in named if name == "k8s-file"]
    journald = any(name == "journald" for name, _ in named)
    if opened and not journald:
        _refuse_journald_options(options)
    if journald and len(options.cid or "") <= 12:
        raise Fail("Container ID must be longer than 12 characters")
    _check_labels(options.log_label)
    if options.no_container_partial_message and not journald:
        say.warn("--no-container-partial-message has no effect without journald log driver")
    for name, _ in named:
        if name in _UNBUILT:
            raise Fail(f"log driver {name} is not implemented yet")
    return opened


def _k8s_file(path: str, options: Options) -> K8sFile:
    keep = options.log_max_files if options.log_rotate else 0
    limits = Limits(options.log_size_max, options.log_global_size_max, keep, options.log_allowlist_dir)
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
    if driver in _NOTHING or driver in _UNBUILT:
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
