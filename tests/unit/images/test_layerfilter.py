"""The gate before tar: what passes, what is remembered, what is refused."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.engine.images.layerfilter import Found, LayerFilter
from reconciler.model.errors import ImageProblem

Entry = tuple[str, bytes, str, bytes]


def file(name: str, content: bytes = b"x") -> Entry:
    return (name, tarfile.REGTYPE, "", content)


def link(name: str, target: str) -> Entry:
    return (name, tarfile.SYMTYPE, target, b"")


def hard(name: str, target: str) -> Entry:
    return (name, tarfile.LNKTYPE, target, b"")


def folder(name: str) -> Entry:
    return (name, tarfile.DIRTYPE, "", b"")


def stream(entries: Iterable[Entry], form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for name, kind, target, content in entries:
            member = tarfile.TarInfo("placeholder")
            member.name, member.type, member.linkname, member.size = name, kind, target, len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def strain(data: bytes, step: int = 1 << 20) -> tuple[bytes, Found]:
    layer = LayerFilter()
    out = b"".join(bytes(p) for at in range(0, len(data), step) for p in layer.feed(data[at : at + step]))
    return out + layer.finish(), layer.found


def names(data: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return [member.name for member in tar]


def test_a_plain_layer_passes_whole() -> None:
    out, found = strain(
        stream([folder("etc"), file("etc/passwd", b"root"), link("bin", "usr/bin"), hard("x", "etc/passwd")])
    )
    assert names(out) == ["etc", "etc/passwd", "bin", "x"]
    assert (found.size, found.entries, found.whiteouts, found.opaque) == (4, 4, [], [])


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_whiteouts_are_taken_out_with_their_extended_headers(form: int) -> None:
    long = "d" * 150
    entries = [
        file("a"),
        file(f"{long}/.wh.gone"),
        file("etc/.wh..wh..opq"),
        file(".wh..wh.plnk/12"),
        file("b", b"y" * 700),
    ]
    out, found = strain(stream(entries, form))
    assert names(out) == ["a", "b"]
    assert found.whiteouts == [f"{long}/gone".encode()]
    assert found.opaque == [b"etc"]


@given(step=st.integers(1, 3000))
def test_where_the_stream_is_cut_makes_no_difference(step: int) -> None:
    data = stream(
        [file("a", b"1" * 1000), file(".wh.b"), file("x" * 200, b"2"), link("l", "t" * 150), file("c", b"3" * 513)]
    )
    assert strain(data, step) == strain(data)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([file("../evil")], "leads out of the image"),
        ([file("a/../../evil")], "leads out of the image"),
        ([file("/etc/shadow")], "absolute name"),
        ([hard("x", "../../etc/shadow")], "leads out of the image"),
        ([hard("x", "/etc/shadow")], "absolute name"),
        ([link("a", "/etc"), file("a/shadow")], "passes through the symbolic link 'a'"),
        ([link("a", ".."), folder("a/b"), file("a/b/c")], "passes through the symbolic link 'a'"),
        ([folder("d"), file("d/x"), link("d", "/"), file("d/x")], "passes through the symbolic link 'd'"),
        ([link("a", "/"), hard("b", "a"), file("b/evil")], "passes through the symbolic link 'b'"),
        ([link("a", "/etc"), hard("x", "a/shadow")], "passes through the symbolic link 'a'"),
        ([file("a/.wh...")], "names its own or its parent directory"),
        ([file(".wh..")], "names its own or its parent directory"),
        ([file(".wh.")], "names its own or its parent directory"),
        ([file(".wh.a/b")], "below a whiteout"),
        ([link(".", "/etc")], "root is not a directory"),
        ([("dump", b"D", "", b"")], "of a kind"),
    ],
)
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_hostile_entries_are_refused_with_a_sentence(entries: list[Entry], words: str, form: int) -> None:
    with pytest.raises(ImageProblem, match=words):
        strain(stream(entries, form))


def test_a_link_that_merely_points_out_is_what_images_are_made_of() -> None:
    out, _ = strain(stream([link("etc/mtab", "../proc/mounts"), link("var/run", "/run"), link("up", "../../..")]))
    assert len(names(out)) == 3


def test_entries_behind_the_end_mark_are_not_seen_by_tar() -> None:
    data = stream([file("a")]).rstrip(b"\0") + bytes(1024 - 1)
    data += -len(data) % 512 * b"\0"
    out, found = strain(data + stream([file("../evil")]))
    assert names(out) == ["a"] and found.entries == 1


@pytest.mark.parametrize("damage", [b"not a tar at all" * 40, stream([file("a", b"x" * 2000)])[:1500]])
def test_damage_is_told(damage: bytes) -> None:
    with pytest.raises(ImageProblem, match=r"not a tar stream|cut short"):
        strain(damage)


def test_a_wrong_checksum_is_damage_not_a_place_to_hide() -> None:
    data = bytearray(stream([file("a")]))
    data[0] ^= 1
    with pytest.raises(ImageProblem, match="damaged"):
        strain(bytes(data))


def test_hard_links_to_what_the_layer_does_not_bring_are_remembered_for_the_layers_below() -> None:
    entries = [file("own"), hard("a", "own"), hard("b", "below"), hard("c", "b"), hard("d", "below"), file("d")]
    out, found = strain(stream(entries))
    assert names(out) == ["own", "a", "d"] and found.lower_links == {b"b": b"below", b"c": b"below"}


def header(kind: bytes, name: str, content: bytes) -> bytes:
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, len(content)
    return member.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % 512)


def test_what_tar_takes_for_a_directory_has_no_content_to_hide_entries_in() -> None:
    hidden = header(tarfile.SYMTYPE, "ln", b"")
    plain = header(tarfile.REGTYPE, "x", hidden)
    mark = tarfile.TarInfo("x")
    mark.type, mark.size, mark.name = tarfile.REGTYPE, len(hidden), "x/"
    first = mark.tobuf(tarfile.USTAR_FORMAT)
    if first[:3] != b"x/\0":  # tarfile may drop the slash
        first = bytearray(first)
        first[:2] = b"x/"
        first[148:156] = b" " * 8
        first[148:156] = f"{sum(first):06o}\0 ".encode()
    with pytest.raises(ImageProblem, match="a directory with content"):
        strain(bytes(first) + plain[512:] + bytes(1024))


@pytest.mark.parametrize("pax_first", [True, False])
def test_of_two_names_the_filter_judges_the_one_that_tar_takes(pax_first: bool) -> None:
    record = b"path=../evil\n"
    pax = header(b"x", "p", b"%d %s" % (len(record) + 3, record))
    long = header(b"L", "l", b"benign\0")
    pair = pax + long if pax_first else long + pax
    with pytest.raises(ImageProblem):
        strain(pair + header(tarfile.REGTYPE, "y", b"") + bytes(1024))


def test_headers_without_an_entry_are_not_gathered_for_ever() -> None:
    endless = header(b"L", "l", b"n" * 500_000) * 8
    with pytest.raises(ImageProblem, match="2 MiB of headers"):
        strain(endless, step=1 << 16)
