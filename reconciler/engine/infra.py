"""The infra container's bundle, and what every bundle of its pod has in common."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from reconciler.engine import podgroups
from reconciler.engine.context import Context
from reconciler.engine.images.users import resolve_user
from reconciler.engine.images.view import LayerView, find_command
from reconciler.engine.oci.bundle import Bundle
from reconciler.engine.oci.config import infra_config
from reconciler.engine.oci.prepare import prepare_script
from reconciler.engine.oci.process import PATH, PAUSE
from reconciler.engine.records import ContainerRecord, PodRecord
from reconciler.model.errors import ImageProblem, TryLater
from reconciler.model.observed import PidRef
from reconciler.model.spec import PodSpec, SandboxSpec

PODMANS = ("/pause",)
"""What podman's users say for the command of the infra container that there is anyway."""


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
        volumes=ctx.layout.volumes,
        keep=pod.spec.keep,
    )


def bundle(ctx: Context, pod: PodRecord, container: ContainerRecord) -> tuple[dict[str, Any], str]:
    """The infra container's config.json and prepare script.

    Raises ImageProblem where its image is not here, or says not what to run.
    """
    b, name = bundle_of(ctx, pod, container, None), pod.spec.sandbox.infra_image
    if not name:
        return infra_config(b, ctx.facts), prepare_script(b, None, ctx.facts)
    image = ctx.images.get(container.image_id)
    if image is None:
        raise ImageProblem(f"cannot create the infra container of pod {pod.key}: image {name} is not here")
    user = resolve_user(LayerView(image.layers), image.user)
    return infra_config(b, ctx.facts, image, user), prepare_script(b, ctx.images.overlay_lowers(image), ctx.facts)


@contextmanager
def image_of(ctx: Context, spec: PodSpec) -> Iterator[str]:
    """The id of the image of the pod's infra container, which stays while it is made; "" for our own."""
    name = spec.sandbox.infra_image
    if not name:
        yield ""
        return
    with ctx.images.pinned(name) as image:
        if image is None:
            raise TryLater(f"cannot create the infra container of pod {spec.key}: image {name} went away just now")
        yield image.id


def wrong(ctx: Context, sandbox: SandboxSpec) -> str:
    """Why a pod cannot have the infra container that it is to have; "" where it can, as far as that can be told."""
    name, command = sandbox.infra_image, sandbox.infra_command
    if not name:
        ours = command in ((), PODMANS, PAUSE)
        return "" if ours else f"cannot run {' '.join(command)} as infra container: it needs an image (--infra-image)"
    if not sandbox.host_users:
        return f"cannot use infra image {name}: a pod with users of its own has ours"
    image = ctx.images.get(name)
    argv = command or (*image.entrypoint, *image.cmd) if image else ()
    if image is None:
        return ""
    if not argv:
        return f"cannot run image {name} as infra container: it names no command"
    path = next((item.removeprefix("PATH=") for item in image.env if item.startswith("PATH=")), PATH)
    there = find_command(LayerView(image.layers), argv[0], path, "/") is not None
    return "" if there else f"cannot run {argv[0]} as infra container: it is not in image {name}"
