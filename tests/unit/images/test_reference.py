"""What people write for an image, and what it means."""

from __future__ import annotations

import pytest

from reconciler.engine.images.reference import DEFAULT_REGISTRY, Reference, id_prefix, parse
from reconciler.model.errors import ImageProblem

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "registry", "path", "tag", "digest"),
    [
        ("busybox", "", "busybox", "latest", ""),
        ("busybox:1", "", "busybox", "1", ""),
        ("team/app:v1.2-rc_3", "", "team/app", "v1.2-rc_3", ""),
        ("localhost/x", "localhost", "x", "latest", ""),
        ("localhost:5000/x:1", "localhost:5000", "x", "1", ""),
        ("127.0.0.1:5000/a/b/c:1", "127.0.0.1:5000", "a/b/c", "1", ""),
        ("[::1]:5000/a:1", "[::1]:5000", "a", "1", ""),
        ("registry.example/a@" + DIGEST, "registry.example", "a", "", DIGEST),
        ("busybox:1@" + DIGEST, "", "busybox", "1", DIGEST),
    ],
)
def test_a_reference_is_taken_apart(text: str, registry: str, path: str, tag: str, digest: str) -> None:
    assert parse(text) == Reference(registry, path, tag, digest)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "empty"),
        ("BusyBox", "lower-case"),
        ("a b", "not a name"),
        ("a:", "not a tag"),
        ("a:b:c", "not a tag"),
        ("a@sha256:12", "64 hex"),
        ("a@", "nothing follows"),
        ("../etc", "not the name of a registry"),
        ("-x", "not a name"),
        ("exa mple.com/x", "not the name of a registry"),
        ("x/" * 140 + "x", "longer"),
    ],
)
def test_what_is_no_reference_is_refused_with_the_cause(text: str, cause: str) -> None:
    with pytest.raises(ImageProblem, match=cause):
        parse(text)


def test_a_full_name_means_itself() -> None:
    assert str(parse(f"{DEFAULT_REGISTRY}/busybox").full()) == f"{DEFAULT_REGISTRY}/library/busybox:latest"
    assert str(parse(f"index.{DEFAULT_REGISTRY}/busybox").full()) == f"{DEFAULT_REGISTRY}/library/busybox:latest"


def test_beside_a_digest_the_tag_does_not_count() -> None:
    assert str(parse(f"r.example/x:1@{DIGEST}").full()) == f"r.example/x@{DIGEST}"


def test_only_hex_digits_can_be_an_id() -> None:
    assert id_prefix("abc123") == "abc123"
    assert id_prefix(DIGEST) == "a" * 64
    assert id_prefix("busybox") == "" == id_prefix("ab")
