"""Whether this machine was started again since somebody looked after its pods: its owner is told why all of them begin
anew. Pods themselves are judged one by one, by the boot that their processes were of (``observe``)."""

from __future__ import annotations

from reconciler.engine import processes
from reconciler.engine.context import Context
from reconciler.engine.store import events, settings
from reconciler.engine.store import pods as index
from reconciler.model.events import EventType

ABOUT = "state"
BOOT = "boot"


def tell(ctx: Context) -> None:
    """Once for each boot. The event comes first: who is killed in between tells it again, and it is counted."""
    now, before = processes.boot_id(), settings.get(ctx.store, BOOT)
    if now == before:
        return
    pods = len(index.all_pods(ctx.store))
    if before and pods:
        what = "1 pod is" if pods == 1 else f"{pods} pods are"
        text = f"his machine was started again: {what} brought back as recorded"
        events.emit(ctx.store, ctx.clock, ABOUT, EventType.NORMAL, "Rebooted", f"T{text}")
        ctx.say(f"t{text}")
    settings.put(ctx.store, BOOT, now)
