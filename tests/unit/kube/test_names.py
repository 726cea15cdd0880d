"""Image references, capabilities and names, as tables."""

from __future__ import annotations

import pytest

from reconciler.kube import names
from reconciler.kube.names import default_pull_policy

SHA = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    "text",
    [
        "busybox",
        "busybox:1",
        "a/b/c:latest",
        "localhost/x:1",
        "localhost:5000/x",
        "example.org/a/b@" + SHA,
        "example.org:443/a.b/c__d/e--f:V1.2_3",
        "x:1@" + SHA,
        "[::1]:5000/x",
        "127.0.0.1:5000/x:y",
        "HOST/x",
    ],
)
def test_an_image_reference_is_accepted(text: str) -> None:
    assert names.image(text) == ""


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "must not be empty"),
        (" busybox", "must not begin or end with a space"),
        ("Busybox", "must be lower-case"),
        ("example.org/Busybox", "must be lower-case"),
        ("busybox:", "ends where a tag"),
        ("busybox@", "ends where a tag"),
        ("busybox:a b", "'a b' cannot be a tag"),
        ("busybox:" + "a" * 129, "cannot be a tag"),
        ("busybox@sha256:123", "cannot be a digest"),
        ("busybox@" + SHA.upper(), "cannot be a digest"),
        ("a//b", "'' cannot be part"),
        ("a_/b", "'a_' cannot be part"),
        ("busy box", "cannot be part"),
        ("exa_mple.org/x", "'exa_mple.org' cannot be a host"),
        ("a" * 256, "256 characters"),
        ("http://x", "cannot be"),
    ],
)
def test_a_bad_image_reference_says_what_is_wrong(text: str, cause: str) -> None:
    assert cause in names.image(text)


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("busybox", "Always"),
        ("busybox:latest", "Always"),
        ("localhost:5000/busybox", "Always"),
        ("busybox:1", "IfNotPresent"),
        ("busybox@" + SHA, "IfNotPresent"),
        ("busybox:latest@" + SHA, "Always"),
    ],
)
def test_the_default_pull_policy_follows_the_tag(text: str, policy: str) -> None:
    assert default_pull_policy(text) == policy


@pytest.mark.parametrize("text", ["a", "a-1", "0", "a" * 63])
def test_a_dns_label(text: str) -> None:
    assert names.dns_label(text) == ""


@pytest.mark.parametrize("text", ["", "-a", "a-", "a.b", "A", "a_b", "a\n", "ä", "a" * 64])
def test_no_dns_label(text: str) -> None:
    assert names.dns_label(text)


@pytest.mark.parametrize("key", ["a", "A_b.c-D", "example.org/a", "a" * 63])
def test_a_label_key(key: str) -> None:
    assert names.label_key(key) == ""


@pytest.mark.parametrize("key", ["", "/a", "a/", "a/b/c", "-a", "a" * 64, "Ex/a", "a b"])
def test_no_label_key(key: str) -> None:
    assert names.label_key(key)
