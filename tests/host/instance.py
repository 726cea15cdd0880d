"""One instance of reconciler as a test handles it: commands, a controller in the background, processes to compare."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import pytest

from reconciler.engine import cgroups, check, processes
from reconciler.engine.context import Settings
from reconciler.engine.engine import Engine
from reconciler.engine.layout import Layout
from reconciler.model.actions import KillContainer, StopContainer
from reconciler.model.desired import Absent
from reconciler.model.errors import Busy
from reconciler.model.key import Key
from reconciler.model.observed import Container, ContainerState, HostFacts, PidRef
from reconciler.plan.pod_actions import compute_pod_actions
from tests.host import forks
from tests.host.groups import below_mounts
from tests.slowness import seconds

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds that anything a test waits for may take on a busy machine; usually it takes a tenth of one."""

CONMON = Path(os.environ["RECONCILER_TEST_CONMON"]) if "RECONCILER_TEST_CONMON" in os.environ else None
"""The monitor program that all instances are to use, by --conmon; None: our own."""

OURS_ONLY = pytest.mark.skipif(
    CONMON is not None, reason="only our conmon has it: a zygote, counted kills, logs that rotate"
)

DEADLINE = seconds(PATIENCE)


class Instance:
    """``run`` calls the command line; ``watch`` starts a controller; the rest looks at what is there."""

    def __init__(self, root: Path, *options: str) -> None:
        """``options``: more global options of the command line."""
        self.root = root
        self._options = (*(("--conmon", str(CONMON)) if CONMON else ()), *options)
        self._controllers: list[subprocess.Popen[str]] = []

    @cached_property
    def engine(self) -> Engine:
        return self.opened(self.runtime)

    def opened(self, runtime: str | None = None) -> Engine:
        """A new engine, as another process would have it."""
        return Engine.open(Settings(root=self.root, runtime=runtime, conmon=self.conmon))

    @property
    def runtime(self) -> str | None:
        """The OCI runtime that the options ask for."""
        return self._option("--runtime")

    @property
    def conmon(self) -> Path | None:
        """The monitor program that the options ask for."""
        path = self._option("--conmon")
        return Path(path) if path else None

    def _option(self, name: str) -> str | None:
        return dict(zip(self._options, self._options[1:], strict=False)).get(name)

    def command(self, *arguments: object) -> list[str]:
        words = [*self._options, *map(str, arguments)]
        return [sys.executable, "-m", "reconciler", "--root", str(self.root), *patient(words)]

    def run(self, *arguments: object, timeout: float = 90, **options: Any) -> subprocess.CompletedProcess[str]:
        if forks.WANTED and not options:
            return forks.run(self.command(*arguments)[3:], seconds(timeout))
        return subprocess.run(
            self.command(*arguments), capture_output=True, text=True, timeout=timeout, check=False, **options
        )

    def ok(self, *arguments: object, timeout: float = 90) -> str:
        """The output of a command that must succeed."""
        done = self.run(*arguments, timeout=timeout)
        assert done.returncode == 0, f"{arguments}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def in_vain(self, folder: Path, *said: str | re.Pattern[str], limit: int = 4) -> subprocess.CompletedProcess[str]:
        """``apply --wait`` of what does not get as it is wanted, which is to say all of this: with more and more time,
        as a busy machine needs it to come so far."""
        for seconds_given in (limit, 4 * limit, 16 * limit):
            done = self.run("apply", "--wait", "--timeout", seconds_given, folder, timeout=seconds_given + 90)
            told = done.stdout + done.stderr
            assert done.returncode == 1, told
            missing = [each for each in said if not re.search(re.escape(each) if isinstance(each, str) else each, told)]
            if not missing:
                return done
        raise AssertionError(f"{missing} is not in {told}")

    def watch(self, *folders: Path | str) -> subprocess.Popen[str]:
        """A controller in the background (options of ``watch`` may come first); its log is ``controller.log`` in the
        root."""
        log = (self.root / "controller.log").open("a")
        with log:
            process = subprocess.Popen(self.command("watch", *folders), stdout=log, stderr=log, text=True)
        self._controllers.append(process)
        return process

    def stop_controllers(self) -> None:
        for process in self._controllers:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        for process in self._controllers:
            try:
                process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise

    def containers(self, pod: str, namespace: str = "default") -> dict[str, Container]:
        """The newest attempt at each member, by name."""
        have = self.engine.observe(Key(namespace, pod), None)
        return {c.name: c for c in sorted(have.containers, key=lambda c: c.attempt)}

    def running(self, pod: str, namespace: str = "default") -> dict[str, PidRef]:
        """Process (with its start time) of each running member, and "infra"."""
        have = self.engine.observe(Key(namespace, pod), None)
        everything = {c.name: c for c in have.containers if c.state is ContainerState.RUNNING}
        if have.sandbox and have.sandbox.infra_up and have.sandbox.infra:
            everything["infra"] = have.sandbox.infra
        return {name: c.pid for name, c in everything.items() if c.pid is not None}

    def leaks(self) -> tuple[check.Leak, ...]:
        """What ``system check`` would still find when a busy machine has had its time."""
        return check.check(self.engine.context, DEADLINE)

    def remove_everything(self) -> None:
        """Kill and remove all pods, by the plan that a removed manifest gets, with no grace."""
        recorded = self.engine.keys()
        for key in recorded:
            until(lambda key=key: self._removed(key), f"pod {key} is removed")
        end_zygote(self.root)

    def _removed(self, key: Key) -> bool:
        engine = self.engine
        with engine.lock(key) as lock:
            while (have := engine.observe(key, None)).sandbox is not None:
                steps = compute_pod_actions(Absent(), have, HostFacts(), engine.context.clock.now()).steps
                dying = [c for c in have.containers if c.state is ContainerState.RUNNING]
                for step in steps:
                    if isinstance(step, StopContainer):
                        engine.perform(lock, KillContainer(step.container, step.name, step.reason))
                    else:
                        engine.perform(lock, step)
                if not steps:
                    for container in dying:
                        engine.perform(lock, KillContainer(container.id, container.name, _REASON))
                    wait_for_end([c.pid for c in dying if c.pid])
                    return False
        return True


