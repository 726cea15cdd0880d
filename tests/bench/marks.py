"""Marks: each container writes a file of its name when its process runs; inotify says when that happened."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from reconciler.linux.inotify import Inotify, Mask
from tests.host.manifests import Manifest

IMAGE = "localhost/reconciler/busybox:1"
MEMBERS = ("one", "two", "three")
EDITED = "two"
SCRIPT = 'trap "exit 0" TERM INT; : > /marks/$NAME; while :; do sleep 1000 & wait; done'
"""Says that it runs, and dies at TERM at once. No process but the shell is needed for the mark."""
DEAF = ": > /marks/$NAME; exec sleep 1000000"
"""Says that it runs, and does not hear TERM: the kernel spares a first process what it has no handler for."""


class Marks:
    def __init__(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        self.directory = directory
        self._inotify = Inotify()
        self._inotify.add(str(directory), Mask.CLOSE_WRITE)

    def wait(self, names: Iterable[str], deadline: float = 60) -> float:
        """The monotonic time at which the last of ``names`` was written (anew, since ``forget``)."""
        missing, end = set(names), time.monotonic() + deadline
        while True:
            ready, _, _ = select.select([self._inotify], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise TimeoutError(f"no sign of {sorted(missing)} within {deadline} s")
            missing -= {change.name for change in self._inotify.read()}
            if not missing:
                return time.monotonic()

    def forget(self) -> None:
        self._inotify.read()

    def manifest(self, edition: str) -> Manifest:
        """The pod of three; another ``edition`` is an edit of the second container."""
        return self.pod("bench", MEMBERS, SCRIPT, grace=10, edition=edition, edited=EDITED, prefix="")

    def pod(
        self,
        name: str,
        members: Iterable[str],
        script: str,
        *,
        grace: int,
        edition: str = "",
        edited: str = "",
        prefix: str | None = None,
    ) -> Manifest:
        """A pod whose members run ``script`` and say so by marks of ``prefix`` (None: the pod's name and a dash) and
        their name. An ``edition`` of the member that is ``edited`` makes another of it."""
        containers = [
            {
                "name": member,
                "image": IMAGE,
                "command": ["sh", "-c", script],
                "args": [edition if member == edited else ""],
                "env": [{"name": "NAME", "value": f"{name}-{member}" if prefix is None else f"{prefix}{member}"}],
                "volumeMounts": [{"name": "marks", "mountPath": "/marks"}],
            }
            for member in members
        ]
        volume = {"name": "marks", "hostPath": {"path": str(self.directory), "type": "Directory"}}
        spec = {"terminationGracePeriodSeconds": grace, "containers": containers, "volumes": [volume]}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


class End:
    """The monotonic time at which a process ended, taken by a thread of its own."""

    def __init__(self, pid: int) -> None:
        self._fd = os.pidfd_open(pid)
        self._at = 0.0
        self._thread = threading.Thread(target=self._wait)
        self._thread.start()

    def _wait(self) -> None:
        ready, _, _ = select.select([self._fd], [], [], 60)
        self._at = time.monotonic()
        os.close(self._fd)
        if not ready:
            self._at = float("inf")

    def at(self) -> float:
        self._thread.join()
        return self._at
