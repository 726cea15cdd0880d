"""A reboot, pretended: all processes of the instance die without a word, what lives in memory only (run directory,
links, nft table, cgroups) is gone, and the kernel tells another boot id (a file bound over it in the test's own
mount namespace).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from reconciler.engine import cgroups, processes
from reconciler.engine.network import bridge, portmap
from reconciler.model.observed import PidRef
from tests.host.instance import Instance, processes_of, start_time, wait_for_end

BOOT_ID = "/proc/sys/kernel/random/boot_id"


def rebooting(instance: Instance, directory: Path) -> Iterator[Callable[[], None]]:
    """For a fixture: what it gives is called to end everything as a power failure would. ``directory`` is scratch."""
    mounted = 0

    def pretend() -> None:
        nonlocal mounted
        _power_off(instance)
        other = directory / f"boot-{mounted}"
        other.write_text(f"{uuid.uuid4()}\n")
        subprocess.run(["mount", "--bind", other, BOOT_ID], check=True, timeout=30)
        mounted += 1
        processes.boot_id.cache_clear()
        instance.__dict__["engine"] = instance.opened(instance.runtime)

    yield pretend
    instance.stop_controllers()  # or they would make again what is removed
    instance.remove_everything()
    for _ in range(mounted):
        subprocess.run(["umount", BOOT_ID], check=True, timeout=30)
    processes.boot_id.cache_clear()


def _power_off(instance: Instance) -> None:
    """Monitors die before their containers, so that nobody can write down how those ended."""
    layout = instance.engine.layout
    first = [process.pid for process in processes_of(instance.root)]
    groups = [path for paths in cgroups.pods(layout.tag).values() for path in paths]
    then = [*cgroups.monitors(layout.tag), *(pid for path in groups for pid in cgroups.pids(path))]
    refs = [PidRef(pid, start_time(pid)) for pid in dict.fromkeys((*first, *then))]
    for ref in refs:
        with suppress(ProcessLookupError):
            os.kill(ref.pid, signal.SIGKILL)
    wait_for_end(refs)
    for path in groups:
        cgroups.remove_pod(path)
    portmap.remove_table(layout.tag)
    for name in bridge.bridges(layout.tag):
        bridge.remove_bridge(name)
    shutil.rmtree(layout.run)
