"""Images on this host: real archives, a real registry, real overlay mounts, real kills."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import reconciler.engine.images.images  # noqa: F401 (registers the effects)
from reconciler.engine.effects import FAULT, points
from reconciler.engine.images.disk import Disk
from reconciler.engine.images.images import Images
from reconciler.engine.images.view import LayerView
from reconciler.model.clock import SystemClock
from reconciler.model.errors import ImageProblem, TryLater
from reconciler.model.observed import ImageStatus
from reconciler.model.spec import PullPolicy
from tests.host import imagelab as lab
from tests.host.conftest import short_directory
from tests.host.imagelab import Entry, Shown, folder, hard, layer, link
from tests.host.imagelab import shown as shown  # a fixture

pytestmark = pytest.mark.host

NAME = "localhost/reconciler/busybox:1"
CHARS, BLOCKS = tarfile.CHRTYPE, tarfile.BLKTYPE

LOAD = """
import sys
from pathlib import Path
from reconciler.engine.images.images import Images
from reconciler.model.clock import SystemClock
images = Images(Path(sys.argv[1]), SystemClock(), in_use=lambda _: ())
if sys.argv[2] == "remove":
    images.remove(sys.argv[3])
else:
    found = getattr(images, sys.argv[2])(Path(sys.argv[3]) if sys.argv[2] == "load" else sys.argv[3])
    print(found.id if hasattr(found, "id") else "\\n".join(image.id for image in found))
