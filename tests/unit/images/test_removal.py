"""What `image rm` takes away, what it refuses, and what the sweep deletes."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.engine.images.disk import Disk
from reconciler.engine.images.images import Images
from reconciler.engine.images.index import Index, Name, Record
from reconciler.engine.images.unpack import Layer
from reconciler.model.errors import ImageProblem, NotFound
from tests.fakes.clock import FakeClock

ONE, TWO = "1" * 64, "2" * 64


def unused(_: str) -> tuple[str, ...]:
    return ()


def put(disk: Disk, id_: str, *names: str, layers: tuple[str, ...] = ("a",)) -> None:
    """An image whose blobs and layers lie there."""
    made = tuple(Layer(f"sha256:{hex_ * 64}", f"sha256:{hex_ * 64}") for hex_ in layers)
    manifest = f"sha256:{id_[::-1].replace(id_[0], 'f')}"
    for layer in made:
        (disk.layer(layer.diff_id) / "fs").mkdir(parents=True, exist_ok=True)
        (disk.layer(layer.diff_id) / "layer.json").write_text("{}")
    for digest in (manifest, f"sha256:{id_}", *(layer.blob for layer in made)):
        disk.blob(digest).parent.mkdir(parents=True, exist_ok=True)
        disk.blob(digest).write_text("x")
    with disk.lock("index"):
        Index(disk).add(Record(id_, tuple(Name(n, False, 1.0) for n in names), (), manifest, made, 1))


def files(root: Path) -> set[str]:
    return {str(p.relative_to(root)) for p in root.rglob("*") if not p.is_relative_to(root / "locks")}


def test_a_name_that_is_not_the_last_is_only_untagged(tmp_path: Path) -> None:
    put(Disk(tmp_path), ONE, "localhost/a:1", "localhost/b:1")
    images = Images(tmp_path, FakeClock())
    assert images.remove("a:1", in_use=lambda _: ("web",)) == ("Untagged: localhost/a:1",)
    left = images.get(ONE)
    assert left is not None and left.names == ("localhost/b:1",)


def test_with_the_last_name_goes_the_image_and_what_only_it_used(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    put(disk, ONE, "localhost/a:1", layers=("a", "b"))
    put(disk, TWO, "localhost/b:1", layers=("a",))
    images = Images(tmp_path, FakeClock(), in_use=unused)
    assert images.remove("localhost/a:1") == ("Untagged: localhost/a:1", f"Deleted: {ONE}")
    assert not disk.layer("sha256:" + "b" * 64).exists() and not disk.blob("sha256:" + "b" * 64).exists()
    assert disk.layer("sha256:" + "a" * 64).exists() and disk.blob("sha256:" + "a" * 64).exists()
    images.remove("b:1")
    assert files(tmp_path) == {"index", "layers", "blobs", "blobs/sha256", "temp"}


@pytest.mark.parametrize("force", [False, True])
def test_an_image_in_use_stays_and_its_users_are_named(tmp_path: Path, force: bool) -> None:
    put(Disk(tmp_path), ONE, "localhost/a:1")
    images = Images(tmp_path, FakeClock())
    with pytest.raises(ImageProblem, match="used by default/web/nginx, default/api/app"):
        images.remove("a:1", in_use=lambda _: ("default/web/nginx", "default/api/app"), force=force)
    assert images.get("a:1") is not None


def test_an_id_with_several_names_needs_force(tmp_path: Path) -> None:
    put(Disk(tmp_path), ONE, "localhost/a:1", "localhost/b:1")
    images = Images(tmp_path, FakeClock(), in_use=unused)
    with pytest.raises(ImageProblem, match="several names: localhost/a:1, localhost/b:1"):
        images.remove(ONE[:12])
    lines = images.remove(ONE[:12], force=True)
    assert lines[-1] == f"Deleted: {ONE}" and images.list() == ()


def test_what_is_not_here_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="it is not here"):
        Images(tmp_path, FakeClock(), in_use=unused).remove("nothing")


def test_without_knowing_the_users_nothing_is_removed(tmp_path: Path) -> None:
    put(Disk(tmp_path), ONE, "localhost/a:1")
    with pytest.raises(TypeError):
        Images(tmp_path, FakeClock()).remove("a:1")


def test_the_sweep_takes_leftovers_but_nothing_while_somebody_transfers(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    put(disk, ONE, "localhost/a:1")
    (disk.temp / "dead" / "fs").mkdir(parents=True)
    disk.blob("sha256:" + "d" * 64).write_text("half a pull")
    (disk.index / ".half").write_text("")
    images = Images(tmp_path, FakeClock())
    with disk.work() as work:
        assert not images.collect()
        assert work.exists() and (disk.temp / "dead").exists() and disk.blob("sha256:" + "d" * 64).exists()
    assert images.collect()
    assert not list(disk.temp.iterdir()) and not (disk.index / ".half").exists()
    assert not disk.blob("sha256:" + "d" * 64).exists() and images.get("a:1") is not None


def test_while_a_record_cannot_be_read_no_layer_is_deleted(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    put(disk, ONE, "localhost/a:1")
    disk.record(ONE).write_text("{ half")
    images = Images(tmp_path, FakeClock())
    assert images.get("a:1") is None
    images.collect()
    assert disk.layer("sha256:" + "a" * 64).exists() and disk.blob("sha256:" + "a" * 64).exists()
