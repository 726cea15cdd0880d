"""The pod of three by the OCI runtime alone: the limit to come close to.

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
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from reconciler.model.key import Key
from reconciler.model.observed import PidRef
from tests.bench.marks import EDITED, IMAGE, MEMBERS, End, Marks
from tests.bench.place import Place, remove_cgroups
from tests.host.instance import Instance, start_time, wait_for_end

CGROUP = "reconciler-bench"


class Bare:
    def __init__(self, work: Path, instance: Instance, marks: Marks, runtime: str, place: Place) -> None:
        """``instance`` must have the pod running: its bundles are copied."""
        self._runtime = [runtime, "--root", str(work / "state")]
        self._work = work
        self._marks = marks
        self._place = place
        self._attempt = 0
        self._configs: dict[str, dict[str, Any]] = {}
        self._pids: dict[str, int] = {}
        self._ids: dict[str, str] = {}
        self._take_over(instance)

    def _take_over(self, instance: Instance) -> None:
        have = instance.engine.observe(Key("default", "bench"), None)
        assert have.sandbox and have.sandbox.infra
        image = instance.engine.images.get(IMAGE)
        assert image
        for name, container in {**{c.name: c for c in have.containers}, "infra": have.sandbox.infra}.items():
            config = json.loads((instance.engine.layout.container(container.id) / "config.json").read_text())
            (self._work / name).mkdir(parents=True)
            if name != "infra":
                root = self._work / name / "rootfs"
                root.mkdir()
                for layer in image.layers:
                    subprocess.run(["cp", "--archive", f"{layer}/.", root], check=True)
                config["root"]["path"] = str(root)
            own = str(instance.root)
            config["mounts"] = [m for m in config["mounts"] if not m.get("source", "").startswith(own)]
            self._configs[name] = config

    def _bundle(self, name: str) -> Path:
        config = copy.deepcopy(self._configs[name])
        config["linux"]["cgroupsPath"] = f"/{CGROUP}/{name}-{self._attempt}"
        for namespace in config["linux"]["namespaces"]:
            if "path" in namespace:
                namespace["path"] = f"/proc/{self._pids['infra']}/ns/{namespace['path'].rpartition('/')[2]}"
        bundle = self._work / name
        (bundle / "config.json").write_text(json.dumps(config))
        return bundle

    def _run(self, *words: str | Path) -> None:
        self._place.run(*self._runtime, *words)

    def _start(self, name: str) -> None:
        pidfile = self._work / name / "pid"
        identity = f"bench-{name}-{self._attempt}"
        self._run("run", "--detach", "--bundle", self._bundle(name), "--pid-file", pidfile, identity)
        self._pids[name] = int(pidfile.read_text())
        self._ids[name] = identity

    def create(self) -> float:
        self._attempt += 1
        self._marks.forget()
        begun = time.monotonic()
        self._start("infra")
        with ThreadPoolExecutor(len(MEMBERS)) as pool:
            list(pool.map(self._start, MEMBERS))
        return self._marks.wait(MEMBERS) - begun

    def edit(self) -> tuple[float, float]:
        self._attempt += 1
        old, end = self._ids[EDITED], End(self._pids[EDITED])
        self._marks.forget()
        begun = time.monotonic()
        self._signal((EDITED,))
        self._start(EDITED)
        new = self._marks.wait((EDITED,))
        self._run("delete", old)
        return new - begun, new - end.at()

    def remove(self) -> float:
        begun = time.monotonic()
        for names in (MEMBERS, ("infra",)):
            self._signal(names)
            with ThreadPoolExecutor(len(names)) as pool:
                list(pool.map(lambda name: self._run("delete", self._ids[name]), names))
        took = time.monotonic() - begun
        self._ids.clear()
        return took

    def _signal(self, names: tuple[str, ...]) -> None:
        refs = [PidRef(self._pids[name], start_time(self._pids[name])) for name in names]
        for ref in refs:
            os.kill(ref.pid, signal.SIGTERM)
        wait_for_end(refs)

    def end(self) -> None:
        for identity in self._ids.values():
            with suppress(RuntimeError):
                self._run("delete", "--force", identity)
        remove_cgroups(CGROUP)
