"""What host tests share: an instance of their own, the example image in it, its command line, and the proof that
nothing of it is left afterwards.

Each pytest worker lives in mount and network namespaces of its own, so workers cannot meet, and nothing that a test
does can reach the machine's network or mounts. cgroups and processes are the machine's: those are looked for by name.
"""

from __future__ import annotations

import faulthandler
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key

from reconciler.engine.context import Settings
from reconciler.engine.engine import Engine
from reconciler.engine.layout import Layout
from reconciler.engine.monitors import Monitors
from reconciler.linux.syscalls import KERNEL, MountFlag, Namespace
from tests.host import instance as instances
from tests.host.conmon_box import Box
from tests.host.instance import Instance
from tests.host.rebooting import rebooting
from tests.slowness import seconds

CHECKOUT = Path(__file__).resolve().parents[2]
IMAGE = "localhost/reconciler/busybox:1"
OTHER_IMAGE = "localhost/reconciler/busybox:2"


LONG = "test_kills.py test_torture.py test_reboot.py test_state_machine.py *"
ORDER = os.environ.get("RECONCILER_TEST_ORDER", LONG).split()
"""Files in the order of their running; * for all others. Those whose tests take minutes are begun first: so they are
through when the many short ones are."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(ORDER)}
    items.sort(key=lambda item: places.get(item.path.name, places["*"]))


CLEARING = seconds(180.0)
"""Seconds that clearing up after one test may take. pytest-timeout does not count there once the test has failed."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """Where clearing up hangs, say in which line of which thread, and give the worker up: the rest is run by others."""
    faulthandler.dump_traceback_later(CLEARING, exit=True, file=item.config.stash[fault_handler_stderr_fd_key])
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.fixture(scope="session", autouse=True)
def own_namespaces() -> None:
    """Leave the machine's mounts and network for good."""
    if os.geteuid() != 0:
        return
    KERNEL.unshare(Namespace.MOUNT | Namespace.NETWORK)
    KERNEL.mount("", "/", "", MountFlag.REC | MountFlag.PRIVATE)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True, timeout=30)


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example image, made as scripts/up makes it."""
    return make_image(tmp_path_factory.mktemp("image") / "busybox.tar")


@pytest.fixture(scope="session")
def loaded_images(archive: Path, own_namespaces: None) -> Iterator[Path]:
    """An image store that holds the example image under two names, for roots to start from."""
    root = short_directory()
    images = Engine.open(Settings(root=root)).images
    images.load(archive)
    images.load(make_image(archive.with_name("other.tar"), "--name", OTHER_IMAGE))
    yield Layout.at(root).images
    instances.remove_tree(root)


@pytest.fixture
def root() -> Iterator[Path]:
    """A root of the test's own, with a short path; gone afterwards, with all that carried its tag."""
    path = short_directory()
    yield path
    try:
        instances.expect_nothing_left(path)
    finally:
        instances.remove_tree(path)


@pytest.fixture
def image(root: Path, loaded_images: Path) -> str:
    """The example image's name; it is in the root's store (hard links: half a millisecond a file)."""
    target = Layout.at(root).images
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "--archive", "--link", loaded_images, target], check=True, timeout=60)
    return IMAGE


@pytest.fixture
def instance(root: Path) -> Iterator[Instance]:
    """The root's command line and engine."""
    yield from instances.checked(Instance(root))


@pytest.fixture
def reboot(instance: Instance, tmp_path: Path) -> Iterator[Callable[[], None]]:
    """Call it to end everything as a power failure would."""
    yield from rebooting(instance, tmp_path)


@pytest.fixture
def engine(instance: Instance) -> Engine:
    return instance.engine


@pytest.fixture
def reconciler(instance: Instance) -> Callable[..., subprocess.CompletedProcess[str]]:
    """``reconciler("ps", "-a")``: the command line on the root, its output captured."""
    return instance.run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder for manifests."""
    path = tmp_path / "pods"
    path.mkdir()
    return path


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    """Containers by a real runtime, for a monitor to be tried on without the engine."""
    made = Box(tmp_path, "crun")
    yield made
    made.clear()


@pytest.fixture
def monitors(box: Box) -> Monitors:
    return Monitors(box.layout, enter_cgroup=box.own)


def make_image(path: Path, *options: str) -> Path:
    subprocess.run([sys.executable, CHECKOUT / "scripts/example-image", path, *options], check=True, timeout=60)
    return path


def short_directory() -> Path:
    """Short, because socket names and overlay options are limited; named so that scripts/leftovers.py knows it."""
    path = Path(tempfile.mkdtemp(prefix="reconciler-t", dir="/tmp"))
    path.chmod(0o711)  # the root of a pod's user namespace is somebody else to the machine
    return path
