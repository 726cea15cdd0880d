"""What the first pod would otherwise wait for: got ready in a thread while the manifests are read.

All of it is done at first use, too; nothing here is needed, and whoever comes at the same time waits for it.
"""

from __future__ import annotations

from importlib import import_module

from reconciler.engine.context import Context
from reconciler.engine.network import netlink
from reconciler.engine.oci import config

ON_USE = (
    *(
        "containers",
        "firewalls",
        "hooks",
        "members",
        "nameserver",
        "networks",
        "outlook",
        "pausing",
        "perform",
        "renew",
    ),
    *("sandboxes", "upkeep", "images.copyup", "images.view"),
)
"""What the rest of the engine imports where it is used. Who lives long imports it at once: an upgrade may take away the
files that it came from."""

for _name in ON_USE:
    import_module(f"reconciler.engine.{_name}")


def warm(ctx: Context) -> None:
    """Choose the runtime (a throwaway container at first), start the zygote, import rtnetlink and compile the
    usual seccomp filters: together half a second the first time on a machine, 0.2 s later.

    Raises HostUnfit, RuntimeFailed.
    """
    _ = ctx.choice
    ctx.monitors.warm()
    netlink.preload()
    config.compile_usual_filters(ctx.facts)
    _ = ctx.images
