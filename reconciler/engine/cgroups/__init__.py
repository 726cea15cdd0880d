"""The cgroups of this instance, in every hierarchy the host has.

    hierarchies  what is mounted where: v1, hybrid, v2
    names        where a pod's cgroup lies, by driver and quality of service
    tree         cgroups made, entered, emptied, removed, found
    moves        processes enter others without waiting for it
    freezer      processes stand still, and go on
    values       shares, quotas and limits: written, and read back
    readings     what is used: read
    systemd      the same through systemd, where the tree is systemd's
    driver       which of the two makes them

A cgroup is named by its path from the root of each hierarchy. Nothing that does not carry the instance's name is ever
made, changed or removed. Any number of processes may work here at the same time: mkdir and rmdir are atomic, and both
take "already so" for an answer.
"""

from reconciler.engine.cgroups.driver import choose as choose
from reconciler.engine.cgroups.freezer import freeze as freeze
from reconciler.engine.cgroups.freezer import is_frozen as is_frozen
from reconciler.engine.cgroups.freezer import thaw as thaw
from reconciler.engine.cgroups.hierarchies import Hierarchies as Hierarchies
from reconciler.engine.cgroups.hierarchies import Hierarchy as Hierarchy
from reconciler.engine.cgroups.hierarchies import current as current
from reconciler.engine.cgroups.hierarchies import parse as parse
from reconciler.engine.cgroups.moves import expect_moves as expect_moves
from reconciler.engine.cgroups.names import Driver as Driver
from reconciler.engine.cgroups.names import container_of as container_of
from reconciler.engine.cgroups.names import container_path as container_path
from reconciler.engine.cgroups.names import is_ours as is_ours
from reconciler.engine.cgroups.names import is_slice as is_slice
from reconciler.engine.cgroups.names import pod_below as pod_below
from reconciler.engine.cgroups.names import pod_path as pod_path
from reconciler.engine.cgroups.readings import read as read
from reconciler.engine.cgroups.tree import containers as containers
from reconciler.engine.cgroups.tree import elsewhere as elsewhere
from reconciler.engine.cgroups.tree import enter_monitors as enter_monitors
from reconciler.engine.cgroups.tree import find as find
from reconciler.engine.cgroups.tree import kill_all as kill_all
from reconciler.engine.cgroups.tree import leaked as leaked
from reconciler.engine.cgroups.tree import make_pod as make_pod
from reconciler.engine.cgroups.tree import monitors as monitors
from reconciler.engine.cgroups.tree import pids as pids
from reconciler.engine.cgroups.tree import pods as pods
from reconciler.engine.cgroups.tree import remove_container as remove_container
from reconciler.engine.cgroups.tree import remove_instance as remove_instance
from reconciler.engine.cgroups.tree import remove_pod as remove_pod
from reconciler.engine.cgroups.tree import tidy as tidy
from reconciler.engine.cgroups.tree import tops as tops
from reconciler.engine.cgroups.values import LimitBelowUsage as LimitBelowUsage
from reconciler.engine.cgroups.values import leaf_of as leaf_of
from reconciler.engine.cgroups.values import memory_limit as memory_limit
from reconciler.engine.cgroups.values import memory_usage as memory_usage
from reconciler.engine.cgroups.values import set_level as set_level
from reconciler.engine.cgroups.values import update as update
from reconciler.engine.cgroups.values import update_pod as update_pod
from reconciler.model.errors import Busy as Busy
