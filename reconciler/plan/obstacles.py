"""What keeps a wanted spec from being made here and now: references, problems, host ports, images. Pure.

Found before anything is stopped (make before break); the plan waits for them, the status tells them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from reconciler.model.actions import PullImage, Reason, Why
from reconciler.model.desired import Missing, Present
from reconciler.model.errors import CONFIG_ERROR
from reconciler.model.observed import HostFacts, ImageState, ImageStatus, Instant, Observed, PortHolder, Problem
from reconciler.model.spec import ContainerSpec, PodSpec, PortBinding, Protocol, PullPolicy

LOOK_AGAIN = 10.0
"""Seconds until a transient problem is looked at again."""
PORT_SOON, PORT_LATER = 1.0, 3.0
"""The same for a port that another pod of ours has (it is freed in the time of a stop), and a process of the host."""
SHOWN = 3
"""Ports that a sentence names; a range may have a thousand."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """``container`` "" stands in the way of the whole pod. ``word`` is the status' reason (ImagePullBackOff…), ``pull``
    what can be done about it now, ``until`` when to look again, ``bindings`` host ports that are taken; ``passing``:
    a pod of ours is about to give the port up, so that waiting is enough."""

    container: str
    why: Why
    word: str
    message: str
    until: Instant | None = None
    pull: PullImage | None = None
    bindings: tuple[PortBinding, ...] = ()
    passing: bool = False


def pod_obstacles(want: Present, have: Observed, now: Instant) -> tuple[Obstacle, ...]:
    """What stands in the way of the whole pod, host ports apart."""
    missing = _missing("", want)
    problems = (_problem(p, now) for p in have.problems if not p.container)
    return (*missing, *problems)


def infra_obstacles(spec: PodSpec, have: Observed, now: Instant) -> tuple[Obstacle, ...]:
    """Whether the image of the pod's infra container is here, where it is to have another than ours."""
    image = spec.sandbox.infra_image
    return image_obstacles(ContainerSpec("", image), have, now) if image else ()


def port_obstacles(spec: PodSpec, have: Observed, host: HostFacts, now: Instant) -> tuple[Obstacle, ...]:
    """Who else holds host ports that ``spec`` needs, each told once. The pod's own holding is none."""
    holders: dict[tuple[int, Protocol], list[PortHolder]] = {}
    for holder in host.port_holders:
        if holder.key != have.key:
            holders.setdefault((holder.binding.host_port, holder.binding.protocol), []).append(holder)
    taken: dict[tuple[str, bool], list[tuple[PortBinding, PortHolder]]] = {}
    for binding in spec.sandbox.ports:
        for holder in holders.get((binding.host_port, binding.protocol), ()):
            if binding.overlaps(holder.binding):
                taken.setdefault((str(holder), holder.yields), []).append((binding, holder))
    return tuple(_taken(tuple(b for b, _ in some), some[0][1], now) for some in taken.values())


def missing_obstacles(missing: Iterable[Missing]) -> tuple[Obstacle, ...]:
    """What is referred to and nobody defines."""
    found = dict.fromkeys((one.container, str(one)) for one in missing)
    return tuple(Obstacle(who, Why.PROBLEM, CONFIG_ERROR, text) for who, text in found)


def _missing(container: str, want: Present) -> tuple[Obstacle, ...]:
    """That of a member, or of the pod as a whole."""
    return missing_obstacles(one for one in want.missing if one.container == container)


def member_obstacles(spec: ContainerSpec, want: Present, have: Observed, now: Instant) -> tuple[Obstacle, ...]:
    """What keeps one member from being created: what it refers to and is missing, problems told of it, its image."""
    problems = tuple(_problem(p, now) for p in have.problems if p.container == spec.name)
    return (*_missing(spec.name, want), *problems, *image_obstacles(spec, have, now))


def image_obstacles(spec: ContainerSpec, have: Observed, now: Instant) -> tuple[Obstacle, ...]:
    """Whether the images that the member needs are here; one that nothing was said of counts as here."""
    needed = (replace(spec, image=image, pull_policy=policy) for image, policy in dict.fromkeys(spec.images))
    return tuple(obstacle for one in needed for obstacle in _image_obstacles(one, have, now))


def _image_obstacles(spec: ContainerSpec, have: Observed, now: Instant) -> tuple[Obstacle, ...]:
    image = have.images.get(spec.image, ImageState(ImageStatus.PRESENT))
    if image.status is ImageStatus.PRESENT:
        return ()
    if image.status is ImageStatus.OFFERED:
        pull = _pull(spec, f"image {spec.image} was built on this host")
        return (Obstacle(spec.name, Why.PULLING, "ContainerCreating", f"taking over image {spec.image}", pull=pull),)
    if image.status is ImageStatus.PULLING:
        return (Obstacle(spec.name, Why.PULLING, "ContainerCreating", f"pulling image {spec.image}"),)
    if spec.pull_policy is PullPolicy.NEVER:
        text = f"image {spec.image} is not here and imagePullPolicy is Never"
        return (Obstacle(spec.name, Why.IMAGE_NEVER, "ErrImageNeverPull", text),)
    if image.status is ImageStatus.MISSING:
        pull = _pull(spec, f"image {spec.image} is not here")
        return (Obstacle(spec.name, Why.PULLING, "ContainerCreating", f"pulling image {spec.image}", pull=pull),)
    return (_failed(spec, image, now),)


def _failed(spec: ContainerSpec, image: ImageState, now: Instant) -> Obstacle:
    text = f"cannot pull image {spec.image}: {image.error}"
    if image.retry_at is not None and now >= image.retry_at:
        pull = _pull(spec, f"the last pull of {spec.image} failed and is tried again")
        return Obstacle(spec.name, Why.PULL_FAILED, "ErrImagePull", text, pull=pull)
    return Obstacle(spec.name, Why.PULL_FAILED, "ImagePullBackOff", text, until=image.retry_at)


def _pull(spec: ContainerSpec, text: str) -> PullImage:
    return PullImage(spec.image, spec.pull_policy, Reason(Why.IMAGE_NEEDED, text), spec.pull_secrets)


def _problem(problem: Problem, now: Instant) -> Obstacle:
    until = now + LOOK_AGAIN if problem.transient else None
    return Obstacle(problem.container, Why.PROBLEM, problem.reason, problem.message, until=until)


def _taken(bindings: tuple[PortBinding, ...], holder: PortHolder, now: Instant) -> Obstacle:
    soon = PORT_SOON if holder.key is not None else PORT_LATER
    shown = ", ".join(map(str, bindings[:SHOWN])) + (f" and {len(bindings) - SHOWN} more" if bindings[SHOWN:] else "")
    text = f"port {shown} is held by {holder}" if len(bindings) == 1 else f"ports {shown} are held by {holder}"
    return Obstacle(
        "", Why.PROBLEM, "HostPortConflict", text, until=now + soon, bindings=bindings, passing=holder.yields
    )
