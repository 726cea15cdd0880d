"""The infra container's bundle, and what every bundle of its pod has in common."""

from __future__ import annotations

from typing import Any

from reconciler.engine import podgroups
from reconciler.engine.context import Context
from reconciler.engine.oci.bundle import Bundle
from reconciler.engine.oci.config import infra_config
from reconciler.engine.oci.prepare import prepare_script
from reconciler.engine.records import ContainerRecord, PodRecord
from reconciler.model.observed import PidRef


def bundle_of(ctx: Context, pod: PodRecord, container: ContainerRecord, infra: PidRef | None) -> Bundle:
    """Who a container is to the OCI layer. ``infra`` is the pod's infra process; None for the infra container."""
    return Bundle(
        container=container.id,
        pod=pod.id,
        key=pod.key,
        directory=ctx.layout.container(container.id),
        pod_directory=ctx.layout.pod(pod.id),
        sandbox=pod.spec.sandbox,
        cgroup_parent=podgroups.of_record(ctx, pod),
        infra=infra,
        domain=ctx.config.dns.domain,
        ids=pod.ids,
        closed=ctx.layout.state,
    )


def bundle(ctx: Context, pod: PodRecord, container: ContainerRecord) -> tuple[dict[str, Any], str]:
    """The infra container's config.json and prepare script."""
    b = bundle_of(ctx, pod, container, None)
    return infra_config(b, ctx.facts), prepare_script(b, None, ctx.facts)
