"""A machine and a bundle for tests that touch neither."""

from __future__ import annotations

from pathlib import Path

from reconciler.engine.oci.bundle import Bundle
from reconciler.engine.oci.capabilities import ALL
from reconciler.engine.oci.host import CgroupMode, HostCapabilities
from reconciler.model.key import ContainerId, Key, PodId
from reconciler.model.observed import PidRef
from reconciler.model.spec import SandboxSpec

GIB = 1 << 30

FACTS = HostCapabilities(
    runtime="crun",
    cgroups=CgroupMode.V2,
    cache=Path("/nowhere"),
    infra_rootfs=Path("/cache/infra"),
    capabilities=ALL - {"CAP_SYS_RESOURCE"},
    memory=8 * GIB,
    hostname="machine",
)
DEFAULT = SandboxSpec()
INFRA = PidRef(42, 1)


def bundle(infra: PidRef | None = INFRA, sandbox: SandboxSpec = DEFAULT) -> Bundle:
    return Bundle(
        container=ContainerId("c" * 64),
        pod=PodId("d" * 64),
        key=Key("default", "web"),
        directory=Path("/state/containers/c"),
        pod_directory=Path("/state/pods/d"),
        sandbox=sandbox,
        cgroup_parent="/reconciler-abcd/pod-d",
        infra=infra,
    )
