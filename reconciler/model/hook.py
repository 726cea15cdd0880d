"""The hooks of a container: what is done in it right after its start, and before it is told to stop."""

from __future__ import annotations

from enum import StrEnum


class Hook(StrEnum):
    """As manifests call them."""

    POST_START = "postStart"
    PRE_STOP = "preStop"


class HookState(StrEnum):
    """How far a hook is that was begun, or is to be.

    DUE: nobody of this process is at it, be it that it was not begun or that whoever began it was killed. It is run
    once more then: at least once, as Kubernetes promises.
    """

    DUE = "due"
    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"

    @property
    def is_over(self) -> bool:
        return self in (HookState.PASSED, HookState.FAILED)
