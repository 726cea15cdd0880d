"""Which of podman's images a name means, read from its list. (Real stores: tests/host/test_images_stores.py.)"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reconciler.engine.images.reference import DEFAULT_REGISTRY
from reconciler.engine.images.stores import DOCKER, PODMAN, Stores

ONE, TWO = "1" * 64, "2" * 64
DIGEST = "sha256:" + "d" * 64
IMAGES = [
    {"id": ONE, "names": ["localhost/mine:latest", "localhost/Odd Name"], "digest": DIGEST},
    {"id": TWO, "names": [f"{DEFAULT_REGISTRY}/library/app:1"]},
    {"id": "3" * 64},
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    graph = tmp_path / "graph"
    (graph / "overlay-images").mkdir(parents=True)
    (graph / "overlay-images/images.json").write_text(json.dumps(IMAGES))
    (tmp_path / "storage.conf").write_text(f'[storage]\ngraphroot = "{graph}"\nrunroot = "/run/there"\n')
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", str(tmp_path / "storage.conf"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(tmp_path / "none.conf"))
    return graph


@pytest.mark.parametrize(
    ("text", "id_", "name"),
    [
        ("mine", ONE, "localhost/mine:latest"),
        ("localhost/mine", ONE, "localhost/mine:latest"),
        (f"localhost/mine@{DIGEST}", ONE, f"localhost/mine@{DIGEST}"),
        ("app:1", TWO, f"{DEFAULT_REGISTRY}/library/app:1"),
        (ONE, ONE, ""),
        (f"sha256:{TWO}", TWO, ""),
    ],
)
def test_an_image_is_found_by_what_a_user_calls_it(place: Path, text: str, id_: str, name: str) -> None:
    offer = Stores().find(text)
    assert offer and (offer.store, offer.id, offer.name) == (PODMAN, id_, name)
    assert offer.source == f"containers-storage:[overlay@{place}+/run/there]@{id_}"


@pytest.mark.parametrize("text", ["other", "mine:2", f"localhost/other@{DIGEST}", "f" * 64])
def test_what_is_not_there_is_not_found(place: Path, text: str) -> None:
    assert Stores().find(text) is None
    assert Stores().find("mine", DOCKER) is None


@pytest.mark.parametrize("content", ["", "{", "{}", '["x", 1]', "null"])
def test_a_list_that_cannot_be_read_offers_nothing(place: Path, content: str) -> None:
    (place / "overlay-images/images.json").write_text(content)
    assert Stores().find("mine") is None


def test_a_list_that_was_replaced_is_read_again(place: Path) -> None:
    stores, listing = Stores(), place / "overlay-images/images.json"
    assert stores.find("mine")
    fresh = listing.with_name("fresh")
    fresh.write_text(json.dumps([{"id": TWO, "names": ["localhost/mine:latest"]}]))
    fresh.rename(listing)
    offer = stores.find("mine")
    assert offer and offer.id == TWO
