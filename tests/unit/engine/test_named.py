"""Named volumes: what they are filled with, what a kill leaves, and who may remove them."""

from __future__ import annotations

import os
import signal
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.engine import named
from reconciler.engine.context import Context, Settings
from reconciler.engine.effects import FAULT, read_environment
from reconciler.engine.images.image import Image
from reconciler.engine.images.users import User
from reconciler.engine.layout import Layout
from reconciler.engine.records import RECORD, ContainerRecord, write
from reconciler.engine.store import pods as index
from reconciler.model.errors import InvalidInput, NotFound
from reconciler.model.key import ContainerId, Key, PodId
from reconciler.model.spec import ContainerSpec, Mount, Volume, VolumeKind

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to others")


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    layout = Layout.at(tmp_path / "root")
    layout.make()
    return Context(Settings(), layout)


@pytest.fixture
def image(tmp_path: Path) -> Image:
    """Two layers: the upper one hides a file, adds one, and covers a directory of the lower one."""
    low, high = tmp_path / "low", tmp_path / "high"
    for path in (low / "srv/dir", low / "srv/covered", high / "srv/covered"):
        path.mkdir(parents=True)
    (low / "srv").chmod(0o2750)
    (high / "srv").chmod(0o1777)
    (low / "srv/old").write_text("old")
    (low / "srv/dir/deep").write_text("deep")
    (low / "srv/covered/hidden").write_text("hidden")
    (low / "srv/link").symlink_to("/etc/shadow")
    (high / "srv/new").write_text("new")
    (high / "srv/new").chmod(0o4755)
    if os.geteuid() == 0:
        os.chown(high / "srv", 33, 34)
        os.chown(high / "srv/new", 33, 33)
        (high / "srv/new").chmod(0o4755)
        os.mknod(high / "srv/old", stat.S_IFCHR | 0o600, 0)
        os.setxattr(high / "srv/covered", "trusted.overlay.opaque", b"y")
    (low / "link-to-srv").symlink_to("srv")
    return Image("0" * 64, (), (low, high))


def member(*options: str, path: str = "/srv", anonymous: bool = False) -> ContainerSpec:
    volume = Volume("db", VolumeKind.NAMED, anonymous=anonymous)
    return ContainerSpec("one", "image", mounts=(Mount(path, volume, options=options),))


def data(ctx: Context) -> Path:
    return ctx.layout.volumes / "db" / "_data"


def mounted(ctx: Context, spec: ContainerSpec, number: str = "c") -> ContainerId:
    """A container on record that mounts what its spec says."""
    container, pod = ContainerId(number * 64), PodId("d" * 64)
    key = Key("default", "box")
    index.add_pod(ctx.store, pod, key, ())
    index.add_container(ctx.store, container, pod)
    ctx.layout.container(container).mkdir()
    write(ctx.layout.container(container), RECORD, ContainerRecord(container, pod, key, spec.name, 0, spec))
    return container


@root_only
@pytest.mark.parametrize("path", ["/srv", "/link-to-srv", "/srv/"])
def test_a_new_one_is_what_the_image_shows(ctx: Context, image: Image, path: str) -> None:
    named.prepare(ctx, member(path=path), image, User(7, 7))
    found = sorted(str(p.relative_to(data(ctx))) for p in data(ctx).rglob("*"))
    assert found == ["covered", "dir", "dir/deep", "link", "new"]
    assert (data(ctx) / "link").readlink() == Path("/etc/shadow")
    info, top = (data(ctx) / "new").stat(), data(ctx).stat()
    assert (info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)) == (33, 33, 0o4755)
    assert (top.st_uid, top.st_gid, stat.S_IMODE(top.st_mode)) == (33, 34, 0o1777)
    assert os.listxattr(data(ctx) / "covered") == []


@root_only
@pytest.mark.parametrize(
    ("spec", "owner"),
    [
        pytest.param(member("nocopy"), (33, 34), id="without the files, with the owner"),
        pytest.param(member(path="/nothing"), (7, 8), id="of a place that the image has not, the user's"),
        pytest.param(member(path="/srv/new"), (7, 8), id="of a place that is a file, the user's"),
    ],
)
def test_an_empty_one(ctx: Context, image: Image, spec: ContainerSpec, owner: tuple[int, int]) -> None:
    named.prepare(ctx, spec, image, User(7, 8))
    assert list(data(ctx).iterdir()) == []
    assert (data(ctx).stat().st_uid, data(ctx).stat().st_gid) == owner


@root_only
def test_one_that_is_used_is_left_as_it_is(ctx: Context, image: Image) -> None:
    named.prepare(ctx, member("nocopy"), image, User())
    named.prepare(ctx, member(), image, User())
    assert list(data(ctx).iterdir()) == []
    assert [(record.name, record.used) for record in named.listed(ctx)] == [("db", True)]