"""


@pytest.fixture
def images(tmp_path: Path) -> Iterator[Images]:
    images = Images(tmp_path / "images", SystemClock(), in_use=lambda _: ())
    yield images
    images.close()


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[lab.Registry]:
    with lab.registry(tmp_path / "registry") as found:
        monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(tmp_path / "registry/registries.conf"))
        yield found


def apart(images: Images, verb: str, argument: object, *, fault: str = "") -> subprocess.Popen[str]:
    """The same store in another process."""
    environment = {**os.environ, FAULT: fault} if fault else dict(os.environ)
    argv = [sys.executable, "-c", LOAD, str(images._disk.root), verb, str(argument)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    try:
        out, err = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            process.kill()
    return process.returncode, out or err


def tree(root: Path) -> dict[str, str]:
    """What can be looked up (readdir also shows whiteouts in a directory that no lower layer has)."""
    there = (p for p in root.rglob("*") if os.path.lexists(p))
    return {str(p.relative_to(root)): stat.filemode(p.lstat().st_mode) for p in there}


# --- the example image, archives ------------------------------------------------------------------------------------


def test_the_example_image_is_the_same_to_podman_and_to_us(images: Images, archive: Path, tmp_path: Path) -> None:
    (image,) = images.load(archive)
    runroot = short_directory()  # podman takes none that is longer than 50 characters
    podman: list[str | Path] = ["podman", "--root", tmp_path / "p", "--runroot", runroot, "--storage-driver", "vfs"]
    try:
        subprocess.run([*podman, "load", "-q", "-i", archive], check=True, timeout=60, capture_output=True)
        said = subprocess.run([*podman, "inspect", NAME], check=True, timeout=60, capture_output=True).stdout
    finally:
        shutil.rmtree(runroot)
    (theirs,) = json.loads(said)
    assert (theirs["Id"], theirs["Digest"]) == (image.id, image.digest)
    assert image.names == (NAME,) and image.cmd == ("sh",) and image.env[0].startswith("PATH=")


def test_the_example_image_is_the_same_every_time(archive: Path, tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "scripts/example-image"
    subprocess.run([sys.executable, script, tmp_path / "again.tar"], check=True, timeout=60)
    assert (tmp_path / "again.tar").read_bytes() == archive.read_bytes()


def test_an_image_that_lost_a_layer_is_not_here_and_is_mended_by_the_next_load(images: Images, archive: Path) -> None:
    (image,) = images.load(archive)
    shutil.rmtree(image.layers[0].parent)
    after = Images(images._disk.root, SystemClock())
    assert after.get(NAME) is None
    assert after.load(archive) == (image,) and LayerView(image.layers).is_executable("/bin/sh")


def test_loading_twice_changes_nothing(images: Images, archive: Path) -> None:
    before = images.load(archive)
    layers = [(path, path.stat().st_ino) for path in before[0].layers]
    assert images.load(archive) == before
    assert [(path, path.stat().st_ino) for path in before[0].layers] == layers


def test_an_archive_may_hold_several_images(images: Images, tmp_path: Path) -> None:
    shared, own = layer(Entry("shared", b"1")), layer(Entry("own", b"2"))
    archive = lab.docker_archive(tmp_path / "a.tar", {"localhost/a:1": [shared], "localhost/b:1": [shared, own]})
    first, second = images.load(archive)
    assert (first.names, second.names) == (("localhost/a:1",), ("localhost/b:1",))
    assert first.layers[0] == second.layers[0], "a layer is unpacked once"
    assert LayerView(second.layers).read_text("/own") == "2"


@pytest.mark.parametrize("how", ["gzip", "zstd", "plain"])
@pytest.mark.parametrize("listed", [False, True])
def test_an_oci_layout_is_loaded_as_directory_and_as_archive(
    images: Images, tmp_path: Path, how: str, listed: bool
) -> None:
    layout = lab.oci_layout(tmp_path / "oci", [layer(Entry("f", b"content"))], how, listed=listed)
    (image,) = images.load(layout)
    assert image.names == ("localhost/test:1",) and LayerView(image.layers).read_text("/f") == "content"
    subprocess.run(["tar", "-cf", tmp_path / "oci.tar", "-C", layout, "."], check=True, timeout=60)
    assert images.load(tmp_path / "oci.tar") == (image,)


def test_a_compressed_archive_is_loaded(images: Images, archive: Path, tmp_path: Path) -> None:
    (tmp_path / "a.tar.zst").write_bytes(lab.packed(archive.read_bytes(), "zstd"))
    (image,) = images.load(tmp_path / "a.tar.zst")
    assert image.names == (NAME,)


@pytest.mark.parametrize("content", [b"", b"not an archive", b"\x1f\x8bnot gzip either"])
def test_what_is_no_archive_is_refused_in_one_line(images: Images, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.tar").write_bytes(content)
    with pytest.raises(ImageProblem, match=r"^cannot load images from \S*bad\.tar: [^\n]+$"):
        images.load(tmp_path / "bad.tar")
    assert images.list() == ()


def test_a_damaged_layer_is_told_and_makes_no_image(images: Images, tmp_path: Path) -> None:
    layout = lab.oci_layout(tmp_path / "oci", [layer(Entry("f", b"x" * 9000))], "plain")
    plain = next(p for p in (layout / "blobs/sha256").iterdir() if b"ustar" in p.read_bytes())
    content = bytearray(plain.read_bytes())
    content[2000] ^= 1
    plain.write_bytes(content)
    with pytest.raises(ImageProblem):
        images.load(layout)
    assert images.list() == () and images.collect() and not list((tmp_path / "images/layers").glob("*"))


def test_a_layer_that_is_not_the_one_its_config_names_is_refused(images: Images, tmp_path: Path) -> None:
    layout = lab.oci_layout(tmp_path / "oci", [layer(Entry("f"))], claimed=[layer(Entry("other"))])
    with pytest.raises(ImageProblem, match=r"its content is sha256:\w+, its image says sha256"):
        images.load(layout)


@pytest.mark.parametrize(
    "odd",
    [{"layers": None}, {"layers": [7]}, {"config": None}, {"config": []}, {"schemaVersion": "2"}, {"annotations": 1}],
    ids=str,
)
def test_an_odd_manifest_is_refused_in_one_line(images: Images, tmp_path: Path, odd: dict[str, object]) -> None:
    """By skopeo or by us, whoever sees it first (each oddity by itself: tests/unit/images/test_odd_manifests.py)."""
    layout = lab.oci_layout(tmp_path / "oci", [layer(Entry("f"))])
    index = json.loads((layout / "index.json").read_bytes())
    old = layout / "blobs/sha256" / index["manifests"][0]["digest"].removeprefix("sha256:")
    new = json.dumps({**json.loads(old.read_bytes()), **odd}).encode()
    old.with_name(lab.digest(new).removeprefix("sha256:")).write_bytes(new)
    index["manifests"][0] |= {"digest": lab.digest(new), "size": len(new)}
    (layout / "index.json").write_text(json.dumps(index))
    with pytest.raises(ImageProblem, match=r"^cannot load images from \S*oci: [^\n]+$"):
        images.load(layout)
    assert images.list() == ()


# --- layers ---------------------------------------------------------------------------------------------------------


def test_stacked_layers_show_what_the_kernel_shows(images: Images, tmp_path: Path, shown: Shown) -> None:
    base = layer(
        folder("etc"), Entry("etc/a", b"a"), Entry("etc/b", b"b"), folder("var", 0o1777), folder("var/old"),
        Entry("var/old/x"), Entry("gone"), folder("dir"), Entry("dir/deep"), link("sh", "bin/sh"), folder("bin"),
        Entry("bin/sh", mode=0o4755), folder("swap"), Entry("swap/in"),
    )  # fmt: skip
    change = layer(
        Entry("etc/.wh.a"), Entry("var/.wh..wh..opq"), Entry("var/.wh.old"), Entry("var/new", b"new"),
        Entry(".wh.gone"), Entry("dir", b"file"), Entry(".wh.swap"), folder("swap"), Entry("swap/fresh"),
        Entry("never/.wh.there"),
    )  # fmt: skip
    top = layer(Entry("etc/a", b"again"), folder("dir"), Entry("dir/new"))
    images.load(lab.oci_layout(tmp_path / "oci", [base, change, top]))
    place = shown(images, "test:1")
    image = images.get("test:1")
    assert image is not None
    view = LayerView(image.layers)
    everything = {*tree(place), "etc/b", "var/old", "gone", "dir/deep", "swap/in", "never/there"}
    for path in sorted(everything):
        there = os.path.lexists(place / path)
        found = view.resolve(path, follow=False)
        assert (found is not None) == there, path
        if found is not None and stat.S_ISREG(found.lstat().st_mode):
            assert found.read_bytes() == (place / path).read_bytes(), path
    assert {"etc/a", "etc/b", "var/new", "dir/new", "swap/fresh"} <= set(tree(place))
    assert [p.name for p in (place / "var").iterdir()] == ["new"], "no whiteout shows"
    assert not {"var/old", "gone", "dir/deep", "swap/in"} & set(tree(place))


def test_owners_modes_links_devices_attributes_and_holes_are_kept(images: Images, tmp_path: Path) -> None:
    capability = b"\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    attributes = {"SCHILY.xattr.security.capability": capability.decode("latin-1")}
    with open(tmp_path / "hole", "wb") as file:
        file.truncate(1 << 30)
        file.write(b"start")
    sparse = [
        subprocess.check_output(["tar", "-cS", f"--format={form}", "-C", tmp_path, "hole"], timeout=60)
        for form in ("gnu", "pax")
    ]
    plain = layer(
        folder(".", 0o711), folder("tmp", 0o1777), Entry("own", b"x", owner=(1234, 70000)), Entry("suid", mode=0o6755),
        hard("same", "own"), Entry("null", kind=CHARS, device=(1, 3), mode=0o666),
        Entry("sda", kind=BLOCKS, device=(8, 0)), Entry("pipe", kind=tarfile.FIFOTYPE),
        link("up", "../../../etc"), Entry("x" * 200 + "/" + "y" * 200, b"long"),
        Entry("ping", b"x", pax=attributes), Entry("umläut", b"u"),
    )  # fmt: skip
    images.load(lab.oci_layout(tmp_path / "oci", [plain, *sparse], "zstd"))
    image = images.get("test:1")
    assert image is not None
    lower, *uppers = image.layers
    own = (lower / "own").stat()
    assert (own.st_uid, own.st_gid, own.st_mtime, own.st_nlink) == (1234, 70000, 1_000_000_000, 2)
    assert own.st_ino == (lower / "same").stat().st_ino
    modes = [stat.S_IMODE(p.lstat().st_mode) for p in (lower, lower / "tmp", lower / "suid")]
    assert modes == [0o711, 0o1777, 0o6755]
    assert (lower / "null").stat().st_rdev == os.makedev(1, 3)
    assert stat.S_ISBLK((lower / "sda").stat().st_mode) and stat.S_ISFIFO((lower / "pipe").stat().st_mode)
    assert (lower / ("x" * 200) / ("y" * 200)).read_bytes() == b"long"
    assert os.getxattr(lower / "ping", "security.capability")[:8] == capability[:8]
    assert (lower / "umläut").read_bytes() == b"u" and (lower / "up").readlink() == Path("../../../etc")
    holes = [(upper / "hole").stat() for upper in uppers]
    assert all(hole.st_size == 1 << 30 and hole.st_blocks < 1000 for hole in holes)
    assert image.size == 2 * (1 << 30) + len(b"xlongxu"), "as if the holes were full"


def test_a_hard_link_to_a_file_of_a_layer_below_is_that_file(images: Images, tmp_path: Path, shown: Shown) -> None:
    attributes = {"SCHILY.xattr.user.tag": "v"}
    base = layer(folder("bin", 0o711), Entry("bin/tool", b"tool", mode=0o4755, owner=(7, 8), pax=attributes))
    above = layer(hard("same", "bin/tool"), hard("bin/again", "same"), hard("gone", "bin/tool"), Entry("gone", b"new"))
    other = layer(folder("bin", 0o711), Entry("bin/tool", b"another"))
    images.load(lab.oci_layout(tmp_path / "oci", [base, above]))
    place = shown(images, "test:1")
    same, again, tool = ((place / name).stat() for name in ("same", "bin/again", "bin/tool"))
    assert same.st_ino == again.st_ino == tool.st_ino and (place / "gone").read_bytes() == b"new"
    assert (stat.S_IMODE(same.st_mode), same.st_uid, same.st_gid, same.st_size) == (0o4755, 7, 8, 4)
    assert os.getxattr(place / "same", "user.tag") == b"v" and stat.S_IMODE((place / "bin").stat().st_mode) == 0o711
    first, second = (
        images.get("test:1"),
        images.load(lab.oci_layout(tmp_path / "2", [other, above], name="localhost/2:1")),
    )
    assert first and first.layers[1] != second[0].layers[1], "the same layer on another one is another"
    assert LayerView(second[0].layers).read_text("/same") == "another"
    assert images.load(tmp_path / "oci")[0].layers == first.layers
    images.remove("2:1")
    assert images.collect() and LayerView(first.layers).read_text("/same") == "tool"


def test_a_layer_cannot_speak_overlayfs_own_language(images: Images, tmp_path: Path) -> None:
    attributes = {"SCHILY.xattr.trusted.overlay.redirect": "/etc", "SCHILY.xattr.user.mine": "1"}
    entry = Entry("d", kind=tarfile.DIRTYPE, mode=0o755, pax=attributes)
    (image,) = images.load(lab.oci_layout(tmp_path / "oci", [layer(entry)]))
    assert "trusted.overlay.redirect" not in os.listxattr(image.layers[0] / "d")


def test_120_layers_fit_one_mount(images: Images, tmp_path: Path, shown: Shown) -> None:
    layers = [layer(Entry(f"f{n}", b"x"), Entry("last", str(n).encode())) for n in range(120)]
    images.load(lab.oci_layout(tmp_path / "oci", layers, "plain"))
    image = images.get("test:1")
    assert image is not None
    _, names = images.overlay_lowers(image)
    assert len(":".join(names)) < 3000, "room for upperdir and workdir in mount(2)'s 4096 bytes"
    place = shown(images, "test:1")
    assert len(tree(place)) == 121 and (place / "last").read_text() == "119"


def test_each_layer_that_was_unpacked_is_told(images: Images, tmp_path: Path) -> None:
    layers = [layer(Entry(f"f{n}", b"x")) for n in range(3)]
    said: list[str] = []
    images.load(lab.oci_layout(tmp_path / "oci", layers), progress=said.append)
    told = [line for line in said if line.startswith("unpacked")]
    assert sorted(told) == [f"unpacked {n} of 3 layers" for n in (1, 2, 3)]


def test_a_layer_that_comes_twice_is_mounted_once(images: Images, tmp_path: Path, shown: Shown) -> None:
    twice, between = layer(Entry("a", b"1")), layer(Entry(".wh.a"), Entry("b", b"2"))
    images.load(lab.oci_layout(tmp_path / "oci", [twice, between, twice]))
    assert tree(shown(images, "test:1")).keys() == {"a", "b"}


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([Entry("../evil")], "leads out of the image by .."),
        ([Entry("/evil")], "absolute name"),
        ([hard("x", "../../../../../../etc/passwd")], "leads out of the image by .."),
        ([link("a", "/tmp"), Entry("a/evil")], "passes through the symbolic link 'a'"),
        ([link("a", ".."), Entry("a/evil")], "passes through the symbolic link 'a'"),
        ([Entry("a/.wh...")], "names its own or its parent directory"),
        ([link("a", "/etc"), Entry("a/.wh.passwd")], "passes through the symbolic link 'a'"),
        ([hard("x", "of/no/layer")], "its hard link 'x' leads to 'of/no/layer', which is no file of this layer"),
        ([folder("d"), hard("x", "d")], "leads to 'd', which is no file of this layer or those below"),
        ([Entry("x"), Entry("x/y")], "tar: x/y: Cannot open"),
        ([Entry("x"), Entry("x/.wh.y")], "below 'x', no directory"),
    ],
)
def test_a_hostile_layer_is_refused_and_leaves_nothing(
    images: Images, tmp_path: Path, entries: list[Entry], words: str
) -> None:
    with pytest.raises(ImageProblem, match=r"cannot unpack layer \w{12}: ") as refused:
        images.load(lab.oci_layout(tmp_path / "oci", [layer(Entry("fine"), *entries)]))
    assert words in refused.value.message and "\n" not in refused.value.message
    assert not list(tmp_path.rglob("evil")) and images.list() == ()
    assert not list((tmp_path / "images/temp").iterdir())


# --- a registry -----------------------------------------------------------------------------------------------------


def test_an_image_is_pulled_by_tag_and_by_digest_and_stays(
    images: Images, archive: Path, registry: lab.Registry
) -> None:
    reference = registry.push(archive, "team/app:1")
    said: list[str] = []
    image = images.pull(reference, progress=said.append)
    assert (
        said[-1] == "unpacked 1 of 1 layers"
        and image.names == (reference,)
        and LayerView(image.layers).is_executable("/bin/sh")
    )
    again = Images(images._disk.root, SystemClock())
    assert again.get(reference) == image
    pinned = f"{registry.address}/team/app@{image.digest}"
    assert again.get(pinned) == image
    blobs = registry.gets("blobs")
    assert again.pull(pinned).id == image.id and again.pull(reference).names == (reference, pinned)
    assert registry.gets("blobs") == blobs, "what is here is not fetched again"


def test_a_moved_tag_is_taken_up_when_the_policy_is_always(
    images: Images, archive: Path, registry: lab.Registry, tmp_path: Path
) -> None:
    reference = registry.push(archive, "team/app:1")
    old = images.pull(reference)
    after = Images(images._disk.root, SystemClock())  # a controller that starts anew
    other = lab.docker_archive(tmp_path / "other.tar", {"x:1": [layer(Entry("new"))]})
    registry.push(other, "team/app:1")
    woken: list[str] = []
    read, write = os.pipe()

    def wake(name: str) -> None:
        woken.append(name)
        os.write(write, b"x")

    after.subscribe(wake)
    assert after.state(reference, PullPolicy.IF_NOT_PRESENT).id == old.id
    assert after.ensure(reference, PullPolicy.ALWAYS).status is ImageStatus.PULLING
    assert select.select([read], [], [], 60)[0], "the end of the pull is told"
    state = after.state(reference, PullPolicy.ALWAYS)
    assert state.status is ImageStatus.PRESENT and state.id != old.id and woken == [reference]
    dangling = after.get(old.id)
    assert dangling is not None and dangling.names == ()
    os.close(read)
    os.close(write)


def test_an_image_that_does_not_exist_is_told(images: Images, archive: Path, registry: lab.Registry) -> None:
    registry.push(archive, "team/app:1")
    for reference in (f"{registry.address}/team/app:none", f"{registry.address}/nothing:1"):
        with pytest.raises(ImageProblem, match=f"^cannot pull {reference}: its registry has no such image: [^\n]+$"):
            images.pull(reference)


def test_a_registry_that_is_away_is_told_and_may_come_back(images: Images) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        reference = f"127.0.0.1:{closed.getsockname()[1]}/app:1"
        with pytest.raises(TryLater, match=f"^cannot pull {reference}: its registry cannot be reached: [^\n]+$"):
            images.pull(reference)


def test_processes_that_want_the_same_image_fetch_it_once(
    images: Images, archive: Path, registry: lab.Registry
) -> None:
    reference = registry.push(archive, "team/app:1")
    before = registry.gets("blobs")
    processes = [apart(images, "pull", reference) for _ in range(3)]
    answers = {ended(process) for process in processes}
    assert len(answers) == 1 and answers.pop()[0] == 0
    assert registry.gets("blobs") - before <= 3, "config for the id, config and layer for the copy"


def test_a_pull_dies_with_its_process(images: Images) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        process = apart(images, "pull", f"127.0.0.1:{silent.getsockname()[1]}/app:1")
        asking, _ = silent.accept()
        with asking:
            asking.settimeout(60)
            asking.recv(1)
            process.send_signal(signal.SIGKILL)
            ended(process)
            while asking.recv(4096):
                pass  # skopeo's connection ends: it was killed too
    assert images.collect() and not list((images._disk.temp).iterdir())


def test_closing_ends_a_pull(images: Images) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        reference = f"127.0.0.1:{silent.getsockname()[1]}/app:1"
        images.ensure(reference, PullPolicy.IF_NOT_PRESENT)
        asking, _ = silent.accept()
        with asking:
            images.close()
        assert images.state(reference, PullPolicy.IF_NOT_PRESENT).status is ImageStatus.FAILED


# --- crashes, several processes ---------------------------------------------------------------------------------------

OTHERS = ("passwords", "spool", "put-stream", "join-archives", "link-lower", "make-directory", "unpacked-layout")
"""What no load of a layout reaches."""
MINE = tuple(p for p in points() if p.startswith("image.") and p.removeprefix("image.") not in OTHERS)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("point", MINE)
def test_killed_anywhere_in_a_load_the_next_one_puts_it_right(
    images: Images, tmp_path: Path, point: str, moment: str
) -> None:
    layers = [layer(Entry("a", b"1")), layer(Entry("b", b"2"))]
    layout = lab.oci_layout(tmp_path / "oci", layers)
    code, said = ended(apart(images, "load", layout, fault=f"{point}:{moment}"))
    assert code in (0, -signal.SIGKILL), said
    known = images.get("test:1")
    assert known is None or all(path.is_dir() for path in known.layers), "an image that is known is whole"
    (image,) = images.load(layout)
    assert [LayerView(image.layers).read_text(name) for name in ("a", "b")] == ["1", "2"]
    assert images.collect()
    assert not list(images._disk.temp.iterdir()) and len(list(images._disk.layers.iterdir())) == 2
    assert len(list((images._disk.blobs / "sha256").iterdir())) == 4


@pytest.mark.parametrize("point", ["image.remove-file", "image.discard-layers", "image.remove-tree", "image.write"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_anywhere_in_a_removal_nothing_is_half_there(
    images: Images, archive: Path, point: str, moment: str
) -> None:
    images.load(archive)
    ended(apart(images, "remove", NAME, fault=f"{point}:{moment}"))
    found = images.get(NAME)
    assert found is None or all((path / "bin/busybox").exists() for path in found.layers)
    (image,) = images.load(archive)
    assert LayerView(image.layers).is_executable("/bin/sh")
    images.remove(NAME)
    assert not list(images._disk.layers.iterdir()) and not list((images._disk.blobs / "sha256").iterdir())


def test_the_effects_of_a_load_are_known() -> None:
    assert {"image.unpack", "image.place-layer", "image.write", "image.skopeo", "image.sync"} <= set(MINE)


def test_processes_that_load_and_remove_at_once_do_not_disturb_each_other(images: Images, tmp_path: Path) -> None:
    shared = layer(*[Entry(f"f{n}", b"x" * 100) for n in range(200)])
    layouts = [
        lab.oci_layout(tmp_path / f"oci{n}", [shared, layer(Entry("own", str(n).encode()))], name=f"localhost/t:{n}")
        for n in range(4)
    ]
    images.load(layouts[0])
    running = [apart(images, "load", layout) for layout in layouts[1:]] + [apart(images, "remove", "localhost/t:0")]
    assert [ended(process)[0] for process in running] == [0, 0, 0, 0]
    assert {name for image in images.list() for name in image.names} == {f"localhost/t:{n}" for n in (1, 2, 3)}
    for image in images.list():
        view = LayerView(image.layers)
        assert view.read_text("/own") and view.read_text("/f199") == "x" * 100
    assert Disk(images._disk.root).record(images.list()[0].id).exists()
