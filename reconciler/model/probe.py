"""What asks whether a container is well, and what its hooks do: handlers, and the probes that repeat them.

The handlers are msgspec's own tagged structs, since records hold them and msgspec tells no two dataclasses apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from msgspec import Struct

NameValues = tuple[tuple[str, str], ...]
"""Pairs in the order in which they were written; a name may come twice."""


class ExecAction(Struct, frozen=True, tag="exec"):
    """A command in the container, without a shell: well when it exits with 0."""

    command: tuple[str, ...]

    def __str__(self) -> str:
        return f"exec [{' '.join(self.command)}]"


class HttpAction(Struct, frozen=True, tag="httpGet"):
    """GET from this machine: well when the answer is 200 to 399. ``host`` "" is the pod's address; ``path`` may have a
    query."""

    port: int
    path: str = "/"
    host: str = ""
    scheme: str = "HTTP"
    headers: NameValues = ()

    def __str__(self) -> str:
        return f"http-get {self.scheme.lower()}://{self.host}:{self.port}{self.path}"


class TcpAction(Struct, frozen=True, tag="tcpSocket"):
    """A connection from this machine: well when it comes about. ``host`` "" is the pod's address."""

    port: int
    host: str = ""

    def __str__(self) -> str:
        return f"tcp-socket {self.host}:{self.port}"


class GrpcAction(Struct, frozen=True, tag="grpc"):
    """grpc.health.v1.Health/Check, without TLS: well when the service says SERVING."""

    port: int
    service: str = ""

    def __str__(self) -> str:
        return f"grpc <pod>:{self.port} {self.service}".rstrip()


class SleepAction(Struct, frozen=True, tag="sleep"):
    """Nothing, for ``seconds``: only hooks have it."""

    seconds: int

    def __str__(self) -> str:
        return f"sleep {self.seconds}s"


Handler = ExecAction | HttpAction | TcpAction | GrpcAction | SleepAction


class Asked(StrEnum):
    """What a handler is run for, as the User-Agent of its requests says it."""

    PROBE = "kube-probe"
    LIFECYCLE = "kube-lifecycle"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of running a handler once. ``output``: what the container said, or why it did not pass, for people.

    ``warning``: it passed, and ``output`` says what is odd about that. ``errored``: it could not be run at all, which
    says nothing of the container. ``answered``: there was an HTTP answer, whatever it said (a hook asks for no more:
    pkg/kubelet/lifecycle/handlers.go)."""

    passed: bool
    output: str = ""
    warning: bool = False
    errored: bool = False
    answered: bool = False


class ProbeKind(StrEnum):
    """LIVENESS fails: the container is ended, and restarted as its policy says. READINESS: it is not ready. STARTUP
    holds the others back until it has passed once, and is then over; when it fails, that is as with liveness."""

    LIVENESS = "liveness"
    READINESS = "readiness"
    STARTUP = "startup"


@dataclass(frozen=True, slots=True)
class Probe:
    """A handler that is run every ``period`` seconds, first ``initial_delay`` after the container's start, each time
    for at most ``timeout``. ``success`` and ``failure``: how many results of a kind in a row count. ``grace``: seconds
    that the container has to stop when it fails, instead of its own. Defaults: core/v1/defaults.go (SetDefaults_Probe).
    """

    handler: Handler
    initial_delay: int = 0
    timeout: int = 1
    period: int = 10
    success: int = 1
    failure: int = 3
    grace: int | None = None

    def __str__(self) -> str:
        """As ``kubectl describe`` has it (DescribeProbe), and the grace where it has one of its own."""
        grace = "" if self.grace is None else f" grace={self.grace}s"
        return (
            f"{self.handler} delay={self.initial_delay}s timeout={self.timeout}s period={self.period}s"
            f" #success={self.success} #failure={self.failure}{grace}"
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from the probes of a container while it runs. ``unhealthy``: the kind of the probe for which it is
    to be ended, or ""."""

    started_up: bool = True
    is_ready: bool = True
    unhealthy: str = ""
