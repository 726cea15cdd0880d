"""Which password is for which image (the kubelet's rules), and what skopeo is given of it."""

from __future__ import annotations

import json

import pytest

from reconciler.engine.images.keyring import auth_file, fitting, login_of
from reconciler.engine.images.reference import DEFAULT_REGISTRY, parse
from reconciler.model.login import Login

APP = "registry.test:5000/team/app:1"


@pytest.mark.parametrize(
    ("place", "image", "fits"),
    [
        ("registry.test:5000", APP, True),
        ("https://registry.test:5000/v2/", APP, True),
        ("registry.test:5000/team", APP, True),
        ("registry.test:5000/team/app", APP, True),
        ("registry.test:5000/other", APP, False),
        ("registry.test", APP, False),
        ("*.test:5000", APP, True),
        ("reg*.test:5000", APP, True),
        ("*:5000", APP, False),
        ("*.*.test", "a.b.test/x", True),
        ("*.test", "a.b.test/x", False),
        (f"https://index.{DEFAULT_REGISTRY}/v1/", "busybox", True),
        (DEFAULT_REGISTRY, "busybox", True),
        (DEFAULT_REGISTRY, APP, False),
    ],
)
def test_a_password_is_for_a_host_a_path_or_a_pattern(place: str, image: str, fits: bool) -> None:
    assert bool(fitting([Login(place, "x")], parse(image).full())) is fits


def test_the_most_particular_comes_first_and_none_twice() -> None:
    one, two, three = (Login(place, "x") for place in ("*.test:5000", "registry.test:5000", "registry.test:5000/team"))
    assert fitting([one, two, three, two], parse(APP)) == (three, two, one)


def test_skopeo_gets_one_password_for_one_registry() -> None:
    login = login_of("*.test:5000", "me", "pass")
    assert json.loads(auth_file(login, parse(APP))) == {"auths": {"registry.test:5000": {"auth": "bWU6cGFzcw=="}}}
    token = json.loads(auth_file(Login("a", "", "t"), parse(APP)))
    assert token == {"auths": {"registry.test:5000": {"auth": "", "identitytoken": "t"}}}
