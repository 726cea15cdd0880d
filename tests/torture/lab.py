"""What a run of torture has on this machine: an instance at a root of its own, a folder, a registry on loopback, and
controllers, one after the other. Everything is gone afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.engine.effects import FAULT
from reconciler.engine.runtime import Runtime
from tests.host import imagelab
from tests.host.instance import Instance, expect_nothing_left
from tests.slowness import seconds
from tests.torture import world as shadow
from tests.torture.churn import Command, Edit, Move, Remove, Spoil, Write
from tests.torture.world import IMAGES, RAN, REGISTRY, STAMP

CHECKOUT = Path(__file__).resolve().parents[2]
FAULT_SECONDS = 4.0
"""How long a controller may take to come to the place where it is to die; it may never come there."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """``below``: where labs are made. With ``keep`` the directories stay where an error ends it, and on a terminal a
    shell is opened while everything still runs."""

    below: Path = Path("/tmp")
    runtime: str = "crun"
    keep: bool = False


@dataclass
class Lab:
    """``place`` holds everything; ``options`` are for every command of the instance."""

    place: Path
    instance: Instance
    environment: dict[str, str]
    controller: subprocess.Popen[bytes] | None = None
    complaints: list[str] = field(default_factory=list)
    """Commands that failed."""

    @property
    def tag(self) -> str:
        return self.instance.engine.layout.tag

    @property
    def runtime(self) -> Runtime:
        return self.instance.engine.context.runtime

    @property
    def folder(self) -> Path:
        return self.place / "pods"

    @property
    def ran(self) -> Path:
        return self.place / "ran"

    @property
    def log(self) -> Path:
        """What the controllers wrote."""
        return self.place / "controller.log"

    def start(self, fault: str = "") -> None:
        """Another controller, which is to die at ``fault``."""
        assert self.controller is None
        more = {FAULT: fault} if fault else {}
        with self.log.open("ab") as log:
            log.write(f"--- {fault}\n".encode())
            log.flush()
            self.controller = subprocess.Popen(
                self.instance.command("watch", self.folder),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=os.environ | self.environment | more,
                start_new_session=True,  # Ctrl-C is for the run alone
            )

    def last_words(self) -> str:
        """What the controller that was started last has said, and where its threads are, if it lives."""
        if self.controller is not None and self.controller.poll() is None:
            self.controller.send_signal(signal.SIGUSR1)  # it answers with its threads' stacks, and goes on
            self.rest(1.0)
        return self.log.read_text(errors="replace").rpartition("--- ")[2]

    def kill(self) -> bool:
        """SIGKILL to the controller; False where it had ended by itself."""
        if self.controller is None:
            return False
        alive = self.controller.poll() is None
        self.controller.kill()
        self.controller.wait(seconds(30))
        self.controller = None
        return alive

    def await_fault(self) -> bool:
        """Whether the controller has met its fault within a moment."""
        if self.controller is not None:
            with suppress(subprocess.TimeoutExpired):
                self.controller.wait(seconds(FAULT_SECONDS))
                return True
        return False

    def rest(self, duration: float) -> None:
        """Let everybody work for a while: for a moment that is drawn by lot, or when nothing is at stake any more."""
        time.sleep(duration)  # nothing is waited for

    def edit(self, act: Edit) -> None:
        match act:
            case Write():
                self.write(act.file, act.text, in_place=act.in_place)
            case Remove():
                (self.folder / act.file).unlink()
            case Move():
                (self.folder / act.file).rename(self.folder / act.to)
            case Spoil():
                self.spoil_key(act.rubbish)
            case Command():
                done = self.instance.run(*act.words, env=os.environ | self.environment)
                if done.returncode:
                    self.complaints.append(f"{' '.join(act.words)}: exit code {done.returncode}: {done.stderr.strip()}")

    def spoil_key(self, rubbish: str) -> None:
        key = self.instance.engine.layout.digest_key
        if rubbish:
            key.write_text(rubbish)
        else:
            key.unlink(missing_ok=True)

    def write(self, name: str, text: str, *, in_place: bool = False) -> None:
        text = text.replace(f'"path": "{RAN}"', f'"path": "{self.ran}"')
        path = self.folder / name
        if in_place:
            path.write_text(text)
        else:
            beside = self.folder / f".{name}.new"
            beside.write_text(text)
            beside.rename(path)


@contextmanager
def registry(place: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """The example image's archive, and the environment in which ``world``'s images are found at a registry here."""
    archive = place / "busybox.tar"
    words = [sys.executable, str(CHECKOUT / "scripts/example-image"), str(archive)]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, timeout=60)
    with imagelab.registry(place / "registry") as found:
        for number in range(1, IMAGES + 1):
            name = shadow.image_name(number)
            more = imagelab.Entry(STAMP, f"{number}\n".encode())
            made = imagelab.with_more(archive, place / "made.tar", more, name=name)
            found.push(made, f"app:{number}")
        conf = place / "registries.conf"
        conf.write_text(f'[[registry]]\nprefix = "{REGISTRY}"\nlocation = "{found.address}/app"\ninsecure = true\n')
        yield archive, {"CONTAINERS_REGISTRIES_CONF": str(conf)}


@contextmanager
def lab(archive: Path, environment: dict[str, str], wishes: Wishes) -> Iterator[Lab]:
    """A lab in a directory of its own."""
    place = Path(tempfile.mkdtemp(prefix="reconciler-t", dir=wishes.below))
    place.chmod(0o711)  # the root of a pod's user namespace is somebody else to the machine
    for name in ("root", "pods", "ran"):
        (place / name).mkdir()
    made = Lab(place, Instance(place / "root", "--runtime", wishes.runtime), environment)
    try:
        made.instance.ok("image", "load", "--input", archive)
        yield made
    except BaseException as error:
        if not isinstance(error, KeyboardInterrupt) and made.log.exists():
            print(f"the last controller's words: {made.last_words()}", file=sys.stderr, flush=True)
        if wishes.keep:
            _show(made)
            raise
        _clear(made)
        raise
    _clear(made)


def _show(made: Lab) -> None:
    print(f"kept: {made.place}", flush=True)
    if sys.stdin.isatty():
        print(f"a shell beside it; `reconciler --root {made.instance.root}` is the instance", flush=True)
        subprocess.run(["bash"], cwd=made.place, check=False)


def _clear(made: Lab) -> None:
    made.kill()
    for words in (("pod", "rm"), ("rm",)):
        made.instance.run(*words, "-f", "-t", "0", "-a")
    made.instance.remove_everything()
    expect_nothing_left(made.instance.root)
    shutil.rmtree(made.place)
