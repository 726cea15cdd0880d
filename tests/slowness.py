"""How much slower than usual this machine is: RECONCILER_TEST_SLOWNESS (1 unless set; an emulated processor: 10).

Every deadline of a test is multiplied by it: those of ``seconds``, pytest's own, and those of programs that tests run
(``subprocess``). What a test measures, it must compare with something that it measured in the same run.
"""

from __future__ import annotations

import functools
import inspect
import os
import subprocess
import threading
from typing import Any

FACTOR = float(os.environ.get("RECONCILER_TEST_SLOWNESS", "1"))


def seconds(usual: float) -> float:
    """A deadline that is ``usual`` on a machine of our days."""
    return usual * FACTOR


def slow_down_subprocess() -> None:
    """Multiply the time limits of all programs that this process runs."""
    for name in ("wait", "communicate"):
        setattr(subprocess.Popen, name, _patient(getattr(subprocess.Popen, name)))


def _patient(method: Any) -> Any:
    """``timeout`` is the last parameter of both; they call each other, and only the outer call is multiplied."""
    names = list(inspect.signature(method).parameters)

    @functools.wraps(method)
    def call(*arguments: Any, **options: Any) -> Any:
        given = dict(zip(names, arguments, strict=False)) | options
        if getattr(_calls, "deep", False) or given.get("timeout") is None:
            return method(**given)
        _calls.deep = True
        try:
            return method(**given | {"timeout": seconds(given["timeout"])})
        finally:
            _calls.deep = False

    return call


_calls = threading.local()
