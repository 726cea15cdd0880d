"""Pods by the OCI runtime alone: the limit to come close to.

The bundles are those that reconciler made (same process, capabilities, seccomp filter, cgroups): infra first, then the
members in parallel. No monitor, no log, no network, no records, and a plain copy of the image in place of an overlay.
"""

from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from reconciler.controller.core import WORKERS
from reconciler.model.key import Key
from reconciler.model.observed import PidRef
from tests.bench.marks import EDITED, IMAGE, End, Marks
from tests.bench.place import VOLATILE, Place, kill_all, pids_in, remove_cgroups
from tests.host.instance import Instance, start_time, wait_for_end

CGROUP = "reconciler-bench"
INFRA = "infra"

Configs = dict[str, dict[str, Any]]
"""The config.json of each container of a pod."""


class Pod:
    """One pod: ``name`` is in the names of all that it has, ``prefix`` in that of its members' marks."""

    def __init__(self, work: Path, name: str, prefix: str, configs: Configs, run: Sequence[str], place: Place) -> None:
        self.members = tuple(member for member in configs if member != INFRA)
        self._work = work / name
        self._name = name
        self._prefix = prefix
        self._configs = configs
        self._runtime = run
        self._place = place
        self._attempt = 0
        self._pids: dict[str, int] = {}
        self._ids: dict[str, str] = {}
        for container in configs:
            (self._work / container).mkdir(parents=True, exist_ok=True)

    def _bundle(self, container: str) -> Path:
        config = copy.deepcopy(self._configs[container])
        config["linux"]["cgroupsPath"] = f"/{CGROUP}/{self._name}-{container}-{self._attempt}"
        env = [word for word in config["process"]["env"] if not word.startswith("NAME=")]
        config["process"]["env"] = [*env, f"NAME={self._prefix}{container}"]
        for namespace in config["linux"]["namespaces"]:
            if "path" in namespace:
                namespace["path"] = f"/proc/{self._pids[INFRA]}/ns/{namespace['path'].rpartition('/')[2]}"
        bundle = self._work / container
        (bundle / "config.json").write_text(json.dumps(config))
        return bundle

    def _run(self, *words: str | Path) -> None:
        self._place.run(*self._runtime, *words)

    def start(self, container: str) -> None:
        """Another attempt at it."""
        pidfile = self._work / container / "pid"
        identity = f"{self._name}-{container}-{self._attempt}"
        self._run("run", "--detach", "--bundle", self._bundle(container), "--pid-file", pidfile, identity)
        self._pids[container] = int(pidfile.read_text())
        self._ids[container] = identity

    def create(self) -> None:
        self._attempt += 1
        self.start(INFRA)
        with ThreadPoolExecutor(len(self.members)) as pool:
            list(pool.map(self.start, self.members))

    def renew(self, container: str) -> tuple[End, str]:
        """Another attempt at a container when the one before has ended; that one's end, and what it is called."""
        self._attempt += 1
        end, old = End(self._pids[container]), self._ids[container]
        self._signal((container,))
        self.start(container)
        return end, old

    def delete(self, identity: str) -> None:
        self._run("delete", identity)

    def remove(self) -> None:
        for names in (self.members, (INFRA,)):
            self._signal(names)
            with ThreadPoolExecutor(len(names)) as pool:
                list(pool.map(lambda name: self.delete(self._ids[name]), names))
        self._ids.clear()

    def _signal(self, names: tuple[str, ...]) -> None:
        refs = [PidRef(self._pids[name], start_time(self._pids[name])) for name in names]
        for ref in refs:
            os.kill(ref.pid, signal.SIGTERM)
        wait_for_end(refs)

    def end(self) -> None:
        for identity in self._ids.values():
            with suppress(RuntimeError):
                self._run("delete", "--force", identity)
        self._ids.clear()


class Bare:
    """Pods as one that ``instance`` has running, named "bench": its bundles are copied."""

    def __init__(self, work: Path, instance: Instance, marks: Marks, runtime: str, place: Place) -> None:
        self._marks = marks
        self._work = work
        self._place = place
        self._runtime = [runtime, "--root", str(VOLATILE / "state")]
        self._configs = _configs(work, instance)
        self._pod = self._new("bench", "")

    def _new(self, name: str, prefix: str) -> Pod:
        return Pod(self._work, name, prefix, self._configs, self._runtime, self._place)

    def create(self) -> float:
        self._marks.forget()
        begun = time.monotonic()
        self._pod.create()
        return self._marks.wait(self._pod.members) - begun

    def edit(self) -> tuple[float, float]:
        self._marks.forget()
        begun = time.monotonic()
        end, old = self._pod.renew(EDITED)
        new = self._marks.wait((EDITED,))
        self._pod.delete(old)
        return new - begun, new - end.at()

    def remove(self) -> float:
        begun = time.monotonic()
        self._pod.remove()
        return time.monotonic() - begun

    def create_many(self, count: int) -> float:
        """Seconds until ``count`` pods run, as many of them made at the same time as our controller has workers; they
        are removed again."""
        pods = [self._new(f"many-{number}", f"many-{number}-") for number in range(count)]
        signs = [f"many-{number}-{member}" for number in range(count) for member in self._pod.members]
        self._marks.forget()
        begun = time.monotonic()
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(Pod.create, pods))
            took = self._marks.wait(signs) - begun
            kill_all(pids_in(CGROUP))
            list(pool.map(Pod.end, pods))
        return took

    def end(self) -> None:
        self._pod.end()
        remove_cgroups(CGROUP)


def _configs(work: Path, instance: Instance) -> Configs:
    """Of the pod "bench", each with a root that is a plain copy of the image."""
    have = instance.engine.observe(Key("default", "bench"), None)
    assert have.sandbox and have.sandbox.infra
    image = instance.engine.images.get(IMAGE)
    assert image
    configs: Configs = {}
    for name, container in {INFRA: have.sandbox.infra, **{c.name: c for c in have.containers}}.items():
        config = json.loads((instance.engine.layout.container(container.id) / "config.json").read_text())
        if name != INFRA:
            root = work / "roots" / name
            root.mkdir(parents=True)
            for layer in image.layers:
                subprocess.run(["cp", "--archive", f"{layer}/.", root], check=True)
            config["root"]["path"] = str(root)
        own = str(instance.root)
        config["mounts"] = [m for m in config["mounts"] if not m.get("source", "").startswith(own)]
        configs[name] = config
    return configs
