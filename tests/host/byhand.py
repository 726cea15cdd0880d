"""Pods made by hand as commands make them: what is wanted is written down, and worked on until it is so."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reconciler.controller import by_hand
from reconciler.controller.by_hand import Bench
from reconciler.model.key import Key
from reconciler.model.observed import Container, Observed, Sandbox
from reconciler.model.spec import ContainerSpec, PodSpec, RestartPolicy, SandboxSpec
from reconciler.sources.hand import HandPod
from tests.host.instance import Instance, until

SLEEP = "exec sleep 1000"


def shell(name: str, image: str, script: str = SLEEP, **fields: Any) -> ContainerSpec:
    """A container of a shell's words; it sleeps where there are none."""
    return ContainerSpec(name, image, command=("sh", "-c", script), **fields)


@dataclass
class Hand:
    """One pod, by its name."""

    instance: Instance
    name: str = "box"

    @property
    def key(self) -> Key:
        return Key("default", self.name)

    def bench(self) -> Bench:
        """What a command works with: an engine of its own."""
        engine = self.instance.opened(self.instance.runtime)
        return Bench(engine, engine.layout)

    def apply(self, *members: ContainerSpec, sandbox: SandboxSpec | None = None, **fields: Any) -> PodSpec:
        """Have the pod with these members, and no others."""
        wanted = {"restart_policy": RestartPolicy.NEVER, "grace_period": 1, **fields}
        spec = PodSpec(self.key, sandbox or SandboxSpec(hostname=self.name), tuple(members), **wanted)
        bench = self.bench()
        by_hand.edit(bench, self.key, lambda before: replace(before or HandPod(spec), spec=spec))
        by_hand.settle(bench, self.key)
        return spec

    def remove(self) -> None:
        bench = self.bench()
        by_hand.edit(bench, self.key, lambda before: by_hand.removed(before, self.key))
        by_hand.settle(bench, self.key)

    @property
    def have(self) -> Observed:
        return self.instance.engine.observe(self.key, None)

    @property
    def sandbox(self) -> Sandbox:
        sandbox = self.have.sandbox
        assert sandbox is not None
        return sandbox

    def member(self, name: str) -> Container:
        """The newest attempt at it."""
        return max((c for c in self.have.containers if c.name == name), key=lambda c: c.attempt)

    def pid(self, name: str) -> int:
        """The process of a member that runs."""
        ref = self.member(name).pid
        assert ref is not None, f"{name} does not run"
        return ref.pid

    def inside(self, name: str, path: str) -> Path:
        """A path as a member that runs sees it."""
        return Path(f"/proc/{self.pid(name)}/root{path}")

    def said(self, name: str, *, wait: bool = True) -> str:
        """What a member wrote, when it has ended (or, without waiting, so far)."""
        if wait:
            until(lambda: self.member(name).exit, f"{name} has ended")
        lines = Path(self.member(name).log_path).read_text().splitlines()
        return "".join(f"{line.split(' ', 3)[3]}\n" for line in lines)
