"""Who makes the cgroups of new pods: systemd where the tree is its own, we where nobody else does."""

from __future__ import annotations

from typing import Literal

from reconciler.engine.cgroups import hierarchies as hosts
from reconciler.engine.cgroups import systemd
from reconciler.engine.cgroups.names import Driver
from reconciler.engine.oci.host import CgroupMode
from reconciler.model.errors import HostUnfit

Wish = Literal["auto", "systemd", "cgroupfs"]


def choose(wish: Wish) -> tuple[Driver, str]:
    """The driver, and why. Raises HostUnfit where systemd is wished for and cannot be."""
    if wish == "cgroupfs":
        return Driver.CGROUPFS, "the configuration says so"
    mode = hosts.current().mode
    obstacle = systemd.why_not() if mode is CgroupMode.V2 else f"cgroups are {mode}: systemd's driver is for v2 alone"
    if not obstacle:
        said = "the configuration says so" if wish == "systemd" else "systemd runs here, and cgroups are v2"
        return Driver.SYSTEMD, said
    if wish == "systemd":
        raise HostUnfit(f"cannot make cgroups through systemd: {obstacle}", hint="set cgroup_driver to auto")
    return Driver.CGROUPFS, obstacle
