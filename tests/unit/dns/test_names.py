"""What pods are called, and by which names they are found."""

from __future__ import annotations

import pytest

from reconciler.engine.dns import names
from reconciler.model.key import Key
from reconciler.model.spec import SandboxSpec

WEB = Key("shop", "web-0")
PLAIN = SandboxSpec(hostname="web-0")
BOTH = SandboxSpec(hostname="box", subdomain="sub")
FULL = SandboxSpec(hostname="box", subdomain="sub", fqdn_as_hostname=True)
DOMAIN = "cluster.local"


@pytest.mark.parametrize(
    ("sandbox", "kernel", "full"),
    [
        pytest.param(SandboxSpec(), "web-0", "web-0", id="the pod's name"),
        pytest.param(SandboxSpec(hostname="box"), "box", "box", id="hostname"),
        pytest.param(BOTH, "box", "box.sub.shop.svc.cluster.local", id="a subdomain leaves the kernel's name short"),
        pytest.param(
            FULL,
            "box.sub.shop.svc.cluster.local",
            "box.sub.shop.svc.cluster.local",
            id="setHostnameAsFQDN makes it whole",
        ),
        pytest.param(
            SandboxSpec(hostname="box", fqdn_as_hostname=True), "box", "box", id="unless there is no subdomain"
        ),
        pytest.param(
            SandboxSpec(hostname="box", subdomain="sub", hostname_override="db.example"),
            "db.example",
            "box.sub.shop.svc.cluster.local",
            id="hostnameOverride is what the kernel says, and changes no name that others use",
        ),
    ],
)
def test_host_names(sandbox: SandboxSpec, kernel: str, full: str) -> None:
    assert names.kernel_name(WEB, sandbox, DOMAIN) == kernel
    assert names.full_name(WEB, sandbox, DOMAIN) == full


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a" * 63, "a" * 63),
        ("a" * 64, "a" * 63),
        ("a" * 62 + "-b", "a" * 62),
        ("a" * 61 + ".-b", "a" * 61),
    ],
)
def test_a_name_that_is_too_long_is_cut_at_63(name: str, expected: str) -> None:
    assert names.short_name(Key("default", name), SandboxSpec()) == expected


def test_a_whole_name_may_have_64_characters_and_is_never_cut() -> None:
    room = names.KERNEL_MAX - len(".sub.shop.svc.cluster.local")
    fits = SandboxSpec(hostname="h" * room, subdomain="sub", fqdn_as_hostname=True)
    longer = SandboxSpec(hostname="h" * (room + 1), subdomain="sub", fqdn_as_hostname=True)
    assert names.too_long(WEB, fits, DOMAIN) == ""
    assert names.too_long(WEB, longer, DOMAIN).endswith("has 65 characters, more than 64")


def test_a_pod_is_found_by_its_name_and_by_hostname_and_subdomain() -> None:
    assert names.known_as(WEB, PLAIN, DOMAIN) == ("web-0.shop.svc.cluster.local", "web-0.shop.svc", "web-0.shop")
    assert names.known_as(WEB, BOTH, DOMAIN) == (
        "web-0.shop.svc.cluster.local",
        "web-0.shop.svc",
        "web-0.shop",
        "box.sub.shop.svc.cluster.local",
        "box.sub.shop.svc",
        "box.sub.shop",
    )


@pytest.mark.parametrize(
    ("asked", "namespace", "found"),
    [
        ("web-0", "shop", True),
        ("web-0", "other", False),
        ("web-0.shop", "other", True),
        ("web-0.other", "shop", False),
        ("box.sub", "shop", True),
        ("box.sub", "other", False),
        ("box.sub.shop", "other", True),
        ("box.sub.shop.svc", "other", True),
        ("box.sub.shop.svc.cluster.local", "other", True),
    ],
)
def test_as_people_write_it_through_the_search_list(asked: str, namespace: str, found: bool) -> None:
    tried = (*(f"{asked}.{search}" for search in names.searches(namespace, DOMAIN)), asked)
    known = names.known_as(WEB, BOTH, DOMAIN)
    assert any(name in known for name in tried if name.endswith(DOMAIN)) is found
