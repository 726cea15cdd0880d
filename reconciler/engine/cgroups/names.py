"""Where the cgroups of an instance lie: below one of its own, pods by quality of service as the kubelet's. Pure.

    /reconciler-TAG                             shares of the whole machine
        /monitors                               the zygote and the monitors
        /besteffort/pod-ID/CONTAINER            together as little as there can be: 2 shares
        /burstable/pod-ID/CONTAINER             together what all of them request
        /pod-ID/CONTAINER                       Guaranteed pods, and all that an older version made
        /probe-ID                               throw-away containers that try a runtime

A pod stays where it was made: its record says where. Without the record it is found by looking in each place.
"""

from __future__ import annotations

import re

from reconciler.model.key import ContainerId, PodId
from reconciler.model.qos import Qos

MONITORS = "monitors"
LEVELS = {Qos.BEST_EFFORT: "besteffort", Qos.BURSTABLE: "burstable"}
_OURS = re.compile(r"/reconciler-[a-z2-7]{4}(/|$)")


def top(tag: str) -> str:
    """The instance's own cgroup."""
    return f"/reconciler-{tag}"


def level(tag: str, qos: Qos) -> str:
    """The parent of the pods of one quality of service."""
    return f"{top(tag)}/{LEVELS[qos]}" if qos in LEVELS else top(tag)


def pod_path(tag: str, pod: PodId, qos: Qos = Qos.GUARANTEED) -> str:
    return f"{level(tag, qos)}/pod-{pod}"


def container_path(pod: str, container: ContainerId) -> str:
    """``pod`` is the pod's path."""
    return f"{pod}/{container}"


def container_of(path: str) -> ContainerId:
    """The container whose cgroup this is, by its name."""
    return ContainerId(path.rpartition("/")[2])


def pod_places(tag: str, pod: PodId) -> tuple[str, ...]:
    """Every path that the pod's cgroup may have."""
    return tuple(pod_path(tag, pod, qos) for qos in Qos)


def pod_of(path: str) -> PodId | None:
    """The pod whose cgroup this is, by its name."""
    name = path.rpartition("/")[2]
    return PodId(name.removeprefix("pod-")) if name.startswith("pod-") else None


def check(path: str) -> str:
    """The path, if it carries our name. Raises ValueError otherwise: a bug, not an input."""
    if not _OURS.match(path) or ".." in path.split("/"):
        raise ValueError(f"not a cgroup of ours: {path}")
    return path
