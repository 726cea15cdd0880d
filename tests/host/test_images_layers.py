"""Layers in all their shapes: many of them, and what podman makes of the same image."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.engine.images.images import Images
from tests.host import imagelab as lab
from tests.host.conftest import short_directory
from tests.host.imagelab import Entry, Shown, layer
from tests.host.imagelab import shown as shown  # a fixture
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
    if kernel == "new" and not _takes_one_by_one():
        groups = "1"
    assert done.stdout.split() == ["end", "197", "went", "new", "8", groups], done.stderr


def _takes_one_by_one() -> bool:
    """Whether overlayfs knows lowerdir+: since Linux 6.7."""
    major, minor, *_ = os.uname().release.split(".")
    return (int(major), int(minor)) >= (6, 7)


CAPABILITY = b"\x01\x00\x00\x02\x01\x00\x00\x00" + bytes(12)
"""security.capability: cap_chown, permitted and effective (capabilities(7), VFS_CAP_REVISION_2)."""


SAME = replace(lab.hard("same", "own"), owner=(70_000, 4_000_000))
"""podman gives the linked file the owner that the link's header names; in a real layer that is the same."""


def odd_layers(tmp_path: Path) -> list[bytes]:
    """Everything that a layer may hold, and changes to it in the next ones."""
    with open(tmp_path / "hole", "wb") as file:
        file.truncate(64 << 20)
        file.write(b"end")
    sparse = subprocess.check_output(
        ["tar", "-cS", "--format=pax", "-C", tmp_path, "hole"], timeout=60
    )  # podman reads no other
    capability = {"SCHILY.xattr.security.capability": CAPABILITY.decode("latin-1"), "SCHILY.xattr.user.tag": "v"}
    base = layer(
        lab.folder(".", 0o755), lab.folder("etc"), Entry("etc/a", b"a"), Entry("etc/b", b"bb"),
        lab.folder("tmp", 0o1777), Entry("gone"), Entry("file"),
        Entry("own", b"x", owner=(70_000, 4_000_000)), Entry("suid", b"s", mode=0o6755), SAME,
        Entry("null", kind=tarfile.CHRTYPE, device=(1, 3), mode=0o666), Entry("pipe", kind=tarfile.FIFOTYPE),
        Entry("disk", kind=tarfile.BLKTYPE, device=(8, 0)), lab.link("up", "../../../etc"), lab.link("to", "etc"),
        Entry("ping", b"x", mode=0o755, pax=capability), Entry("umläut", b"u"),
        lab.folder("x" * 120), Entry("x" * 120 + "/" + "y" * 200, b"long"), lab.folder("dir"), Entry("dir/deep", b"d"),
        lab.folder("swap", 0o700), Entry("swap/in"), lab.folder("hidden"), Entry("hidden/old"),
    )  # fmt: skip
    latin = layer(lab.folder("latin"), Entry("latin/caf\udce9", b"c"), form=tarfile.GNU_FORMAT)
    change = layer(
        Entry("etc/.wh.a"), Entry("etc/b", b"new", owner=(5, 5)),
        lab.folder("hidden", 0o750), Entry("hidden/.wh..wh..opq"),
        Entry("hidden/new"), Entry(".wh.gone"), Entry(".wh.dir"), Entry("dir", b"a file now"), Entry(".wh.file"),
        lab.folder("file"), Entry("file/in"), lab.folder("swap", 0o711), Entry("swap/more"),
    )  # fmt: skip
    return [base, sparse, latin, change, layer(Entry("etc/a", b"again"), Entry("latin/.wh.nothing"))]


