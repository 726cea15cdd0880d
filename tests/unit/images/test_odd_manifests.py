"""Manifests, lists of them and configs that are not as they should be: one sentence that names the image and says what
is wrong, whatever a stranger wrote."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.engine.images import manifest
from reconciler.engine.images.archive import Held, images_in
from reconciler.engine.images.details import details
from reconciler.engine.images.disk import Disk
from reconciler.engine.images.index import Record
from reconciler.engine.images.processes import Processes
from reconciler.engine.images.transfer import Source, digest_of, fetch
from reconciler.model.errors import ImageProblem

SOURCE = Source("docker://r.test/app:1", "r.test/app:1", by_digest=lambda digest: f"docker://r.test/app@{digest}")
ONE, TWO = (f"sha256:{digit * 64}" for digit in "12")

CONFIG: dict[str, Any] = {
    "created": "2024-01-01T00:00:00Z",
    "architecture": "amd64",
    "os": "linux",
    "config": {"Env": ["A=1"], "Cmd": ["sh"], "User": "7", "WorkingDir": "/w", "Labels": {"a": "b"}},
    "rootfs": {"type": "layers", "diff_ids": [TWO]},
    "history": [{"created_by": "me"}],
}
MANIFEST: dict[str, Any] = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "config": {"digest": ONE, "size": 10},
    "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": TWO, "size": 7}],
    "annotations": {"a": "b"},
}
LIST: dict[str, Any] = {
    "schemaVersion": 2,
    "manifests": [{"digest": ONE, "platform": {"os": "linux", "architecture": "amd64"}}],
}
SYSTEM = Source(SOURCE.reference, SOURCE.what, by_digest=SOURCE.by_digest, platform="linux/amd64")

GONE = object()
Path_ = tuple[str | int, ...]


def changed(document: dict[str, Any], path: Path_, value: object) -> bytes:
    """The document with one value replaced, or taken away."""
    document = copy.deepcopy(document)
    *way, last = path
    at: Any = document
    for step in way:
        at = at[step]
    if value is GONE:
        del at[last]
    else:
        at[last] = value
    return json.dumps(document).encode()


class Answers:
    """What skopeo would say of an image whose manifest and config are these. Nothing is ever copied."""

    def __init__(self, raw: bytes, config: bytes) -> None:
        self._raw, self._config = raw, config

    def inspect(self, _reference: str, *options: str) -> bytes:
        return self._config if options else self._raw

    def copy(self, *_: object) -> None:
        raise AssertionError("an odd image is copied")


def fetched(top: bytes, raw: bytes, config: bytes) -> str:
    """Why the image cannot be had."""
    with pytest.raises(ImageProblem) as refused:
        fetch(SYSTEM, top, Disk(Path("/nowhere")), Answers(raw, config), lambda _: None)  # type: ignore[arg-type]
    return refused.value.message


ODD_MANIFESTS: dict[str, tuple[Path_, object, str]] = {
    "no config": (("config",), GONE, "config.digest in its manifest is missing"),
    "config null": (("config",), None, "config.digest in its manifest is missing"),
    "config a list": (("config",), [], "config in its manifest is a list, not an object"),
    "config a digest": (("config",), ONE, "config in its manifest is a string, not an object"),
    "a config digest that is a number": (
        ("config", "digest"),
        7,
        "config.digest in its manifest is a number, not a st",
    ),
    "another hash": (("config", "digest"), "md5:0", "config.digest in its manifest is not a sha256 digest: 'md5:0'"),
    "a digest that leads elsewhere": (
        ("layers", 0, "digest"),
        "sha256:../../../etc/passwd",
        "layers[0].digest in its manifest is not a sha256 digest: 'sha256:../../../etc/passwd'",
    ),
    "a digest of two lines": (
        ("layers", 0, "digest"),
        "a\nb\x1b[2J",
        "layers[0].digest in its manifest is not a sha256 digest: 'a\\nb\\x1b[2J'",
    ),
    "a digest without end": (
        ("layers", 0, "digest"),
        "x" * 10000,
        f"layers[0].digest in its manifest is not a sha256 digest: '{'x' * 80}...'",
    ),
    "layers an object": (("layers",), {}, "layers in its manifest is an object, not a list"),
    "layers a string": (("layers",), "none", "layers in its manifest is a string, not a list"),
    "a layer null": (("layers", 0), None, "layers[0] in its manifest is null, not an object"),
    "a layer that is a list": (("layers", 0), [1], "layers[0] in its manifest is a list, not an object"),
    "a layer without digest": (("layers", 0, "digest"), GONE, "layers[0].digest in its manifest is missing"),
    "a size in words": (("layers", 0, "size"), "7", "layers[0].size in its manifest is a string, not a whole number"),
    "a size that is true": (("layers", 0, "size"), True, "layers[0].size in its manifest is true, not a whole number"),
    "half a byte": (("layers", 0, "size"), 0.5, "layers[0].size in its manifest is a number, not a whole number"),
    "a size below zero": (("layers", 0, "size"), -1, "layers[0].size in its manifest is less than nothing: -1"),
    "a media type that is none": (("layers", 0, "mediaType"), 1, "layers[0].mediaType in its manifest is a number, no"),
    "a version in words": (("schemaVersion",), "2", "schemaVersion in its manifest is a string, not a whole number"),
    "docker's old form": (("schemaVersion",), 1, "schemaVersion in its manifest is 1, not 2"),
    "annotations a list": (("annotations",), ["a"], "annotations in its manifest is a list, not an object"),
    "an annotation that is a number": (("annotations", "a"), 1, "annotations.a in its manifest is a number, not a str"),
    "an annotation with an odd name": (
        ("annotations", "\x1b\n"),
        1,
        "'annotations.\\x1b\\n' in its manifest is a numb",
    ),
}
ODD_CONFIGS: dict[str, tuple[Path_, object, str]] = {
    "rootfs null": (("rootfs",), None, "it has no layers"),
    "rootfs a list": (("rootfs",), [TWO], "rootfs in its config is a list, not an object"),
    "diff ids null": (("rootfs", "diff_ids"), None, "it has no layers"),
    "diff ids a string": (("rootfs", "diff_ids"), TWO, "rootfs.diff_ids in its config is a string, not a list"),
    "a diff id that is an object": (
        ("rootfs", "diff_ids", 0),
        {},
        "rootfs.diff_ids[0] in its config is an object, not a string",
    ),
    "a diff id null": (("rootfs", "diff_ids", 0), None, "rootfs.diff_ids[0] in its config is missing"),
    "a diff id too many": (("rootfs", "diff_ids"), [TWO, TWO], "its manifest has 1 layers, its config 2"),
    "config a string": (("config",), "sh", "config in its config is a string, not an object"),
    "a command that is a number": (("config", "Cmd"), 1, "config.Cmd in its config is a number, not a list"),
    "a word that is a list": (("config", "Cmd", 0), [], "config.Cmd[0] in its config is a list, not a string"),
    "a word with a zero": (
        ("config", "Cmd", 0),
        "a\0b",
        "config.Cmd[0] in its config holds what no text can: 'a\\x00b'",
    ),
    "half a character": (("config", "User"), "\ud800", "config.User in its config holds what no text can: '\\ud800'"),
    "env an object": (("config", "Env"), {"A": "1"}, "config.Env in its config is an object, not a list"),
    "a variable null": (("config", "Env", 0), None, "config.Env[0] in its config is null, not a string"),
    "a user that is a number": (("config", "User"), 7, "config.User in its config is a number, not a string"),
    "a directory that is false": (
        ("config", "WorkingDir"),
        False,
        "config.WorkingDir in its config is false, not a st",
    ),
    "a signal that is a number": (
        ("config", "StopSignal"),
        9,
        "config.StopSignal in its config is a number, not a str",
    ),
    "labels a list": (("config", "Labels"), [], "config.Labels in its config is a list, not an object"),
    "a label that is a number": (
        ("config", "Labels", "a"),
        1,
        "config.Labels.a in its config is a number, not a string",
    ),
    "created by numbers": (("created",), 1700000000, "created in its config is a number, not a string"),
    "history an object": (("history",), {}, "history in its config is an object, not a list"),
    "a step null": (("history", 0), None, "history[0] in its config is null, not an object"),
}
ODD_LISTS: dict[str, tuple[Path_, object, str]] = {
    "nothing listed": (("manifests",), [], "it is not made for linux/amd64, only for nothing"),
    "an object": (("manifests",), {}, "manifests in its manifest is an object, not a list"),
    "a number": (("manifests",), 3, "manifests in its manifest is a number, not a list"),
    "an entry null": (("manifests", 0), None, "manifests[0] in its manifest is null, not an object"),
    "a platform in words": (
        ("manifests", 0, "platform"),
        "linux/amd64",
        "manifests[0].platform in its manifest is a string, not an object",
    ),
    "a system that is a list": (
        ("manifests", 0, "platform", "os"),
        ["linux"],
        "manifests[0].platform.os in its manifest is a list, not a string",
    ),
    "no platform": (("manifests", 0, "platform"), GONE, "it is not made for linux/amd64, only for nothing"),
    "no digest": (("manifests", 0, "digest"), GONE, "manifests[0].digest in its manifest is missing"),
    "a digest that is an object": (
        ("manifests", 0, "digest"),
        {},
        "manifests[0].digest in its manifest is an object, not a string",
    ),
    "manifests null, so a manifest it is": (("manifests",), None, "config.digest in its manifest is missing"),
}
NO_DOCUMENTS: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "is not JSON"),
    "no text": (b"\xff\xfe", "is not JSON"),
    "half of it": (b'{"schemaVersion": 2', "is not JSON"),
    "deeper than we can count": (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "is not JSON"),
    "a number longer than we read": (b'{"schemaVersion":' + b"9" * 5000 + b"}", "is not JSON"),
    "null": (b"null", "is null, not an object"),
    "a list": (b"[]", "is a list, not an object"),
}


@pytest.mark.parametrize(("path", "value", "said"), ODD_MANIFESTS.values(), ids=ODD_MANIFESTS)
def test_an_odd_manifest_is_told(path: Path_, value: object, said: str) -> None:
    raw = changed(MANIFEST, path, value)
    expect_told(fetched(raw, raw, b"{}"), said)
    if path != ("schemaVersion",):
        top = changed(LIST, ("manifests", 0, "digest"), digest_of(raw))
        expect_told(fetched(top, raw, b"{}"), said)


@pytest.mark.parametrize(("path", "value", "said"), ODD_CONFIGS.values(), ids=ODD_CONFIGS)
def test_an_odd_config_is_told(path: Path_, value: object, said: str) -> None:
    config = changed(CONFIG, path, value)
    raw = changed(MANIFEST, ("config", "digest"), digest_of(config))
    expect_told(fetched(raw, raw, config), said)


@pytest.mark.parametrize(("path", "value", "said"), ODD_LISTS.values(), ids=ODD_LISTS)
def test_an_odd_list_of_manifests_is_told(path: Path_, value: object, said: str) -> None:
    expect_told(fetched(changed(LIST, path, value), b"{}", b"{}"), said)


def test_a_list_in_a_list_is_told() -> None:
    top = json.dumps(LIST).encode()
    expect_told(fetched(top, top, b"{}"), "its manifest is a list of manifests, and was in one")


@pytest.mark.parametrize(("raw", "said"), NO_DOCUMENTS.values(), ids=NO_DOCUMENTS)
def test_what_is_no_document_is_told(raw: bytes, said: str) -> None:
    expect_told(fetched(raw, raw, b"{}"), f"its manifest {said}")
    good = changed(MANIFEST, ("config", "digest"), digest_of(raw))
    expect_told(fetched(good, good, raw), f"its config {said}")


def expect_told(message: str, said: str) -> None:
    assert message.startswith(f"cannot pull r.test/app:1: {said}"), message
    assert message.isprintable()


@pytest.mark.parametrize("nothing", [None, GONE], ids=["null", "absent"])
@pytest.mark.parametrize("name", ["Env", "Cmd", "User", "WorkingDir", "Labels"])
def test_null_is_as_good_as_nothing(name: str, nothing: object) -> None:
    config = manifest.config(changed(CONFIG, ("config", name), nothing), SOURCE.problem)
    found = {"Env": config.env, "Cmd": config.cmd, "User": config.user, "WorkingDir": config.working_dir}
    assert not {**found, "Labels": config.labels}[name]
    assert config.diff_ids == (TWO,)


def test_a_command_may_be_one_word() -> None:
    config = manifest.config(changed(CONFIG, ("config", "Entrypoint"), "/bin/sh"), SOURCE.problem)
    assert (config.entrypoint, config.cmd) == (("/bin/sh",), ("sh",))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | st.sampled_from(["", "a", ONE, TWO]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["digest", "size", "a"]), inner),
    max_leaves=6,
)
PLACES: list[tuple[dict[str, Any], Path_]] = [
    (document, path)
    for document, table in ((MANIFEST, ODD_MANIFESTS), (CONFIG, ODD_CONFIGS), (LIST, ODD_LISTS))
    for path, *_ in table.values()
]


@given(st.sampled_from(PLACES), JSON)
def test_whatever_stands_somewhere_it_is_read_or_refused(place: tuple[dict[str, Any], Path_], value: object) -> None:
    document, path = place
    raw = changed(document, path, value)
    for read in (manifest.manifest, manifest.config, lambda r, p: manifest.listed(top_of(r, p))):
        try:
            read(raw, SOURCE.problem)
        except ImageProblem as problem:
            assert problem.message.startswith("cannot pull r.test/app:1: ") and problem.message.isprintable()


def top_of(raw: bytes, refuse: manifest.Refuse) -> tuple[manifest.Part, ...]:
    return manifest.document(raw, "its manifest", refuse).parts("manifests")


ODD_LAYOUTS: dict[str, tuple[object, str]] = {
    "no object": ([], "its index.json is a list, not an object"),
    "no list": ({"manifests": {}}, "manifests in its index.json is an object, not a list"),
    "nothing in it": ({"manifests": None}, "its index.json lists no images"),
    "an entry that is none": ({"manifests": ["x"]}, "manifests[0] in its index.json is a string, not an object"),
    "a media type that is none": (
        {"manifests": [{"mediaType": 1}]},
        "manifests[0].mediaType in its index.json is a number, not a string",
    ),
    "annotations that are none": (
        {"manifests": [{"annotations": ["a"]}]},
        "manifests[0].annotations in its index.json is a list, not an object",
    ),
    "a name that is none": (
        {"manifests": [{"annotations": {"org.opencontainers.image.ref.name": "A B:c"}}]},
        "cannot use image reference 'A B:c': names are lower-case",
    ),
    "a list elsewhere": (
        {"manifests": [{"mediaType": "application/vnd.oci.image.index.v1+json", "digest": "sha256:../../index.json"}]},
        "manifests[0].digest in its index.json is not a sha256 digest: 'sha256:../../index.json'",
    ),
    "a list that is not there": (
        {"manifests": [{"mediaType": "application/vnd.oci.image.index.v1+json", "digest": ONE}]},
        "the list of manifests 111111111111 cannot be read: No such file or directory",
    ),
}


@pytest.mark.parametrize(("index", "said"), ODD_LAYOUTS.values(), ids=ODD_LAYOUTS)
def test_an_odd_layout_is_told(index: object, said: str, tmp_path: Path) -> None:
    layout = tmp_path / "oci"
    layout.mkdir()
    (layout / "index.json").write_text(json.dumps(index))
    assert refusal(layout, tmp_path) == f"cannot load images from {layout}: {said}"


ODD_LISTINGS: dict[str, tuple[object, str]] = {
    "an object": ({}, "images in its manifest.json is an object, not a list"),
    "null": (None, "its manifest.json lists no images"),
    "nothing in it": ([], "its manifest.json lists no images"),
    "an item that is none": ([7], "images[0] in its manifest.json is a number, not an object"),
    "names that are one": ([{"RepoTags": "a:1"}], "images[0].RepoTags in its manifest.json is a string, not a list"),
    "a name that is a number": (
        [{"RepoTags": [1]}],
        "images[0].RepoTags[0] in its manifest.json is a number, not a st",
    ),
    "a name that is none": ([{"RepoTags": ["a b"]}], "cannot use image reference 'a b': 'a b' is not a name"),
}


@pytest.mark.parametrize(("listing", "said"), ODD_LISTINGS.values(), ids=ODD_LISTINGS)
def test_an_odd_archive_is_told(listing: object, said: str, tmp_path: Path) -> None:
    import io
    import tarfile

    archive, raw = tmp_path / "a.tar", json.dumps(listing).encode()
    with tarfile.open(archive, "w") as tar:
        info = tarfile.TarInfo("manifest.json")
        info.size = len(raw)
        tar.addfile(info, io.BytesIO(raw))
    assert refusal(archive, tmp_path).startswith(f"cannot load images from {archive}: {said}")


def refusal(archive: Path, place: Path) -> str:
    (place / "work").mkdir()
    with pytest.raises(ImageProblem) as refused:
        list[Held](images_in(archive, place / "work", Processes()))
    return refused.value.message


@pytest.mark.parametrize("what", ["manifest", "config"])
def test_a_blob_that_was_damaged_is_told_by_inspect(what: str, tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    record = Record("3" * 64, (), (), ONE, (), 0)
    for digest, raw in ((ONE, MANIFEST), (record.id, CONFIG)):
        disk.blob(digest).parent.mkdir(parents=True, exist_ok=True)
        disk.blob(digest).write_text(json.dumps(raw))
    assert details(record, disk)["Labels"] == {"a": "b"}
    disk.blob(ONE if what == "manifest" else record.id).write_text(json.dumps({"config": "x"}))
    with pytest.raises(ImageProblem, match=f"cannot inspect image 333333333333: config in its {what} is a string"):
        details(record, disk)
