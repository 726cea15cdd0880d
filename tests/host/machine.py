"""An operator who does anything, in any order, from several processes at once; and what must hold whatever he does.

Commands are the real ones, on a real instance. A command may be killed at any effect, two may run at the same time,
processes may die, the index may be lost. What a command said that succeeded counts (``wanted``); of whom a killed one
or one of two was about nothing is known (``doubtful``) until somebody puts it right (``put_right``).
"""

from __future__ import annotations

import fcntl
import os
import random
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.controller.lock import holder
from reconciler.engine.effects import FAULT
from reconciler.engine.store import addresses
from reconciler.model.key import Key
from reconciler.model.observed import ContainerState, Observed
from tests.host.instance import Instance, processes_of, until
from tests.host.manifests import Manifest, container, pod, put
from tests.slowness import seconds

PATIENCE = seconds(90.0)
"""Of one command; the slowest takes a second."""

NETWORKS = ("net1", "net2")
PORTS = (18500, 18501)
FOLDER_NAMES = ("fa", "fb", "fc")
HAND_NAMES = ("ha", "hb")
POD_NAMES = ("pa",)


@dataclass
class Operator:
    """``wanted``: pods and containers made by hand, with whether they are to run; absent names are not there.
    ``shapes``: the manifests that are in the folder."""

    instance: Instance
    folder: Path
    image: str
    effects: tuple[str, ...]
    shapes: dict[str, int] = field(default_factory=dict)
    wanted: dict[str, bool] = field(default_factory=dict)
    doubtful: set[str] = field(default_factory=set)
    history: list[str] = field(default_factory=list)

    # --- what is done -------------------------------------------------------------------------------------------------

    def manifest(self, name: str, shape: int) -> Manifest:
        """One of eight pods of that name: another program, another port, a member more."""
        ports = [{"containerPort": 80, "hostPort": PORTS[shape & 1], "protocol": "UDP"}] if shape & 2 else []
        words = ["sh", "-c", f"exec sleep {1000 + (shape & 1)}"]
        members = [container("one", self.image, command=words, ports=ports)]
        members += [container("two", self.image, command=["sh", "-c", "exec sleep 1000"])] if shape & 4 else []
        return pod(name, *members, terminationGracePeriodSeconds=0)

    def write(self, name: str, shape: int | None) -> None:
        self.history.append(f"write {name} {shape}")
        path = self.folder / f"{name}.yaml"
        if shape is None:
            self.shapes.pop(name, None)
            path.unlink(missing_ok=True)
        else:
            self.shapes[name] = shape
            put(path, self.manifest(name, shape))

    def words(self, verb: str, name: str, variant: int) -> list[str]:
        """A command about one pod or container made by hand."""
        port = ["-p", f"{PORTS[variant & 1]}:80/udp"] if variant & 2 else []
        network = ["--network", NETWORKS[variant & 1]] if variant & 4 else []
        sleeper = [self.image, "sh", "-c", "exec sleep 1000"]
        match verb, name in POD_NAMES:
            case "run" | "create", False:
                return [verb, *(["-d"] if verb == "run" else []), "--name", name, *port, *network, *sleeper]
            case "run" | "create", True:
                return ["pod", "create", "--name", name, *port, *network]
            case "join", True:
                return ["run", "-d", "--pod", name, *sleeper]
            case "join", False:
                return ["exec", name, "true"]
            case "rm", _:
                return [*self._pods(name), "rm", "-f", "-t", "0", "-i", name]
            case "stop" | "restart", False:
                return [verb, "-t", "0", name]
            case "stop", True:
                return ["pod", "stop", "-t", "0", name]
        return [*self._pods(name), verb, name]

    def _pods(self, name: str) -> list[str]:
        return ["pod"] if name in POD_NAMES else []

    def apply_words(self) -> list[str]:
        return ["apply", "--yes-prune", str(self.folder)]

    def command(self, verb: str, name: str, variant: int) -> None:
        """One command by itself: what it says is so afterwards."""
        done = self.run(self.words(verb, name, variant))
        if verb == "rm":
            assert done.returncode == 0, f"{name} is not removed: {done.stderr}"
            self.doubtful.discard(name)
        if done.returncode == 0 and name not in self.doubtful:
            self._believe(verb, name)
        elif done.returncode != 0 and name in self.wanted and verb in ("stop", "kill", "restart", "start"):
            self.doubtful.add(name)  # it may be half done: its port may be another's, say

    def _believe(self, verb: str, name: str) -> None:
        match verb:
            case "run" | "start" | "restart" if name not in POD_NAMES:
                self.wanted[name] = True
            case "create" | "run":
                self.wanted[name] = False
            case "stop" | "kill" if name not in POD_NAMES:
                self.wanted[name] = False
            case "rm":
                self.wanted.pop(name, None)

    def killed(self, words: list[str], name: str, effect: str) -> None:
        """The same, killed at an effect (where it comes to that)."""
        done = self.run(words, {FAULT: effect})
        assert done.returncode in (0, 1, 2, 125, 126, -signal.SIGKILL), done.stderr
        self.doubtful.add(name)

    def two_at_once(self, one: list[str], other: list[str], names: set[str]) -> None:
        """Two commands started together, and both awaited."""
        self.history.append(f"at once: {one} and {other}")
        both = [self._begin(words) for words in (one, other)]
        for process in both:
            _, errors = process.communicate(timeout=PATIENCE)
            assert process.returncode in (0, 1, 2, 125, 126), errors
            no_traceback(errors)
        self.doubtful |= names

    def with_a_controller(self, words: list[str], name: str, effect: str) -> None:
        """A command beside a controller of the folder, which is killed at an effect, or when the command has ended."""
        self.history.append(f"controller until {effect}")
        lock = self.instance.engine.layout.controller_lock
        command = self.instance.command("watch", self.folder)
        with (self.instance.root / "controller.log").open("w+") as log:
            controller = subprocess.Popen(command, env=os.environ | {FAULT: effect}, stdout=log, stderr=log)
            try:
                until(lambda: controller.poll() is not None or holder(lock), "the controller is at work")
                self.run(words)
            finally:
                controller.kill()
                controller.wait()
            log.seek(0)
            no_traceback(log.read())
        self.doubtful.add(name)

    def _begin(self, words: list[str]) -> subprocess.Popen[str]:
        command = self.instance.command(*words)
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, words: list[str], environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        told = f" with {environment[FAULT]}" if environment else ""
        self.history.append(f"{' '.join(words)}{told}")
        options = {"env": os.environ | environment} if environment else {}
        done = self.instance.run(*words, timeout=PATIENCE, **options)
        self.history.append(f"    = {done.returncode} {done.stderr.strip()[:200]}")
        no_traceback(done.stderr)
        return done

    def kill_a_process(self, dice: random.Random) -> None:
        """The process of one container, whichever."""
        running = sorted(
            (str(key), c.name, c.pid.pid)
            for key, have in self.everything()
            for c in have.containers
            if c.state is ContainerState.RUNNING and c.pid
        )
        if running:
            key, name, pid = dice.choice(running)
            self.history.append(f"kill {key}/{name}")
            self.doubtful |= {key.partition("/")[2]} & {*self.wanted}
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def lose_the_index(self) -> None:
        self.history.append("lose the index")
        path = self.instance.engine.layout.database
        self.instance.engine.context.store.close()
        for file in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
            file.unlink(missing_ok=True)
        self.instance.__dict__["engine"] = self.instance.opened()

    # --- what must hold -----------------------------------------------------------------------------------------------

    def everything(self) -> Iterator[tuple[Key, Observed]]:
        engine = self.instance.engine
        recorded = engine.keys()
        for key in recorded:
            yield key, engine.observe(key, None)

    def expect_order(self) -> None:
        """At any time, when no command of ours is at work: whatever was killed, and whatever is half done."""
        self.calm()
        pods = [*self.everything()]
        self._nothing_doubled(pods)
        self._names_are_unique()
        self._addresses_are_unique(pods)
        self._ports_are_held_once()
        self._no_lock_is_left()

    def calm(self) -> None:
        """Until what monitors called when something ended is through."""

        def idle() -> bool:
            return not any(" system ended " in f" {p.command} " for p in processes_of(self.instance.root))

        until(idle, "what monitors called has ended", 60)

    def _nothing_doubled(self, pods: list[tuple[Key, Observed]]) -> None:
        for key, have in pods:
            alive = Counter(c.name for c in have.containers if c.state is ContainerState.RUNNING)
            assert all(count == 1 for count in alive.values()), f"{key}: {alive}"
        counted = Counter(c.id for _, have in pods for c in have.containers)
        assert all(count == 1 for count in counted.values()), counted

    def _names_are_unique(self) -> None:
        names = [one for one in self.instance.engine.names() if one.key.name in {*HAND_NAMES, *POD_NAMES}]
        counted = Counter(one.key for one in names)
        assert all(count == 1 for count in counted.values()), counted

    def _addresses_are_unique(self, pods: list[tuple[Key, Observed]]) -> None:
        sandboxes = [have.sandbox for _, have in pods if have.sandbox is not None]
        used = Counter(ip for box in sandboxes for ip in (box.ip, box.ip6) if ip and not box.ended)
        assert all(count == 1 for count in used.values()), used
        leased = Counter(ip for one in addresses.leases(self.instance.engine.context.store).values() for ip in one.ips)
        assert all(count == 1 for count in leased.values()), leased

    def _ports_are_held_once(self) -> None:
        held: Counter[int] = Counter()
        for table in ("udp", "udp6"):
            for line in Path("/proc/net", table).read_text().splitlines()[1:]:
                held[int(line.split()[1].rpartition(":")[2], 16)] += 1
        assert all(held[port] <= 1 for port in PORTS), held

    def _no_lock_is_left(self) -> None:
        def free() -> bool:
            return all(map(is_free, self.instance.engine.layout.locks.iterdir()))

        until(free, "no pod's lock is held")

    # --- how it is put right ------------------------------------------------------------------------------------------

    def put_right(self) -> None:
        """What an operator does who wants to know where he stands: the folder is applied, and what nothing is known of
        is removed. Then all is as it was said, nothing is left to do, and nothing is left over."""
        for name in sorted(self.doubtful):
            done = self.run(self.words("rm", name, 0))
            assert done.returncode == 0, done.stderr
            self.wanted.pop(name, None)
        self.doubtful.clear()
        self.calm()
        self._apply()
        for name, running in self.wanted.items():
            self._expect_by_hand(name, running)
        for words in (["diff", str(self.folder)], ["system", "check"]):
            done = self.run(words)
            assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"

    def _apply(self) -> None:
        """Of two pods that want one port the later one would wait for it: here it does without."""
        taken = {
            port.host_port
            for key, have in self.everything()
            if key.name in {*HAND_NAMES, *POD_NAMES} and have.sandbox is not None
            for port in have.sandbox.applied.sandbox.ports
        }
        for name, shape in sorted(self.shapes.items()):
            if shape & 2 and PORTS[shape & 1] in taken:
                self.write(name, shape & ~2)
            elif shape & 2:
                taken.add(PORTS[shape & 1])
        done = self.run(["apply", "--wait", "--yes-prune", "--timeout", "60", str(self.folder)])
        assert done.returncode == 0, done.stdout + done.stderr

    def _expect_by_hand(self, name: str, running: bool) -> None:
        have = self.instance.engine.observe(Key("default", name), None)
        assert have.sandbox is not None, f"{name} is gone"
        if name not in POD_NAMES:
            states = [c.state is ContainerState.RUNNING for c in have.containers if c.name]
            assert states == [running], f"{name} is {'not ' if running else ''}running: {have.containers}"

    def clear(self) -> None:
        """As it was before the first step."""
        for name in FOLDER_NAMES:
            self.write(name, None)
        self.doubtful |= {*HAND_NAMES, *POD_NAMES}
        self.put_right()
        for network in NETWORKS:
            self.run(["network", "rm", "-f", network])
        assert self.instance.engine.keys() == ()


def no_traceback(errors: str) -> None:
    assert "Traceback" not in errors and "mistake in reconciler" not in errors, errors


def is_free(lock: Path) -> bool:
    try:
        fd = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True
