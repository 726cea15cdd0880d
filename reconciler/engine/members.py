"""A member of a pod, up to its start: image, volumes, bundle; then ``containers.launch``."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from reconciler.engine import apart, cgroups, containers, envfile, kept, named, projected, sandboxes, security
from reconciler.engine.context import Context
from reconciler.engine.effects import effect
from reconciler.engine.images.image import Image
from reconciler.engine.images.users import User, resolve_user
from reconciler.engine.images.view import LayerView
from reconciler.engine.infra import bundle_of
from reconciler.engine.oci.config import member_config
from reconciler.engine.oci.prepare import prepare_script
from reconciler.engine.oci.process import member_score
from reconciler.engine.recorded import require_pod
from reconciler.engine.records import ContainerRecord, PodRecord
from reconciler.engine.store import events
from reconciler.model.actions import CreateContainer
from reconciler.model.claims import claim_of
from reconciler.model.errors import InvalidInput, TryLater
from reconciler.model.events import EventType
from reconciler.model.key import ContainerId
from reconciler.model.objects import CLAIM
from reconciler.model.observed import PidRef
from reconciler.model.qos import pod_qos, scored_as
from reconciler.model.spec import ContainerSpec, Pairs, PodSpec, Volume

LOGS_KEPT = 2
"""Logs of a member that are kept: the current attempt's and the one before (kubelet: one dead container each)."""


def create(ctx: Context, action: CreateContainer) -> ContainerId:
    """Create the next attempt at a member; its process waits to be started.

    Raises TryLater when its image or the pod's infra container went away, RuntimeFailed.
    """
    cgroups.expect_moves()
    pod = require_pod(ctx, action.pod)
    _, infra = sandboxes.living_infra(ctx, action.pod)
    spec = spec_of(action.spec, action.name)
    projected.prepare(ctx, replace(pod, spec=action.spec), spec, infra)
    with ctx.images.pinned(spec.image) as image:
        if image is None:
            raise TryLater(f"cannot create container {spec.name}: image {spec.image} went away just now")
        record = apart.settled(ctx, pod, _record(ctx, pod, spec, action, image))
        prepare_log(Path(record.log_path), action.attempt)
        config, prepare = bundle(ctx, pod, record, image, infra, action.spec)
        containers.launch(ctx, record, config, prepare, turn=action.turn)
    return record.id


def spec_of(pod: PodSpec, name: str) -> ContainerSpec:
    """Raises InvalidInput where the pod has no such member."""
    spec = pod.container(name)
    if spec is None:
        raise InvalidInput(f"cannot create container {name}: pod {pod.key} has no such member")
    return spec


def bundle(
    ctx: Context, pod: PodRecord, record: ContainerRecord, image: Image, infra: PidRef, whole: PodSpec
) -> tuple[dict[str, Any], str]:
    """A container's config.json and prepare script; and the named volumes that it mounts are made. ``whole``: the pod
    that it is made for."""
    read = partial(envfile.tell, ctx, replace(pod, spec=whole), infra)
    b, spec = bundle_of(ctx, pod, record, infra), kept.with_environment(ctx, pod, record.spec, read)
    user = user_of(spec, image)
    named.prepare(ctx, spec, image, user, partial(_claim_of, ctx, pod))
    facts, lowered = security.limited(ctx.facts, spec)
    for limit in lowered:
        said = f"Container {spec.name}: its limit {limit}"
        events.emit(ctx.store, ctx.clock, str(pod.key), EventType.WARNING, "UlimitLowered", said)
    qos = pod_qos(whole)
    config = member_config(b, spec, image, user, facts, qos)
    config["process"]["oomScoreAdj"] = member_score(scored_as(whole, spec), qos, facts, keep=whole.keep)
    layers = {one: ctx.images.overlay_lowers(volume)[1] for one, volume in shown(ctx, spec).items()}
    return config, prepare_script(b, ctx.images.overlay_lowers(image), ctx.facts, spec, layers)


def _claim_of(ctx: Context, pod: PodRecord, volume: Volume) -> Pairs | None:
    found = ctx.objects_for(pod.key, pod.owner)(CLAIM, claim_of(pod.key.namespace, volume.claim))
    return None if found is None else tuple((name, said.decode()) for name, said in found.data)


def shown(ctx: Context, spec: ContainerSpec) -> dict[str, Image]:
    """The images that a member's volumes show, by reference. Raises TryLater where one went away."""
    found = {reference: ctx.images.get(reference) for reference, _ in spec.images[1:]}
    for reference, image in found.items():
        if image is None:
            raise TryLater(f"cannot create container {spec.name}: image {reference} went away just now")
    return {reference: image for reference, image in found.items() if image is not None}


def stop_signal(spec: ContainerSpec, image: Image) -> str:
    return spec.stop_signal or image.stop_signal or "SIGTERM"


def user_of(spec: ContainerSpec, image: Image) -> User:
    """The spec's own user or runAsUser replaces the image's user and group; runAsGroup replaces the group (Kubernetes:
    SecurityContext). Raises ImageProblem when the image does not know it."""
    security = spec.security
    wanted = spec.user or image.user if security.run_as_user is None else str(security.run_as_user)
    user = resolve_user(LayerView(image.layers), wanted)
    if security.run_as_group is not None:
        user = user.with_group(security.run_as_group)
    return user


def _record(
    ctx: Context, pod: PodRecord, spec: ContainerSpec, action: CreateContainer, image: Image
) -> ContainerRecord:
    return ContainerRecord(
        id=ContainerId(sandboxes.new_id()),
        pod=pod.id,
        key=pod.key,
        name=spec.name,
        attempt=action.attempt,
        spec=spec,
        image_id=image.id,
        stop_signal=stop_signal(spec, image),
        restarts=action.restarts,
        crashes=action.crashes,
        last=action.last,
        log_path=str(ctx.layout.log(pod.key, pod.uid, spec.name, action.attempt)),
        created_wall=ctx.clock.wall(),
        life=int(action.spec.keep),
        shown=tuple(sorted({one.id for one in shown(ctx, spec).values()})),
    )


@effect("log.prepare")
def prepare_log(log: Path, attempt: int) -> None:
    """Make the directory, and drop the logs that nobody can ask for any more."""
    try:
        log.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        for old in log.parent.glob("*.log*"):
            number = old.name.partition(".")[0]
            if number.isdigit() and int(number) <= attempt - LOGS_KEPT:
                old.unlink(missing_ok=True)
    except OSError as e:
        raise TryLater(f"cannot write {log.parent}: {e.strerror}") from e
