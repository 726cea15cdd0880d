"""What a monitor runs when its container has ended: when, where, and that it keeps nobody from anything."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.engine.context import Settings
from reconciler.engine.engine import Engine
from reconciler.model.actions import RemoveContainer
from reconciler.model.observed import ContainerState, PidRef
from tests.host.conformance.programs import CONMONS
from tests.host.handmade import ASKED, ByHand, member
from tests.host.instance import Instance, checked, start_time, until
from tests.host.lives import monitor_of

pytestmark = pytest.mark.host

HANG = "echo $$ >{0}.new; mv {0}.new {0}; mkfifo {0}.never; read _ <{0}.never"
A_WHILE = 8.0
"""Seconds: much less than what is waited for where somebody hangs."""


@pytest.fixture(params=CONMONS)
def instance(root: Path, request: pytest.FixtureRequest) -> Iterator[Instance]:
    yield from checked(Instance(root, *request.param))


@pytest.fixture
def ending(instance: Instance, image: str) -> Callable[[str], ByHand]:
    """A pod of one member that runs; what is said to a shell is run when that has ended, with its id as ``$2``."""

    def make(script: str) -> ByHand:
        words = ("/bin/sh", "-c", script, "sh", "ended")
        settings = Settings(root=instance.root, conmon=instance.conmon, ended=words)
        instance.__dict__["engine"] = Engine.open(settings)
        pod = ByHand.of(instance, member("one", image))
        pod.create()
        pod.set_up()
        pod.add("one")
        return pod

    return make


def _said(file: Path) -> list[str]:
    """What is in a file that is renamed into its place."""
    return until(lambda: file.exists() and file.read_text().splitlines(), f"{file.name} is written")


def test_it_runs_when_all_is_told_in_a_clean_place(ending: Callable[[str], ByHand], root: Path, tmp_path: Path) -> None:
    """As nobody's child of ours: no variables of this process, and in no cgroup of the container's."""
    out = tmp_path / "out"
    look = f"cat {root}/run/exits/$2; echo; pwd; cat /proc/self/cgroup; env; ls /proc/self/fd | wc -l"
    pod = ending(f"{{ {look}; }} >{out}.new 2>&1; mv {out}.new {out}")
    one = pod.member("one")
    pod.kill(one)
    said = _said(out)
    assert said[:2] == ["137", "/"]
    assert not any(one.id in line for line in said)
    assert any(line.startswith("PATH=") for line in said)
    assert not any(line.startswith(("PYTEST_", "HOME=", "RECONCILER_")) for line in said)
    assert int(said[-1]) <= 4, "the three and the directory"


def _hangs(pod: ByHand, begun: Path) -> PidRef:
    """The exit command of the member, which has been killed; it never ends by itself."""
    pod.kill(pod.member("one"))
    pid = int(_said(begun)[0])
    return PidRef(pid, start_time(pid))


def _lives(ref: PidRef) -> bool:
    return bool(ref.start) and start_time(ref.pid) == ref.start


def test_one_that_hangs_keeps_nobody_from_renewing(ending: Callable[[str], ByHand], tmp_path: Path) -> None:
    """Whoever renews the container does what it was to do; it is ended, and its monitor with it."""
    begun = tmp_path / "begun"
    pod = ending(HANG.format(begun))
    monitor = monitor_of(pod.instance, pod.member("one"))
    command = _hangs(pod, begun)
    before = time.monotonic()
    again = pod.again("one")
    assert time.monotonic() - before < A_WHILE
    assert again.state is ContainerState.RUNNING
    until(lambda: not _lives(command) and not _lives(monitor), "they have ended")
    assert pod.instance.leaks() == ()


def test_one_that_hangs_keeps_nobody_from_removing(ending: Callable[[str], ByHand], tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    pod = ending(HANG.format(begun))
    command = _hangs(pod, begun)
    one = pod.member("one")
    before = time.monotonic()
    pod.perform(RemoveContainer(one.id, "one", ASKED))
    assert time.monotonic() - before < A_WHILE
    assert pod.have.containers == ()
    until(lambda: not _lives(command), "it has ended")
    assert pod.instance.leaks() == ()


def test_the_infra_container_and_pods_of_manifests_have_none(ending: Callable[[str], ByHand], tmp_path: Path) -> None:
    out = tmp_path / "out"
    pod = ending(f"echo $2 >>{out}")
    pod.stop()
    assert _said(out) == [pod.member("one").id]
