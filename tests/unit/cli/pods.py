"""Observed pods for tests of what is shown of them."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from reconciler.model.key import ContainerId, Key, PodId, SourceId
from reconciler.model.observed import Container, ContainerState, Exit, Observed, PidRef, Sandbox
from reconciler.model.spec import ContainerSpec, PodSpec, PortBinding, SandboxSpec

WALL = 1_700_000_000.0


def container(
    pod: str, name: str, attempt: int = 0, *, state: ContainerState = ContainerState.RUNNING, id_: str = ""
) -> Container:
    identity = id_ or hashlib.sha256(f"{pod}/{name}/{attempt}".encode()).hexdigest()
    ended = Exit(3, 1.0, WALL - 60, WALL - 120, 60.0) if state is ContainerState.EXITED else None
    return Container(
        id=ContainerId(identity),
        name=name,
        attempt=attempt,
        spec=ContainerSpec(name, "localhost/busybox:1", command=("sleep", "1000")),
        state=state,
        pid=PidRef(42, 7) if state is ContainerState.RUNNING else None,
        exit=ended,
        created_wall=WALL - 300,
        started_wall=WALL - 300,
        log_path=f"/logs/{namespace_of(pod)}_{pod}_uid/{name}/{attempt}.log",
    )


def namespace_of(pod: str) -> str:
    return "other" if pod.startswith("other-") else "default"


def pod(name: str, *containers: Container, ports: tuple[PortBinding, ...] = ()) -> Observed:
    key = Key(namespace_of(name), name.removeprefix("other-"))
    specs = {c.name: c.spec for c in containers}
    spec = PodSpec(key, SandboxSpec(hostname=name, ports=ports), tuple(specs.values()))
    infra = replace(container(name, "infra"), spec=ContainerSpec("infra", ""))
    sandbox = Sandbox(PodId("ab" * 32), "uid", spec, SourceId("dir:/etc/pods"), infra, networked=True, ip="10.0.0.2")
    return Observed(key, sandbox, containers)
