"""Where the cgroups of an instance lie: below one of its own, pods by quality of service as the kubelet's. Pure.

    /reconciler-TAG                             shares of the whole machine
        /monitors                               the zygote and the monitors
        /besteffort/pod-ID/CONTAINER            together as little as there can be: 2 shares
        /burstable/pod-ID/CONTAINER             together what all of them request
        /pod-ID/CONTAINER                       Guaranteed pods, and all that an older version made
        /probe-ID                               throw-away containers that try a runtime

Where systemd makes them, the name of a slice says where it lies, "-" being the step down:

    /reconciler.slice/reconciler-TAG.slice
        /reconciler-TAG-monitors.scope
        /reconciler-TAG-besteffort.slice/reconciler-TAG-besteffort-podID.slice/reconciler-CONTAINER.scope
        /reconciler-TAG-burstable.slice/...
        /reconciler-TAG-podID.slice/...

Below a cgroup that the pod's spec names, which is not ours, lies PARENT/reconciler_TAG_podID/CONTAINER, and of a slice
PARENT.slice/PARENT-reconciler_TAG_podID.slice/reconciler-CONTAINER.scope.

A pod stays where it was made: its record says where, and so by which driver. Without the record it is found by looking
in each place.
"""

from __future__ import annotations

import re
from enum import StrEnum

from reconciler.model.key import ContainerId, PodId
from reconciler.model.qos import Qos


class Driver(StrEnum):
    """Who makes pods' cgroups."""

    CGROUPFS = "cgroupfs"
    SYSTEMD = "systemd"


LEVELS = {Qos.BEST_EFFORT: "besteffort", Qos.BURSTABLE: "burstable"}
SLICE = "/reconciler.slice"
"""The slice of all instances."""
_OURS = re.compile(r"(/reconciler-[a-z2-7]{4}|/reconciler\.slice(/reconciler-[a-z2-7]{4}\.slice)?)(/|$)")
_POD = re.compile(
    r"(?:pod-|reconciler-[a-z2-7]{4}-(?:(?:besteffort|burstable)-)?pod|(?:.*-)?reconciler_[a-z2-7]{4}_pod)"
    r"([0-9a-z]+)(?:\.slice)?"
)
_ELSEWHERE = re.compile(r"(?:[^/]*-)?reconciler_([a-z2-7]{4})_pod[0-9a-z]+(\.slice)?")
"""The cgroup of a pod that lies in none of ours."""


def top(tag: str, driver: Driver = Driver.CGROUPFS) -> str:
    """The instance's own cgroup."""
    return f"{SLICE}/reconciler-{tag}.slice" if driver is Driver.SYSTEMD else f"/reconciler-{tag}"


def monitors(tag: str, driver: Driver = Driver.CGROUPFS) -> str:
    """That of its monitors."""
    name = f"reconciler-{tag}-monitors.scope" if driver is Driver.SYSTEMD else "monitors"
    return f"{top(tag, driver)}/{name}"


def level(tag: str, qos: Qos, driver: Driver = Driver.CGROUPFS) -> str:
    """The parent of the pods of one quality of service."""
    if qos not in LEVELS:
        return top(tag, driver)
    name = f"reconciler-{tag}-{LEVELS[qos]}.slice" if driver is Driver.SYSTEMD else LEVELS[qos]
    return f"{top(tag, driver)}/{name}"


def levels(tag: str, driver: Driver = Driver.CGROUPFS) -> tuple[str, ...]:
    """The levels that are not the instance's own cgroup."""
    return tuple(level(tag, qos, driver) for qos in LEVELS)


def pod_path(tag: str, pod: PodId, qos: Qos = Qos.GUARANTEED, driver: Driver = Driver.CGROUPFS) -> str:
    parent = level(tag, qos, driver)
    return f"{parent}/{_slice(parent)}-pod{pod}.slice" if driver is Driver.SYSTEMD else f"{parent}/pod-{pod}"


def pod_below(tag: str, pod: PodId, parent: str) -> str:
    """The pod's path where it is to lie below a cgroup of others: a path, or a slice of systemd's by its name."""
    if not parent.endswith(".slice"):
        return f"/{parent.strip('/')}/reconciler_{tag}_pod{pod}".replace("//", "/")
    name = unit(parent).removesuffix(".slice")
    steps = name.split("-") if name != "-" else []
    above = "".join(f"/{'-'.join(steps[: n + 1])}.slice" for n in range(len(steps)))
    return f"{above}/{f'{name}-' if steps else ''}reconciler_{tag}_pod{pod}.slice"


def elsewhere(path: str) -> re.Match[str] | None:
    """The part of a path that is a pod's which lies in none of our cgroups."""
    return next((found for part in path.split("/") if (found := _ELSEWHERE.fullmatch(part))), None)


def is_ours(path: str) -> bool:
    """Whether a cgroup carries our name."""
    return bool(_OURS.match(path)) or elsewhere(path) is not None


def _slice(path: str) -> str:
    return unit(path).removesuffix(".slice")


def unit(path: str) -> str:
    """The unit of systemd whose cgroup this is."""
    return path.rpartition("/")[2]


def driver_of(path: str) -> Driver:
    """By whom a cgroup was made, as its path tells."""
    if found := elsewhere(path):
        return Driver.SYSTEMD if found[2] else Driver.CGROUPFS
    return Driver.SYSTEMD if f"{path}/".startswith(f"{SLICE}/") else Driver.CGROUPFS


def is_slice(path: str) -> bool:
    """Whether systemd is to make what is in it."""
    return driver_of(path) is Driver.SYSTEMD


def tag_of(path: str) -> str:
    """The instance whose cgroup this is."""
    parts = check(path).split("/")
    if found := elsewhere(path):
        return found[1]
    return parts[2 if driver_of(path) is Driver.SYSTEMD else 1].removeprefix("reconciler-").removesuffix(".slice")


def parents(path: str) -> tuple[str, ...]:
    """Every cgroup of ours above this one, outer ones first."""
    parts = check(path).split("/")[1:-1]
    above = tuple("/" + "/".join(parts[: n + 1]) for n in range(len(parts)))
    return tuple(path for path in above if is_ours(path))


def container_path(pod: str, container: ContainerId) -> str:
    """``pod`` is the pod's path."""
    return f"{pod}/reconciler-{container}.scope" if driver_of(pod) is Driver.SYSTEMD else f"{pod}/{container}"


def container_of(path: str) -> ContainerId:
    """The container whose cgroup this is, by its name."""
    return ContainerId(unit(path).removeprefix("reconciler-").removesuffix(".scope"))


def pod_places(tag: str, pod: PodId) -> tuple[str, ...]:
    """Every path that the pod's cgroup may have."""
    return tuple(pod_path(tag, pod, qos, driver) for driver in Driver for qos in Qos)


def pod_of(path: str) -> PodId | None:
    """The pod whose cgroup this is, by its name."""
    match = _POD.fullmatch(unit(path))
    return PodId(match[1]) if match else None


def check(path: str) -> str:
    """The path, if it carries our name. Raises ValueError otherwise: a bug, not an input."""
    if not is_ours(path) or ".." in path.split("/"):
        raise ValueError(f"not a cgroup of ours: {path}")
    return path
