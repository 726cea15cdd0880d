"""``-v``, ``--tmpfs`` and ``--mount``: what they mean, and what is said of those that mean nothing."""

from __future__ import annotations

from itertools import count

import pytest

from reconciler.flags import mounts
from reconciler.flags.mounts import Surroundings
from reconciler.model.errors import InvalidInput
from reconciler.model.spec import Mount, Volume, VolumeKind


def here() -> Surroundings:
    numbers = count(1)
    return Surroundings("/home/me", lambda: f"anonymous{next(numbers)}")


def bind(path: str, source: str, *options: str, read_only: bool = False) -> Mount:
    return Mount(path, Volume(source, VolumeKind.HOST_PATH, source), read_only, options)


def named(path: str, name: str, *options: str, read_only: bool = False) -> Mount:
    return Mount(path, Volume(name, VolumeKind.NAMED), read_only, options)


def nameless(path: str, name: str = "anonymous1") -> Mount:
    return Mount(path, Volume(name, VolumeKind.NAMED, anonymous=True))


TMPFS = ("nodev", "nosuid", "tmpcopyup")


def tmpfs(path: str, *options: str, made: tuple[str, ...] = (), read_only: bool = False) -> Mount:
    return Mount(path, Volume(f"tmpfs:{path}", VolumeKind.TMPFS, options=made), read_only, options or TMPFS)


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        pytest.param("/srv:/data", bind("/data", "/srv"), id="a path of the host"),
        pytest.param("/srv/:/data//x/", bind("/data/x", "/srv"), id="in one spelling"),
        pytest.param("./site:/data", bind("/data", "/home/me/site"), id="from where we are"),
        pytest.param(".:/data", bind("/data", "/home/me"), id="where we are"),
        pytest.param("../x:/data", bind("/data", "/home/x"), id="beside where we are"),
        pytest.param("/srv:/data:ro", bind("/data", "/srv", read_only=True), id="read-only"),
        pytest.param("/srv:/data:rw", bind("/data", "/srv"), id="writable, said"),
        pytest.param("/srv:/data:", bind("/data", "/srv"), id="no options behind the colon"),
        pytest.param("/srv:/data:Z", bind("/data", "/srv"), id="SELinux's label means nothing"),
        pytest.param("/srv:/data:z,ro", bind("/data", "/srv", read_only=True), id="a shared label neither"),
        pytest.param("/srv:/data:rshared", bind("/data", "/srv", "rshared"), id="propagation"),
        pytest.param("/srv:/data:rprivate", bind("/data", "/srv"), id="propagation as it is anyway"),
        pytest.param("/srv:/data:private,bind", bind("/data", "/srv", "bind", "private"), id="not what is below it"),
        pytest.param("/srv:/data:noexec,nodev,nosuid", bind("/data", "/srv", "nodev", "noexec", "nosuid"), id="flags"),
        pytest.param("/srv:/data:exec,dev,suid,rbind,copy", bind("/data", "/srv"), id="flags as they are anyway"),
        pytest.param("/srv:/data:consistency=delegated", bind("/data", "/srv"), id="what means nothing on Linux"),
        pytest.param("data:/data", named("/data", "data"), id="a named volume"),
        pytest.param("data:/data:nocopy,ro", named("/data", "data", "nocopy", read_only=True), id="not filled"),
        pytest.param("my.data_1-x:/data", named("/data", "my.data_1-x"), id="podman's names"),
        pytest.param("/data", nameless("/data"), id="an anonymous volume"),
    ],
)
def test_what_v_means(text: str, mount: Mount) -> None:
    assert mounts.mounts([text], here=here()) == (mount,)


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        pytest.param("/run", tmpfs("/run"), id="as it is"),
        pytest.param("/run:rw", tmpfs("/run"), id="writable, said"),
        pytest.param("/run:ro", tmpfs("/run", read_only=True), id="read-only"),
        pytest.param("/run:size=64m", tmpfs("/run", made=("size=67108864",)), id="a size"),
        pytest.param("/run:size=787448K", tmpfs("/run", made=(f"size={787448 << 10}",)), id="a size in capitals"),
        pytest.param("/run:size=50%", tmpfs("/run", made=("size=50%",)), id="a part of memory"),
        pytest.param("/run:mode=01777,size=1", tmpfs("/run", made=("mode=1777", "size=1")), id="a mode"),
        pytest.param("/run:noexec", tmpfs("/run", "nodev", "noexec", "nosuid", "tmpcopyup"), id="no programs"),
        pytest.param("/run:exec,suid,dev", tmpfs("/run", "tmpcopyup"), id="all allowed"),
        pytest.param("/run:notmpcopyup", tmpfs("/run", "nodev", "nosuid"), id="empty"),
        pytest.param("/run:nosuid,tmpcopyup", tmpfs("/run"), id="defaults said"),
        pytest.param(
            "/run:noswap,noatime", tmpfs("/run", "noatime", "nodev", "nosuid", "noswap", "tmpcopyup"), id="others"
        ),
    ],
)
def test_what_tmpfs_means(text: str, mount: Mount) -> None:
    assert mounts.mounts(tmpfs=[text], here=here()) == (mount,)


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        pytest.param("type=bind,src=/srv,dst=/data", bind("/data", "/srv"), id="bind"),
        pytest.param("type=bind,source=/srv,target=/data", bind("/data", "/srv"), id="in other words"),
        pytest.param("destination=/data,source=/srv,type=bind", bind("/data", "/srv"), id="in another order"),
        pytest.param("type=bind,src=x,dst=/data", bind("/data", "/home/me/x"), id="from where we are"),
        pytest.param("type=bind,src=/srv,dst=/data,ro", bind("/data", "/srv", read_only=True), id="read-only"),
        pytest.param("type=bind,src=/srv,dst=/data,readonly=true", bind("/data", "/srv", read_only=True), id="yes"),
        pytest.param("type=bind,src=/srv,dst=/data,ro=false", bind("/data", "/srv"), id="no"),
        pytest.param("type=bind,src=/srv,dst=/data,rw=false", bind("/data", "/srv", read_only=True), id="not writable"),
        pytest.param(
            "type=bind,src=/srv,dst=/data,bind-propagation=rslave", bind("/data", "/srv", "rslave"), id="propagation"
        ),
        pytest.param("type=bind,src=/srv,dst=/data,relabel=shared", bind("/data", "/srv"), id="a label"),
        pytest.param("type=bind,src=/srv,dst=/data,bind-nonrecursive", bind("/data", "/srv", "bind"), id="alone"),
        pytest.param("type=bind,src=/srv,dst=/data,U=false", bind("/data", "/srv"), id="not given away"),
        pytest.param('type=bind,"src=/a,b",dst=/data', bind("/data", "/a,b"), id="a comma in quotes"),
        pytest.param("type=volume,src=data,dst=/data", named("/data", "data"), id="a named volume"),
        pytest.param("src=data,dst=/data", named("/data", "data"), id="a volume unless said otherwise"),
        pytest.param("type=volume,dst=/data", nameless("/data"), id="an anonymous volume"),
        pytest.param("type=tmpfs,dst=/run", tmpfs("/run"), id="tmpfs"),
        pytest.param(
            "type=tmpfs,dst=/run,tmpfs-size=512M,tmpfs-mode=700,notmpcopyup",
            tmpfs("/run", "nodev", "nosuid", made=("mode=700", f"size={512 << 20}")),
            id="tmpfs with options",
        ),
    ],
)
def test_what_mount_means(text: str, mount: Mount) -> None:
    assert mounts.mounts(others=[text], here=here()) == (mount,)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no place in the container"),
        ("data", "'data' is not an absolute path in the container"),
        ("/srv:data", "'data' is not an absolute path"),
        (":/data", "nothing stands before the colon"),
        ("/a:/b:ro:z", "it has too many colons"),
        ("/srv:/", "the container's root is its image's"),
        ("/srv:/./", "the container's root is its image's"),
        ("a/b:/data", "'a/b' cannot be the name of a volume"),
        ("~/x:/data", "cannot be the name of a volume"),
        ("/srv:/data:readonly", "a path of the host has no option 'readonly'"),
        ("/srv:/data:noexecs", "has no option 'noexecs', did you mean noexec?"),
        ("/srv:/data:ro,rw", "ro and rw cannot be said together"),
        ("/srv:/data:ro,ro", "ro twice cannot be said together"),
        ("/srv:/data:shared,rslave", "shared and rslave cannot be said together"),
        ("/srv:/data:ro=1", "option ro takes no value"),
        ("/srv:/data:size=1m", "a path of the host has no option 'size'"),
        ("data:/data:shared", "a volume has no option 'shared'"),
        ("/srv:/data:U", "option U: files are not given to the container's user"),
        ("/srv:/data:O", "option O: there is no overlay"),
        ("/srv:/data:idmap", "option idmap"),
    ],
)
def test_v_that_cannot_be_meant(text: str, says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        mounts.mounts([text], here=here())
    assert refused.value.message.startswith(f"cannot mount {text!r}: ")
    assert says in refused.value.message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("run", "'run' is not an absolute path"),
        ("/run:size=big", "'big' is not a size"),
        ("/run:size=", "'' is not a size"),
        ("/run:mode=9", "'9' is not a mode"),
        ("/run:Z", "a tmpfs has no option 'Z'"),
        ("/run:bind", "a tmpfs has no option 'bind'"),
        ("/run:uid=5", "a tmpfs has no option 'uid'"),
        ("/run:size=1,size=2", "size twice"),
    ],
)
def test_tmpfs_that_cannot_be_meant(text: str, says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        mounts.mounts(tmpfs=[text], here=here())
    assert says in refused.value.message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no place in the container"),
        ("type=bind,dst=/data", "it has no source"),
        ("type=bind,src=/srv", "no place in the container"),
        ("type=image,src=x,dst=/x", "there is no type 'image' of mounts"),
        ("type=volumes,src=x,dst=/x", "did you mean volume?"),
        ("type=tmpfs,src=/x,dst=/run", "a tmpfs has no source"),
        ("type=tmpfs,dst=/run,shared", "a tmpfs has no option 'shared'"),
        ("type=bind,src=/srv,dst=/data,ro=maybe", "ro=maybe is neither true nor false"),
        ("type=bind,src=/srv,dst=/data,bind-propagation=loud", "has no option 'bind-propagation=loud'"),
        ("type=bind,src=/srv,dst=/data,relabel=x", "has no option 'relabel=x'"),
        ("type=bind,src=/srv,dst=/data,chown", "option U"),
        ("type=bind,src=/srv,dst=/data,tmpfs-size=5", "has no option 'size'"),
        ("type=volume,src=x,dst=/data,subpath=y", "a volume has no option 'subpath'"),
    ],
)
def test_mount_that_cannot_be_meant(text: str, says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        mounts.mounts(others=[text], here=here())
    assert says in refused.value.message


def test_all_together_by_place() -> None:
    found = mounts.mounts(["/srv:/b", "/c"], ["/a"], ["type=volume,src=v,dst=/d"], here=here())
    assert found == (tmpfs("/a"), bind("/b", "/srv"), nameless("/c"), named("/d", "v"))


def test_the_same_may_be_said_twice_but_not_two_things_of_one_place() -> None:
    assert mounts.mounts(["/srv:/b", "/srv/:/b/"], here=here()) == (bind("/b", "/srv"),)
    for other in ("/etc:/b", "/srv:/b:ro", "v:/b", "/b"):
        with pytest.raises(InvalidInput, match="something else is to be mounted at /b"):
            mounts.mounts(["/srv:/b", other], here=here())


def test_a_path_and_a_tmpfs_of_one_name_are_two_volumes() -> None:
    found = mounts.mounts(["/run:/x"], ["/run"], here=here())
    assert len({m.volume.name for m in found}) == 2


def test_a_read_only_container_writes_where_programs_must_unless_something_is_there() -> None:
    own = mounts.mounts(["/srv:/tmp"], here=here())
    assert mounts.with_read_only_tmpfs(own) == (tmpfs("/run"), bind("/tmp", "/srv"), tmpfs("/var/tmp"))


def test_a_containers_own_mounts_win_over_its_pods() -> None:
    pods = mounts.mounts(["/a:/x", "/b:/y"], here=here())
    own = mounts.mounts(["/c:/y", "/d:/z"], here=here())
    assert mounts.merged(own, pods) == (bind("/x", "/a"), bind("/y", "/c"), bind("/z", "/d"))
