"""`apply --pull`: the images of a pod as their registries have them now, and containers that run older ones marked.

The mark is a fact of the container, written before anything is done about it, so whoever syncs the pod next (a
controller, or the command itself) replaces it as if its spec had changed: the new one is made before the old one goes.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from reconciler.engine import observe, recorded
from reconciler.engine.context import Context
from reconciler.model.errors import ReconcilerError
from reconciler.model.key import Key
from reconciler.model.observed import Container, ContainerState
from reconciler.model.spec import ContainerSpec, PodSpec, PullPolicy

AT_ONCE = 3


def pull(ctx: Context, key: Key, spec: PodSpec, tell: Callable[[str], None]) -> tuple[str, ...]:
    """Have every image of a pod, those that its volumes show among them; returns what could not be had, in
    sentences."""
    images = ((image, policy, c) for c in spec.everyone for image, policy in c.images)
    wanted = {image: c for image, policy, c in images if policy is not PullPolicy.NEVER}
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        failures = tuple(pool.map(lambda image: _pull(ctx, key, image, wanted[image], tell), wanted))
    return tuple(failure for failure in failures if failure)


def _pull(ctx: Context, key: Key, image: str, spec: ContainerSpec, tell: Callable[[str], None]) -> str:
    try:
        ctx.images.renew(image, progress=tell, logins=ctx.logins(key, spec.pull_secrets)[0])
    except ReconcilerError as error:
        return error.message
    return ""


def mark(ctx: Context, key: Key, spec: PodSpec) -> None:
    """Note on each running container what its image's name means now, or that of an image which a volume of it shows,
    where that is another image. The caller holds the key's lock."""
    for container in observe.look(ctx, key, held=True).containers:
        wanted = spec.container(container.name)
        if container.state is ContainerState.RUNNING and wanted and (newer := _newer(ctx, container, wanted)):
            recorded.note(ctx, container.id, newer=newer)


def _newer(ctx: Context, container: Container, wanted: ContainerSpec) -> str:
    """What is to take an image's place, as facts have it; "" for nothing."""
    image = ctx.images.get(wanted.image) if wanted.image == container.spec.image else None
    if image and image.id != container.image_id:
        return image.id
    record = recorded.record_of(ctx, container.id)
    shows = {reference for reference, _ in wanted.images[1:]}
    if record is None or not record.shown or shows != {reference for reference, _ in container.spec.images[1:]}:
        return ""
    now = {reference: found.id for reference in sorted(shows) if (found := ctx.images.get(reference))}
    return next((f"{reference} {one}" for reference, one in now.items() if one not in record.shown), "")
