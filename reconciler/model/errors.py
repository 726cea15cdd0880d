"""The errors of this project: two families, by what a caller can do about them.

    ReconcilerError
    ├── TryLater          the world may change by itself: the worker comes back, with backoff
    │   ├── RuntimeFailed       the OCI runtime refused or died
    │   ├── Busy                another process holds what we need
    │   └── PortTaken           a host port is held by somebody
    └── Permanent         nothing changes until the input does: the worker waits for an edit
        ├── InvalidInput        a file, field or option is wrong (says where)
        ├── ImageProblem        an image cannot be had, or cannot be used
        ├── NotFound            a name that nothing answers to (lists what is near)
        ├── NotOwned            it belongs to another source
        ├── Overtaken           a later command wants the contrary
        └── HostUnfit           this machine lacks something we need

Messages read "cannot <verb> <thing>: <cause>", and are one line.
"""

from __future__ import annotations

CONFIG_ERROR = "CreateContainerConfigError"
"""What the kubelet calls it where what a container is to be made of is wrong or missing."""


class ReconcilerError(Exception):
    """``hint`` says what to do about it, in one sentence. ``reason``: Kubernetes' word for it, where that says more
    than which step failed."""

    def __init__(self, message: str, *, hint: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.reason = reason


class TryLater(ReconcilerError):
    """Worth trying again without any change of input. ``after`` is a suggestion in seconds."""

    def __init__(self, message: str, *, hint: str = "", reason: str = "", after: float | None = None) -> None:
        super().__init__(message, hint=hint, reason=reason)
        self.after = after


class RuntimeFailed(TryLater):
    """The OCI runtime (or the monitor) could not do what was asked; the message holds its own words."""


class Busy(TryLater):
    """Another process holds a lock; the message says which process."""


class PortTaken(TryLater):
    """A host port cannot be bound; the message says who holds it: ``pid``, or 0 where that cannot be known."""

    def __init__(self, message: str, *, pid: int = 0) -> None:
        super().__init__(message)
        self.pid = pid


class Permanent(ReconcilerError):
    """Trying again without a change of input gives the same answer."""


class InvalidInput(Permanent):
    """A file, a field or an option is wrong."""


class ImageProblem(Permanent):
    """An image does not exist, is refused, or is damaged."""


class NotFound(Permanent):
    """No object answers to the name."""


class NotOwned(Permanent):
    """The object belongs to another source."""


class Overtaken(Permanent):
    """A command that was started later wants the contrary of what we do."""


class HostUnfit(Permanent):
    """The machine lacks a kernel feature, a program or a right."""
