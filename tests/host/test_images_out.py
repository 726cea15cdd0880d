"""Images that leave our store, and what podman says of them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.engine.effects import FAULT
from reconciler.engine.images.images import Images
from reconciler.engine.images.save import ArchiveForm
from reconciler.model.clock import SystemClock
from reconciler.model.errors import ImageProblem
from tests.host import imagelab as lab
from tests.host.conftest import short_directory
from tests.host.imagelab import Entry, layer

pytestmark = pytest.mark.host

NAME = "localhost/reconciler/busybox:1"


@pytest.fixture
def images(tmp_path: Path) -> Iterator[Images]:
    images = Images(tmp_path / "images", SystemClock(), in_use=lambda _: ())
    yield images
    images.close()


@pytest.fixture
def podman(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Podman with a store of its own."""
    runroot = short_directory()  # podman takes none that is longer than 50 characters
    common: list[str | Path] = ["podman", "--root", tmp_path / "p", "--runroot", runroot, "--storage-driver", "vfs"]

    def run(*argv: str | Path) -> str:
        return subprocess.run([*common, *argv], check=True, timeout=60, capture_output=True, text=True).stdout

    yield run
    shutil.rmtree(runroot)


def inspected(podman: Callable[..., str], name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(podman("image", "inspect", name))[0]
    return found


def test_inspect_says_what_podman_says(images: Images, archive: Path, podman: Callable[..., str]) -> None:
    images.load(archive)
    podman("load", "-q", "-i", archive)
    ours, theirs = images.inspect(NAME), inspected(podman, NAME)
    same = ("Id", "Digest", "RepoTags", "RepoDigests", "Created", "Config", "Author", "Comment", "Architecture", "Os")
    same += ("RootFS", "Labels", "Annotations", "ManifestType", "User", "History")
    assert {key: ours[key] for key in same} == {key: theirs[key] for key in same}
    assert set(ours) <= set(theirs)


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
def test_a_saved_image_is_the_same_to_podman_and_to_us(
    images: Images, archive: Path, podman: Callable[..., str], tmp_path: Path, form: ArchiveForm
) -> None:
    (image,) = images.load(archive)
    images.tag(NAME, "other")
    directory = tmp_path / "with:colon"
    directory.mkdir()
    saved = directory / "a.tar"
    saved.write_text("what was there before")
    images.save("other", saved, form)
    (tmp_path / "plain.tar").symlink_to(saved)  # podman takes no path with a colon
    podman("load", "-q", "-i", tmp_path / "plain.tar")
    theirs = inspected(podman, "localhost/other:latest")
    assert theirs["RepoTags"] == ["localhost/other:latest"]
    assert theirs["RootFS"]["Layers"] == images.inspect(NAME)["RootFS"]["Layers"]
    second = Images(tmp_path / "second", SystemClock())
    (back,) = second.load(saved)
    assert (back.id, back.names, back.cmd) == (theirs["Id"], ("localhost/other:latest",), image.cmd)
    assert form == "oci-archive" or back.id == image.id, "docker's config, made OCI's, is another one (podman's way)"
    assert list(directory.iterdir()) == [saved], "no half of an archive stays"


@pytest.mark.parametrize("how", ["gzip", "zstd"])
@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
def test_packed_layers_are_saved_too(images: Images, tmp_path: Path, how: str, form: ArchiveForm) -> None:
    (image,) = images.load(lab.oci_layout(tmp_path / "oci", [layer(Entry("a", b"1")), layer(Entry("b", b"2"))], how))
    images.save(image.id[:12], tmp_path / "a.tar", form)
    (back,) = Images(tmp_path / "second", SystemClock()).load(tmp_path / "a.tar")
    assert (back.id, back.names) == (image.id, ()), "asked for by id, it bears no name"
    assert (back.layers[1] / "b").read_bytes() == b"2"


def test_where_nothing_can_be_written_the_save_is_refused(images: Images, archive: Path, tmp_path: Path) -> None:
    images.load(archive)
    for place in (tmp_path / "missing/a.tar", tmp_path):
        with pytest.raises(ImageProblem, match=rf"^cannot save image {NAME}: [^\n]+$"):
            images.save(NAME, place)
    assert not (tmp_path / "missing").exists() and not list(tmp_path.glob(".*"))


SAVE = """
import sys
from pathlib import Path
from reconciler.engine.images.images import Images
from reconciler.model.clock import SystemClock
Images(Path(sys.argv[1]), SystemClock()).save("test:1", Path(sys.argv[2]))
"""
POINTS = ("image.make-work", "image.unpacked-layout", "image.link-out", "image.skopeo", "image.put-archive")


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("point", POINTS)
def test_killed_anywhere_in_a_save_the_old_archive_or_the_new_one_is_there(
    images: Images, tmp_path: Path, point: str, moment: str
) -> None:
    (image,) = images.load(lab.oci_layout(tmp_path / "oci", [layer(Entry("a", b"1"))], "zstd"))
    place = tmp_path / "out/a.tar"
    place.parent.mkdir()
    place.write_text("old")
    argv = [sys.executable, "-c", SAVE, images._disk.root, place]
    killed = subprocess.run(argv, env={**os.environ, FAULT: f"{point}:{moment}"}, timeout=60, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    renamed = (point, moment) == ("image.put-archive", "after")
    assert (place.read_bytes() == b"old") is not renamed
    images.save("test:1", place)
    (back,) = Images(tmp_path / "second", SystemClock()).load(place)
    assert back.id == image.id
    assert images.collect() and not list(images._disk.temp.iterdir())


def test_the_commands_tag_list_inspect_save_and_prune(archive: Path, tmp_path: Path) -> None:
    other = lab.docker_archive(tmp_path / "other.tar", {"localhost/other:1": [layer(Entry("new"))]})

    def run(*argv: str | Path, answer: str = "") -> str:
        command = [sys.executable, "-m", "reconciler", "--root", tmp_path / "r", "image", *argv]
        return subprocess.run(command, check=True, timeout=60, capture_output=True, text=True, input=answer).stdout

    run("load", "-i", archive)
    run("load", "-i", other)
    run("tag", "other:1", NAME)
    rows = [line.split() for line in run("ls", "--digests", "--no-trunc").splitlines()]
    (old,) = (row for row in rows if row[:2] == ["<none>", "<none>"])
    assert rows[0][:3] == ["REPOSITORY", "TAG", "DIGEST"] and old[2].startswith("sha256:")
    assert run("ls", "-q", "--no-trunc", "--dangling").split() == [old[3]]
    (told,) = json.loads(run("inspect", NAME))
    assert sorted(told["RepoTags"]) == ["localhost/other:1", NAME]
    run("save", "-o", tmp_path / "saved.tar", "--format", "oci-archive", NAME)
    assert (tmp_path / "saved.tar").stat().st_size
    assert run("prune", answer="n\n") == "" and old[3] in run("ls", "-q", "--no-trunc")
    assert run("prune", answer="y\n").split() == [old[3]]
    assert run("prune", "-a", "-f").split() == [told["Id"]] and run("ls", "-q") == ""


def test_several_images_go_into_one_archive_through_a_pipe(
    archive: Path, tmp_path: Path, podman: Callable[..., str]
) -> None:
    other = lab.docker_archive(tmp_path / "other.tar", {"localhost/other:1": [layer(Entry("new"))]})
    ours = [sys.executable, "-m", "reconciler", "--root"]
    for file in (archive, other):
        with open(file, "rb") as stream:
            subprocess.run([*ours, tmp_path / "r", "image", "load", "-q"], stdin=stream, check=True, timeout=60)
    save = [*ours, tmp_path / "r", "image", "save", NAME, "other:1"]
    with open(tmp_path / "both.tar", "wb") as file:
        subprocess.run(save, stdout=file, check=True, timeout=60)
    assert "localhost/other:1" in podman("load", "-q", "-i", tmp_path / "both.tar")
    assert inspected(podman, NAME)["RepoTags"] == [NAME]
    packed = subprocess.run(["xz", "-0c", tmp_path / "both.tar"], check=True, capture_output=True, timeout=60).stdout
    load = [*ours, tmp_path / "second", "image", "load"]
    told = subprocess.run(load, input=packed, check=True, capture_output=True, timeout=60).stdout.decode()
    assert told.splitlines() == [f"Loaded image: {NAME}", "Loaded image: localhost/other:1"]
    refused = subprocess.run([*save, "--format=oci-archive"], capture_output=True, text=True, timeout=60)
    assert refused.returncode == 1 and "an oci-archive holds one image" in refused.stderr
    assert not list((tmp_path / "r/state/images/temp").iterdir())


def test_lists_are_filtered_sorted_and_told_as_podman_does(
    archive: Path, tmp_path: Path, podman: Callable[..., str]
) -> None:
    images = Images(tmp_path / "r/state/images", SystemClock(), in_use=lambda _: ())
    images.load(archive)
    images.load(lab.oci_layout(tmp_path / "oci", [layer(Entry("big", b"x" * 4_000_000))], name="localhost/big:9"))
    podman("load", "-q", "-i", archive)

    def ls(*argv: str) -> str:
        command = [sys.executable, "-m", "reconciler", "--root", tmp_path / "r", "image", "ls", *argv]
        return subprocess.run(command, check=True, timeout=60, capture_output=True, text=True).stdout

    names = [line.split()[0] for line in ls("-n", "--sort", "size").splitlines()]
    assert names == ["localhost/big", NAME.partition(":")[0]]
    for pattern in ("busybox", "reconciler/busybox:*", "localhost/*/busybox"):
        assert [line.split()[1] for line in ls("-n", "--filter", f"reference={pattern}").splitlines()] == ["1"]
    (ours,) = json.loads(ls("--format", "json", "reconciler/busybox"))
    (theirs,) = json.loads(podman("images", "--format", "json"))
    same = ("Id", "RepoDigests", "Names", "Digest", "Labels", "Containers")  # RepoTags is null in podman 4.3
    assert {key: ours[key] for key in same} == {key: theirs.get(key) for key in same}
    completed = {"COMP_WORDS": f"reconciler --root {tmp_path}/r image rm big", "COMP_CWORD": "5"}
    environment = {**os.environ, **completed, "_RECONCILER_COMPLETE": "bash_complete"}
    offered = subprocess.run([sys.executable, "-m", "reconciler"], env=environment, capture_output=True, text=True)
    assert offered.stdout == "plain,big:9\n"
