"""What skopeo's words mean, and which image of a list is for this machine."""

from __future__ import annotations

import platform

import pytest

from reconciler.engine.images.manifest import Part
from reconciler.engine.images.transfer import NotOffered, Source, Unreachable, choose, explain
from reconciler.model.errors import ImageProblem

REGISTRY = Source("docker://r.test/app:1", "r.test/app:1", by_digest=lambda digest: f"docker://r.test/app@{digest}")


def fatal(text: str) -> str:
    quoted = text.replace('"', '\\"')
    stamp = 'time="2024-01-01T00:00:00Z"'
    return f'{stamp} level=warning msg="noise"\n{stamp} level=fatal msg="{quoted}"\n'


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (
            'Error parsing image name "docker://r.test/app:1": reading manifest 1 in r.test/app: manifest unknown',
            NotOffered,
            "its registry has no such image: reading manifest 1 in r.test/app: manifest unknown",
        ),
        (
            'Error parsing image name "docker://r.test/app:1": reading manifest 1 in r.test/app: name unknown: '
            "repository name not known to registry",
            NotOffered,
            "no such image",
        ),
        ("unauthorized: authentication required", NotOffered, "its registry refuses"),
        ("denied: requested access to the resource is denied", NotOffered, "its registry refuses"),
        ("pinging container registry r.test: dial tcp: lookup r.test: no such host", Unreachable, "cannot be reached"),
        ("dial tcp 192.0.2.1:443: connect: connection refused", Unreachable, "cannot be reached"),
        ("http: server gave HTTP response to HTTPS client", Unreachable, "cannot be reached"),
        ("received unexpected HTTP status: 503 Service Unavailable", Unreachable, "cannot be reached"),
        ("toomanyrequests: slow down", Unreachable, "cannot be reached"),
        ("something nobody has seen", ImageProblem, "something nobody has seen"),
    ],
)
def test_a_failure_is_one_line_that_says_which_trouble_it_is(said: str, kind: type[Exception], words: str) -> None:
    error = explain(REGISTRY, fatal(said))
    assert type(error) is kind
    assert error.message.startswith("cannot pull r.test/app:1: ") and words in error.message
    assert "\n" not in error.message and "level=" not in error.message


def test_an_archive_has_no_registry_to_blame() -> None:
    error = explain(Source("docker-archive:a:@0", "images from a.tar", "load"), fatal("file not found in tar"))
    assert error.message == "cannot load images from a.tar: file not found in tar"


def entries(*listed: dict[str, object]) -> tuple[Part, ...]:
    return Part({"manifests": list(listed)}, "its manifest", REGISTRY.problem).parts("manifests")


def entry(arch: str, digit: str, variant: str = "", os: str = "linux") -> dict[str, object]:
    return {"digest": "sha256:" + digit * 64, "platform": {"os": os, "architecture": arch, "variant": variant}}


@pytest.mark.parametrize(
    ("machine", "digit"), [("x86_64", "1"), ("aarch64", "3"), ("armv7l", "5"), ("armv6l", "6"), ("riscv64", "7")]
)
def test_the_image_for_this_machine_is_chosen(monkeypatch: pytest.MonkeyPatch, machine: str, digit: str) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    offered = entries(
        entry("amd64", "0", os="windows"),
        entry("amd64", "1"),
        entry("arm64", "3", "v8"),
        entry("arm", "6", "v6"),
        entry("arm", "5", "v7"),
        entry("riscv64", "7"),
    )
    assert choose(offered, REGISTRY) == "sha256:" + digit * 64


def test_a_list_without_this_machine_says_what_it_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    with pytest.raises(ImageProblem, match=r"not made for linux/amd64, only for linux/s390x, windows/amd64"):
        choose(entries(entry("s390x", "1"), entry("amd64", "2", os="windows")), REGISTRY)
