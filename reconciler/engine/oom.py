"""What the kernel killed in a container because memory ran out, as the container's monitor noted it.

Our monitor counts, in ``exits/ID.oom`` (``KILLS PEAK``), which wakes the controller; a foreign one leaves an empty
``oom`` in the bundle, the first time. Each new kill is an event, told once: the number told last is in the container's
facts. What a foreign one left is told at the container's end: it comes just before it, most often, and is never more
than one.
"""

from __future__ import annotations

import os

from reconciler.engine import files, processes
from reconciler.engine.context import Context
from reconciler.engine.layout import Layout
from reconciler.engine.records import ContainerFacts, ContainerRecord
from reconciler.engine.store import events
from reconciler.model.events import EventType
from reconciler.model.key import ContainerId
from reconciler.model.observed import Exit, PidRef
from reconciler.model.qos import resources_of
from reconciler.model.spec import PodSpec

KILLED = 137
"""128 + SIGKILL: how a process ends that the kernel kills, and a shell whose last command was."""

_SAID = "OOMKilling"


def kills(layout: Layout, container: ContainerId) -> tuple[int, int]:
    """How many processes were killed so far, and the most memory that was in use, in bytes (0: not known)."""
    counted, foreign = f"{layout.exits}/{container}.oom", f"{layout.container(container)}/oom"
    if not os.access(counted, os.F_OK):
        return (1, 0) if os.access(foreign, os.F_OK) else (0, 0)
    words = (files.read_or_none(counted) or b"").split()
    if len(words) == 2 and all(word.isdigit() for word in words):
        return int(words[0]), int(words[1])
    return (1, 0) if os.access(foreign, os.F_OK) else (0, 0)


def ended_by(layout: Layout, container: ContainerId, code: int, facts: ContainerFacts) -> bool:
    """Whether a container that ended with ``code`` was killed for want of memory, and not by us after its grace."""
    return code == KILLED and not facts.killed and kills(layout, container)[0] > 0


def tell(ctx: Context, record: ContainerRecord, facts: ContainerFacts, pod: PodSpec, end: Exit | None) -> int:
    """Tell of kills that were not told yet; the number that is told now. For holders of the key's lock."""
    if end is None and not os.access(f"{ctx.layout.exits}/{record.id}.oom", os.F_OK):
        return facts.oom_kills  # as nearly always; and what a foreign monitor left is told with the end
    count, peak = kills(ctx.layout, record.id)
    if count <= facts.oom_kills:
        return facts.oom_kills
    if end is None and not processes.alive(PidRef(facts.pid, facts.pid_start)):
        return facts.oom_kills  # its end is about to be told
    who = f"Container {record.name}" if record.name and not record.infra else "The infra container"
    limit = (facts.resources or record.spec.resources).memory_limit
    cause = why(limit, resources_of(pod).memory_limit, peak)
    if end is not None and end.oom:
        said = f"{who} was out of memory and was killed: {cause}"
    else:
        some = "a process" if count - facts.oom_kills == 1 else f"{count - facts.oom_kills} processes"
        goes_on = "" if end is not None else ", which goes on"
        said = f"{who} was out of memory: the kernel killed {some} of it{goes_on}: {cause}"
    events.emit(ctx.store, ctx.clock, str(record.key), EventType.WARNING, _SAID, said)
    return count


def why(limit: int | None, pod_limit: int | None, peak: int) -> str:
    """Which limit it was, as far as one can know afterwards: the container's own if it came close to it."""
    used = f"{size(peak)} in use" if peak else "use not known"
    if limit and (not peak or peak >= limit * 0.95):
        return f"its memory limit is {size(limit)}, {used}"
    if pod_limit:
        return f"the pod's memory limit is {size(pod_limit)}, {used} here"
    return f"the machine's memory, or a limit around the pod, was used up, {used} here"


def size(number: int) -> str:
    """Bytes for people: 64Mi, 63.9Mi, 512Ki."""
    for unit, power in (("Gi", 3), ("Mi", 2), ("Ki", 1)):
        if number >= 1024**power:
            return f"{number / 1024**power:.1f}".removesuffix(".0") + unit
    return f"{number} bytes"