def _reason() -> Any:
    from reconciler.model.actions import Reason, Why

    return Reason(Why.REMOVED, "the test is over")


_REASON = _reason()


def checked(made: Instance) -> Iterator[Instance]:
    """For a fixture: afterwards controllers are stopped, pods killed and removed, and ``system check`` must have
    nothing to say."""
    yield made
    try:
        made.stop_controllers()
        leaks = made.leaks()
    finally:
        made.remove_everything()
    assert leaks == (), f"while pods were there: {[str(leak) for leak in leaks]}"
    after = made.leaks()
    assert after == (), f"after their removal: {[str(leak) for leak in after]}"


@contextmanager
def fresh_instance(images: Path, *options: str) -> Iterator[Instance]:
    """One more instance, at a root of its own that nothing was ever run in; ``images`` is a store to start from,
    ``options`` are for every command."""
    root = Path(tempfile.mkdtemp(prefix="reconciler-t", dir="/tmp"))
    root.chmod(0o711)
    try:
        (root / "state").mkdir()
        subprocess.run(["cp", "--archive", "--link", images, root / "state" / "images"], check=True, timeout=60)
        made = Instance(root, *options)
        try:
            yield made
        finally:
            made.remove_everything()
        expect_nothing_left(root)
    finally:
        remove_tree(root)


def remove_tree(path: Path) -> None:
    """Also while the interpreter collects an engine of this process, whose index takes its -wal and -shm with it."""

    def gone(_function: object, _name: str, failure: tuple[object, BaseException, object]) -> None:
        if not isinstance(failure[1], FileNotFoundError):
            raise failure[1]

    shutil.rmtree(path, onerror=gone)


def patient(words: list[str]) -> list[str]:
    """A command line whose ``--timeout`` is one of this machine's slowness."""
    return [
        f"{seconds(float(word)):g}" if before == "--timeout" and word.isdecimal() else word
        for before, word in zip(["", *words], words, strict=False)
    ]


def until(condition: Callable[[], T], what: str, patience: float = PATIENCE) -> T:
    """The first true answer of ``condition``, which is asked again and again (tests cannot subscribe to all there is).

    Fails saying ``what`` did not come to be. ``patience``: seconds on a machine of our days.
    """
    deadline = seconds(patience)
    end = time.monotonic() + deadline
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < end, f"after {deadline:.0f} s still not: {what}"
        select.select([], [], [], 0.02)


def wait_for_end(pids: list[PidRef], deadline: float = DEADLINE) -> None:
    """Until none of the processes runs (a pid that is somebody else's by now has ended)."""
    end = time.monotonic() + deadline
    for ref in pids:
        assert processes.wait_gone(ref, max(0.0, end - time.monotonic())), f"process {ref.pid} has not ended"


def start_time(pid: int) -> int:
    """Field 22 of /proc/PID/stat; 0 for a process that is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return 0


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    command: str


def processes_of(root: Path) -> Iterator[Process]:
    """Every process that names the root in its command line, or works in it."""
    text = str(root)
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            cwd = str((entry / "cwd").readlink())
            if f"{text}/" in f"{command}/".replace(" ", "/") or f"{cwd}/".startswith(f"{text}/"):
                yield Process(int(entry.name), command)


def end_zygote(root: Path) -> None:
    """The root's zygote would end by itself after half a minute without monitors."""
    for process in processes_of(root):
        if "--zygote" in process.command:
            ref = PidRef(process.pid, start_time(process.pid))
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)
            wait_for_end([ref])


def expect_nothing_left(root: Path) -> None:
    """No process, cgroup, link, nft table or mount of the instance at ``root`` may be there."""
    tag = Layout.at(root).tag
    end_zygote(root)
    until(lambda: _removed_instance(tag), "nobody is in the instance's cgroup: what was killed may still be dying")
    left: list[str] = []

    def look() -> bool:
        left[:] = [*map(str, processes_of(root)), *_cgroups(tag), *_links(tag), *_tables(tag), *_mounts(root)]
        return not left

    try:
        until(look, "nothing is left")
    except AssertionError:
        raise AssertionError(f"left behind by the instance {tag} at {root}: {left}") from None
    assert not (hidden := below_mounts(tag)), hidden


def _removed_instance(tag: str) -> bool:
    try:
        cgroups.remove_instance(tag)
    except Busy:
        return False
    return True


def _cgroups(tag: str) -> Iterator[str]:
    for hierarchy in (Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir()):
        if hierarchy.is_dir():
            for pods in (f"reconciler-{tag}*/**/pod-*", f"reconciler.slice/reconciler-{tag}*/**/*pod*.slice"):
                yield from (f"cgroup {path}" for path in hierarchy.glob(pods))


def _links(tag: str) -> Iterator[str]:
    from reconciler.engine.network import pod

    yield from (f"link {link.name}" for link in pod.links(tag))


def _tables(tag: str) -> Iterator[str]:
    from reconciler.engine.network import portmap

    yield from (f"nft element {element}" for element in portmap.current(tag))


def _mounts(root: Path) -> Iterator[str]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if line.split()[4].startswith(f"{root}/"):
            yield f"mount {line.split()[4]}"