def everything(root: Path) -> dict[bytes, tuple[object, ...]]:
    """All that can be known of each file below ``root``."""
    found: dict[bytes, tuple[object, ...]] = {}
    inodes: dict[int, bytes] = {}
    top = os.fsencode(root)
    for directory, folders, files in os.walk(top):
        for name in sorted([*folders, *files, b"."]):
            path = directory + b"/" + name
            try:
                status = os.lstat(path)
            except FileNotFoundError:
                continue  # a whiteout that readdir shows, in a directory that no lower layer has
            kind = stat.S_IFMT(status.st_mode)
            if kind == stat.S_IFCHR and status.st_rdev == 0:
                continue
            first = inodes.setdefault(status.st_ino, path[len(top) :]) if kind == stat.S_IFREG else b""
            content = Path(os.fsdecode(path)).read_bytes() if kind == stat.S_IFREG else b""
            target = bytes(Path(os.fsdecode(path)).readlink()) if kind == stat.S_IFLNK else b""
            names = [n for n in os.listxattr(path, follow_symlinks=False) if not n.startswith("trusted.overlay.")]
            attributes = {n: os.getxattr(path, n, follow_symlinks=False) for n in names}
            found[path[len(top) :]] = (
                oct(status.st_mode), status.st_uid, status.st_gid, status.st_rdev if kind != stat.S_IFREG else 0,
                0 if kind == stat.S_IFDIR else status.st_size, hashlib.sha256(content).hexdigest(), target, first,
                int(status.st_mtime) if status.st_mtime <= 1_000_000_000 else "now", attributes,
            )  # fmt: skip
    return found


def test_a_tree_of_everything_is_the_one_that_podman_mounts(tmp_path: Path, shown: Shown) -> None:
    layout = lab.oci_layout(tmp_path / "oci", odd_layers(tmp_path), ["gzip", "zstd", "plain", "gzip", "zstd"])
    images = Images(tmp_path / "images", lab.CLOCK)
    images.load(layout)
    ours = everything(shown(images, "test:1"))
    assert ours.pop(b"/.")[0] == "0o40755", "the image's own; podman has 0555"
    runroot = short_directory()
    podman = ["podman", "--root", f"{tmp_path}/p", "--runroot", str(runroot), "--storage-driver", "overlay"]
    try:
        said = subprocess.run([*podman, "pull", "-q", f"oci:{layout}"], check=True, timeout=60, capture_output=True)
        (mounted,) = subprocess.check_output([*podman, "image", "mount", said.stdout.split()[-1]], text=True).split()
        theirs = everything(Path(mounted))
        del theirs[b"/."]
        subprocess.run([*podman, "image", "unmount", "-a"], check=True, timeout=60, capture_output=True)
    finally:
        subprocess.run(["umount", "--quiet", f"{tmp_path}/p/overlay"], check=False, capture_output=True)
        shutil.rmtree(runroot)
    assert (sorted(ours), len(ours) > 30) == (sorted(theirs), True)
    assert {path: (facts, theirs[path]) for path, facts in ours.items() if facts != theirs[path]} == {}
    hole = next(path / "hole" for path in images.list()[0].layers if (path / "hole").exists())
    assert hole.stat().st_blocks < 1000, "podman fills holes, we do not"


CAPABLE = """
apiVersion: v1
kind: Pod
metadata: {name: capable}
spec:
  restartPolicy: Never
  containers:
  - name: c
    image: localhost/capable:1
    securityContext: {runAsUser: 1000}
    command: [/bin/sh, -c, 'echo >/tmp/f; /chown 7 /tmp/f; stat -c %u /tmp/f; cat /etc/linked /latin/*']
"""


def test_capabilities_of_files_count_in_a_container(
    instance: Instance, folder: Path, archive: Path, tmp_path: Path
) -> None:
    busybox = Path(subprocess.check_output(["sh", "-c", "command -v busybox"], text=True).strip()).read_bytes()
    capability = {"SCHILY.xattr.security.capability": CAPABILITY.decode("latin-1")}
    more = Entry("chown", busybox, mode=0o755, pax=capability)
    more_than = [lab.folder("tmp", 0o1777), more, lab.folder("latin"), Entry("latin/caf\udce9", b"odd name\n")]
    lab.with_more(archive, tmp_path / "a.tar", *more_than, Entry("etc/linked", b"plain\n"), name="localhost/capable:1")
    instance.ok("image", "load", "-i", tmp_path / "a.tar")
    (folder / "pod.yaml").write_text(CAPABLE)
    instance.ok("apply", "--wait", folder)
    assert instance.ok("logs", "capable").splitlines() == ["7", "plain", "odd name"]
