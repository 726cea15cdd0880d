"""A container's last words: a file that it may write to, or the end of its log, read when it has ended.

The rules are the kubelet's (kuberuntime_container.go: getTerminationMessage). What was read is written down with the
exit; the file goes with the container.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from reconciler.engine.context import Context
from reconciler.engine.effects import effect
from reconciler.engine.oci.mounts import MESSAGE, has_message
from reconciler.engine.records import ContainerRecord
from reconciler.model.observed import Exit
from reconciler.model.spec import MessagePolicy, PodSpec

MOST = 4096
"""Bytes that are read of the file: its last ones."""

LOG_MOST = 2048
LOG_LINES = 80
"""Of the log: as many bytes, of as many lines at most."""

LOG_READ = 64 << 10
"""Bytes of the log in which these are looked for: with room for what stands before each line, and for a long one."""


@effect("message.make")
def make(bundle: Path, record: ContainerRecord) -> None:
    """Make the file, where the container is to have one; whoever it runs as may write to it. Raises OSError."""
    if record.infra or not has_message(record.spec, keep=record.life > 0):
        return
    path = bundle / MESSAGE
    path.touch()
    path.chmod(0o666)  # touch's mode is cut by the umask


def of(ctx: Context, record: ContainerRecord, pod: PodSpec, end: Exit) -> str:
    """The last words of a container that has ended so; "" for none. Its policy is the pod's by now."""
    if record.infra:
        return ""
    said = _last(ctx.layout.container(record.id) / MESSAGE, MOST)
    if said or end.code == 0 or not record.log_path:
        return said.decode(errors="replace")
    spec = pod.container(record.name) or record.spec
    if spec.message_policy is not MessagePolicy.FALLBACK_TO_LOGS_ON_ERROR:
        return ""
    return tail(_last(Path(record.log_path), LOG_READ)).decode(errors="replace")


def tail(log: bytes) -> bytes:
    """What a container wrote last, of the end of its log in CRI format (``TIME STREAM F|P TEXT``)."""
    found = []
    for line in log.removesuffix(b"\n").split(b"\n")[-LOG_LINES:]:
        _, *head = line.split(b" ", 3)
        if len(head) == 3 and head[0] in (b"stdout", b"stderr"):  # else it is the end of a line that began earlier
            found.append(head[2] if head[1] == b"P" else head[2] + b"\n")
    return b"".join(found)[-LOG_MOST:]


def _last(path: Path, most: int) -> bytes:
    """The last bytes of a file; none where there is no such file, or it is something else."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return b""
        file.seek(max(0, found.st_size - most))
        return file.read(most)
