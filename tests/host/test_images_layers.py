"""Layers in all their shapes: many of them, and what podman makes of the same image."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.engine.images.images import Images
from tests.host import imagelab as lab
from tests.host.imagelab import Entry, layer
from tests.host.instance import Instance

pytestmark = pytest.mark.host

MANY = """
apiVersion: v1
kind: Pod
metadata: {name: many}
spec:
  restartPolicy: Never
  containers:
  - name: c
    image: localhost/many:1
    command: [/bin/sh, -c, 'cat /last; ls /f | wc -l; echo new > /f/f7; cat /f/f7 /f/f8']
"""

MOUNT = """
import errno, os, sys
from conmon import libc, overlay
if sys.argv[1] == "old":
    def fsopen(fstype):
        raise OSError(errno.ENOSYS, "as before Linux 5.2")
    libc.fsopen = fsopen
os.chdir(sys.argv[2])
libc.unshare(libc.CLONE_NEWNS)
libc.mount(b"none", b"/", b"", libc.MS_REC | libc.MS_PRIVATE, b"")
place, *lowers = sys.argv[3:]
overlay.mount(*(f"{place}/{name}".encode() for name in ("root", "upper", "work")), [name.encode() for name in lowers])
os.chdir(f"{place}/root")
look = "cat last; ls f | wc -l; test -e gone || echo went; echo new > f/f7; cat f/f7 f/f8; ls -d ../root-* | wc -l"
os.execvp("sh", ["sh", "-c", look])
"""


@pytest.fixture(scope="session")
def many(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of 200 layers in OCI layout: busybox, and 199 changes."""
    images = Images(tmp_path_factory.mktemp("busybox"), lab.CLOCK)
    (busybox,) = images.load(archive)
    packed = subprocess.run(["tar", "-c", "-C", busybox.layers[0], "."], check=True, capture_output=True, timeout=60)
    changes = [layer(lab.folder("f"), Entry(f"f/f{n}", b"%d\n" % n), Entry("last", b"%d\n" % n)) for n in range(198)]
    layers = [packed.stdout, layer(Entry("gone")), *changes[:-1], layer(Entry(".wh.gone"), Entry("last", b"end\n"))]
    return lab.oci_layout(tmp_path_factory.mktemp("many") / "oci", layers, "plain", name="localhost/many:1")


def test_a_container_runs_from_200_layers(instance: Instance, folder: Path, many: Path) -> None:
    instance.ok("image", "load", "-i", many)
    (folder / "many.yaml").write_text(MANY)
    instance.ok("apply", "--wait", folder)
    assert instance.ok("logs", "many").split() == ["end", "197", "new", "8"]


@pytest.mark.parametrize(("kernel", "groups"), [("new", "0"), ("old", "1")])
def test_layers_too_many_for_a_page_are_mounted_one_by_one_or_in_groups(
    many: Path, tmp_path: Path, kernel: str, groups: str
) -> None:
    images = Images(tmp_path / "images", lab.CLOCK)
    (image,) = images.load(many)
    for name in ("root", "upper", "work"):
        (tmp_path / name).mkdir()
    directory, names = images.overlay_lowers(image)
    argv = [sys.executable, "-c", MOUNT, kernel, directory, tmp_path, *names]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["end", "197", "went", "new", "8", groups], done.stderr
