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
from reconciler.model.observed import ContainerState
from reconciler.model.spec import ContainerSpec, PodSpec, PullPolicy

AT_ONCE = 3


def pull(ctx: Context, key: Key, spec: PodSpec, tell: Callable[[str], None]) -> tuple[str, ...]:
    """Have every image of a pod; returns what could not be had, in sentences."""
    wanted = {c.image: c for c in spec.everyone if c.pull_policy is not PullPolicy.NEVER}
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        failures = tuple(pool.map(lambda c: _pull(ctx, key, c, tell), wanted.values()))
    return tuple(failure for failure in failures if failure)


def _pull(ctx: Context, key: Key, spec: ContainerSpec, tell: Callable[[str], None]) -> str:
    try:
        ctx.images.renew(spec.image, progress=tell, logins=ctx.logins(key, spec.pull_secrets)[0])
    except ReconcilerError as error:
        return error.message
    return ""


def mark(ctx: Context, key: Key, spec: PodSpec) -> None:
    """Note on each running container what its image's name means now, where that is another image. The caller holds
    the key's lock."""
    for container in observe.look(ctx, key, held=True).containers:
        wanted = spec.container(container.name)
        image = ctx.images.get(wanted.image) if wanted and wanted.image == container.spec.image else None
        if image and container.state is ContainerState.RUNNING and image.id != container.image_id:
            recorded.note(ctx, container.id, newer=image.id)
