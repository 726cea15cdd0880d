"""The same pod by `podman kube play`, with the same OCI runtime, in stores of its own."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.bench.marks import EDITED, MEMBERS, End, Marks
from tests.bench.place import VOLATILE, Place, kill_all, pids_in, remove_cgroups
from tests.host.instance import processes_of
from tests.host.manifests import Manifest

CONTAINERS_CONF = """\
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
events_logger = "file"
[network]
network_config_dir = "{networks}"
"""
"""The limits: where CAP_SYS_RESOURCE is missing podman's own cannot be set."""


class Podman:
    def __init__(self, work: Path, archive: Path, marks: Marks, runtime: str, place: Place) -> None:
        (work / "networks").mkdir(parents=True)
        (work / "containers.conf").write_text(CONTAINERS_CONF.format(networks=work / "networks"))
        self._environment = {**os.environ, "CONTAINERS_CONF": str(work / "containers.conf")}
        self._work = work
        self._file = work / "pod.json"
        self._marks = marks
        self._place = place
        run = VOLATILE / work.name
        self._podman = ["podman", "--root", str(work / "root"), "--runroot", str(run / "runroot")]
        self._podman += ["--tmpdir", str(run / "tmp"), "--runtime", runtime, "--cgroup-manager", "cgroupfs"]
        self._run("load", "--quiet", "--input", str(archive))

    def _run(self, *words: str) -> str:
        return self._place.run(*self._podman, *words, environment=self._environment)

    def _write(self, edition: str) -> None:
        self._file.write_text(json.dumps(self._marks.manifest(edition)))

    def create(self) -> float:
        self._write("a")
        self._marks.forget()
        begun = time.monotonic()
        self._run("kube", "play", str(self._file))
        return self._marks.wait(MEMBERS) - begun

    def edit(self) -> tuple[float, float]:
        """Podman replaces the whole pod: it is as wanted when all three run again."""
        self._write("b")
        old = End(int(self._run("inspect", "--format", "{{.State.Pid}}", f"bench-{EDITED}")))
        self._marks.forget()
        begun = time.monotonic()
        self._run("kube", "play", "--replace", str(self._file))
        new = self._marks.wait(MEMBERS)
        return new - begun, new - old.at()

    def remove(self) -> float:
        begun = time.monotonic()
        self._run("kube", "down", str(self._file))
        return time.monotonic() - begun

    def create_each(self, manifests: Mapping[str, Manifest], marks: Iterable[str]) -> float:
        """Play file after file; seconds until all ``marks`` were made."""
        files = [self._file.with_name(f"{name}.json") for name in manifests]
        for file, manifest in zip(files, manifests.values(), strict=True):
            file.write_text(json.dumps(manifest))
        self._marks.forget()
        begun = time.monotonic()
        for file in files:
            self._run("kube", "play", str(file))
        return self._marks.wait(marks) - begun

    def abandon(self) -> None:
        """Kill everything of it, the monitors first: they would each call podman to clean up."""
        kill_all(process.pid for process in processes_of(self._work))
        kill_all(pids_in("libpod_parent"))
        remove_cgroups("libpod_parent")

    def end(self) -> None:
        self._run("pod", "rm", "--all", "--force", "--time", "0")
        remove_cgroups("libpod_parent")
