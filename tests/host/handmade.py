"""Pods as they are made by hand, step by step: the engine is told what a plan would tell it."""

from __future__ import annotations

import os
import select
import signal
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from reconciler.engine.effects import FAULT, TRACE, read_environment
from reconciler.engine.engine import Engine
from reconciler.model.actions import (
    Action,
    CreateContainer,
    CreateSandbox,
    KillContainer,
    Reason,
    RenewContainer,
    RenewSandbox,
    SetUpNetwork,
    StartContainer,
    Why,
)
from reconciler.model.key import HAND, Key
from reconciler.model.observed import Container, ContainerState, Observed, Sandbox
from reconciler.model.spec import ContainerSpec, PodSpec, SandboxSpec
from tests.host.instance import Instance, until, wait_for_end

ASKED = Reason(Why.BY_HAND, "a test asked for it")
SLEEP = ("sh", "-c", "exec sleep 1000")


def member(name: str, image: str, *command: str, **fields: Any) -> ContainerSpec:
    """A container of a shell's words; it sleeps where there are none."""
    return ContainerSpec(name, image, command=("sh", "-c", *command) if command else SLEEP, **fields)


@dataclass
class ByHand:
    """A pod that is kept, of one instance. ``turns``: how often each member was made."""

    instance: Instance
    spec: PodSpec
    turns: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, instance: Instance, *members: ContainerSpec, name: str = "box", **sandbox: Any) -> ByHand:
        spec = PodSpec(Key("default", name), sandbox=SandboxSpec(hostname=name, **sandbox), containers=members)
        return cls(instance, replace(spec, keep=True, grace_period=1))

    @property
    def engine(self) -> Engine:
        return self.instance.engine

    @property
    def have(self) -> Observed:
        """As the holder of the pod's lock sees it."""
        with self.engine.lock(self.spec.key):
            return self.engine.observe(self.spec.key, self.spec)

    @property
    def sandbox(self) -> Sandbox:
        sandbox = self.have.sandbox
        assert sandbox is not None
        return sandbox

    @property
    def infra(self) -> Container:
        infra = self.sandbox.infra
        assert infra is not None
        return infra

    def member(self, name: str) -> Container:
        (found,) = (c for c in self.have.containers if c.name == name)
        return found

    def perform(self, *actions: Action) -> None:
        with self.engine.lock(self.spec.key) as lock:
            for action in actions:
                self.engine.perform(lock, action)

    def create(self, *, start: bool = True) -> None:
        """The infra container."""
        self.perform(CreateSandbox(self.spec, HAND, ASKED, start=start))

    def set_up(self) -> None:
        """Start the infra container where it waits, and set up the network."""
        infra = self.infra
        if infra.state is ContainerState.CREATED:
            self.perform(StartContainer(infra.id, infra.name, ASKED))
        self.perform(SetUpNetwork(self.sandbox.id, ASKED))

    def add(self, name: str, *, start: bool = True) -> Container:
        """A member that is not there yet."""
        self.turns[name] = 1
        self.perform(CreateContainer(self.sandbox.id, name, 0, self.spec, ASKED, turn=1))
        made = self.member(name)
        if start:
            self.perform(StartContainer(made.id, name, ASKED))
        return self.member(name)

    def again(self, name: str, *, start: bool = True, **numbers: Any) -> Container:
        """A member that has ended, made again."""
        self.perform(self.renewal(name, **numbers))
        made = self.member(name)
        if start:
            self.perform(StartContainer(made.id, name, ASKED))
        return self.member(name)

    def renewal(self, name: str, **numbers: Any) -> RenewContainer:
        """The step that makes a member again: its next turn."""
        self.turns[name] += 1
        turn = {"turn": self.turns[name]}
        return RenewContainer(self.member(name).id, self.sandbox.id, name, self.spec, ASKED, **{**turn, **numbers})

    def stop(self) -> None:
        """The members, and the infra container; all is kept."""
        living = [c for c in self.have.containers if c.state.can_signal()]
        for container in (*living, self.infra):
            self.kill(container)

    def revive(self, *, start: bool = True) -> None:
        """The infra container, made again."""
        self.perform(RenewSandbox(self.sandbox.id, self.spec, ASKED, start=start))

    def kill(self, container: Container) -> None:
        """With a command's KILL, and wait for its end."""
        self.perform(KillContainer(container.id, container.name, ASKED))
        self.await_end(container)

    def await_end(self, container: Container) -> Container:
        """The container when it has ended and its monitor has told how."""
        assert container.pid is not None
        wait_for_end([container.pid])

        def look() -> Container | None:
            everything = (*self.have.containers, self.infra)
            now = next(c for c in everything if c.id == container.id)
            return now if now.state is ContainerState.EXITED else None

        ended = until(look, f"{container.name} has ended")
        assert ended is not None
        return ended

    def log(self, container: Container) -> str:
        """What it wrote, without times and tags."""
        lines = Path(container.log_path).read_text().splitlines()
        return "".join(f"{line.split(' ', 3)[3]}\n" for line in lines)

    def die(self, action: Action, fault: str) -> bool:
        """Perform it in a process of its own that is killed at ``fault``; whether it was. What else goes wrong there
        is raised here."""
        return self._apart(action, {FAULT: fault}) == -signal.SIGKILL

    def die_after(self, action: Action, seconds: float) -> None:
        """Begin to perform it in a process of its own, which is killed then if it has not done it."""
        pid = self._fork(action, {})
        fd = os.pidfd_open(pid)
        try:
            select.select([fd], [], [], seconds)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        finally:
            os.close(fd)

    def effects(self, action: Action, trace: Path) -> list[str]:
        """Perform it; the effects that it passes through, as the faults that kill right after each."""
        trace.unlink(missing_ok=True)
        assert self._apart(action, {TRACE: str(trace)}) == 0
        names = trace.read_text().split()
        return [f"{name}:after:{names[:n].count(name) + 1}" for n, name in enumerate(names)]

    def _apart(self, action: Action, environment: dict[str, str]) -> int:
        reader, writer = os.pipe2(os.O_CLOEXEC)
        pid = self._fork(action, environment, writer)
        os.close(writer)
        with open(reader, "rb") as said:
            words = said.read().decode()
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert status in (0, -signal.SIGKILL), f"{action}: {words}"
        return status

    def _fork(self, action: Action, environment: dict[str, str], errors: int = 2) -> int:
        pid = os.fork()
        if pid == 0:
            os.environ.update(environment)
            read_environment()
            try:
                engine = self.instance.opened(self.instance.runtime)
                with engine.lock(self.spec.key) as lock:
                    engine.perform(lock, action)
                os._exit(0)
            except BaseException as error:
                os.write(errors, repr(error).encode())
            finally:
                os._exit(1)
        return pid