@root_only
def test_one_made_by_hand_is_filled_by_the_first_who_mounts_it(ctx: Context, image: Image) -> None:
    named.create(ctx, "db", (("for", "us"),))
    assert list(data(ctx).iterdir()) == []
    named.prepare(ctx, member(), image, User())
    assert (data(ctx) / "new").read_text() == "new"
    (record,) = named.listed(ctx)
    assert (record.used, record.labels) == (True, (("for", "us"),))
    assert sorted(p.name for p in ctx.layout.volumes.iterdir()) == ["db"]


def test_what_somebody_put_into_one_made_by_hand_stays(ctx: Context, image: Image) -> None:
    named.create(ctx, "db")
    (data(ctx) / "mine").write_text("mine")
    named.prepare(ctx, member("nocopy"), image, User(os.getuid(), os.getgid()))
    assert [path.name for path in data(ctx).iterdir()] == ["mine"]


def test_what_a_killed_one_left_is_made_anew(ctx: Context, image: Image) -> None:
    half = ctx.layout.volumes / ".db" / "_data"
    half.mkdir(parents=True)
    (half / "half").write_text("half")
    assert named.listed(ctx) == ()
    named.prepare(ctx, member("nocopy"), image, User(os.getuid(), os.getgid()))
    assert list(data(ctx).iterdir()) == []
    assert sorted(p.name for p in ctx.layout.volumes.iterdir()) == ["db"]


def test_one_whose_record_is_lost_is_there_and_left_alone(ctx: Context, image: Image) -> None:
    data(ctx).mkdir(parents=True)
    (data(ctx) / "mine").write_text("mine")
    named.prepare(ctx, member(), image, User())
    assert [path.name for path in data(ctx).iterdir()] == ["mine"]
    assert named.find(ctx, "db").used


def test_no_other_of_the_same_name(ctx: Context) -> None:
    named.create(ctx, "db")
    with pytest.raises(InvalidInput, match="cannot create volume db: there is one"):
        named.create(ctx, "db")


def test_one_is_found_by_the_beginning_of_its_name(ctx: Context) -> None:
    for name in ("data", "data2", "other"):
        named.create(ctx, name)
    assert [named.find(ctx, name).name for name in ("data", "data2", "o")] == ["data", "data2", "other"]
    with pytest.raises(NotFound, match="cannot find volume dat: 2 begin with that"):
        named.find(ctx, "dat")
    with pytest.raises(NotFound, match="cannot find volume x: there is none of that name"):
        named.find(ctx, "x")


def test_one_that_is_mounted_is_not_removed(ctx: Context) -> None:
    named.create(ctx, "db")
    container = mounted(ctx, member())
    with pytest.raises(InvalidInput, match="cannot remove volume db: box/one mounts it"):
        named.remove(ctx, "db")
    index.remove_container(ctx.store, container)
    named.remove(ctx, "db")
    assert named.listed(ctx) == ()


def test_anonymous_ones_go_unless_a_successor_has_them(ctx: Context) -> None:
    spec = member(anonymous=True)
    named.create(ctx, "db")
    successor = mounted(ctx, spec)
    named.drop_anonymous(ctx, spec.mounts)
    assert data(ctx).is_dir()
    named.drop_anonymous(ctx, member().mounts, of=successor)
    assert data(ctx).is_dir(), "it has a name that somebody chose"
    named.drop_anonymous(ctx, spec.mounts, of=successor)
    assert not data(ctx).exists()


def test_a_user_is_shown_once_for_each_volume(ctx: Context) -> None:
    spec = member()
    twice = replace(spec, mounts=(*spec.mounts, replace(spec.mounts[0], path="/again")))
    mounted(ctx, twice)
    assert named.users(ctx) == {"db": ((Key("default", "box"), "one"),)}


POINTS = ("volume.make", "file.write", "volume.fill", "volume.own", "volume.place", "volume.exchange", "tree.bury")


@root_only
@pytest.mark.parametrize("by_hand", [False, True], ids=["a new one", "one made by hand"])
@pytest.mark.parametrize("point", [f"{name}:{moment}" for name in POINTS for moment in ("before", "after")])
def test_who_is_killed_while_it_is_made_leaves_nothing_half_done(
    ctx: Context, image: Image, point: str, by_hand: bool
) -> None:
    """It is whole or not there, and the next one who mounts it has all of it."""
    if by_hand:
        named.create(ctx, "db")
    ctx.store.close()
    pid = os.fork()
    if pid == 0:
        os.environ[FAULT] = point
        read_environment()
        try:
            named.prepare(ctx, member(), image, User())
        finally:
            os._exit(0)
    killed = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    passes = point.split(":")[0] not in ({"volume.place"} if by_hand else {"volume.exchange"})
    assert killed == passes, "the point is on the way"
    if data(ctx).exists() and any(data(ctx).iterdir()):
        assert sorted(p.name for p in data(ctx).iterdir()) == ["covered", "dir", "link", "new"]
    named.prepare(ctx, member(), image, User())
    assert sorted(p.name for p in data(ctx).iterdir()) == ["covered", "dir", "link", "new"]
    assert named.find(ctx, "db").used
    assert [p.name for p in ctx.layout.volumes.iterdir() if not p.name.startswith(".")] == ["db"]
