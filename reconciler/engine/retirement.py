"""The end of what serves all pods of an instance, when the last of them has gone: zygote, name server, cgroups.

Other processes may make pods at any moment. Each files its pod in the index before anything else, with the instance's
lock, which any number of them share; whoever retires the instance has it alone, and looks into the index only then. So
either the pod is seen, and nothing is done, or its maker waits until all is over, and has everything made again. Who
finds the lock taken does nothing: somebody begins just now.

What begins without a pod is told from use by each step itself: a zygote that is got ready and ended is started again
by the first request; a cgroup with a process in it stays (Busy).
"""

from __future__ import annotations

import contextlib

from reconciler.engine import cgroups, locks, nameserver
from reconciler.engine.context import Context
from reconciler.engine.store import pods as index
from reconciler.model.errors import Busy


def retire(ctx: Context) -> bool:
    """Whether everything was ended; nothing is where a pod is there, or is being made. Raises TryLater."""
    with locks.exclusive_if_free(ctx.layout.instance_lock) as alone:
        if not alone or not index.is_empty(ctx.store):
            return False
        with contextlib.suppress(Busy):
            ctx.monitors.end()
            nameserver.end_if_last(ctx)
            cgroups.remove_instance(ctx.layout.tag)
            return True
        return False
