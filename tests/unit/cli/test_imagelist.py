"""Which images a filter lets through, and in which order they come."""

from __future__ import annotations

from typing import Any, cast

import click
import pytest

from reconciler.cli import imagelist
from reconciler.engine.images.image import Image
from reconciler.engine.images.images import Images

APP = Image("a" * 64, ("registry.test/team/app:1", "localhost/app:live"), (), size=5, created="2024-01-02T00:00:00Z")
OLD = Image("b" * 64, (), (), size=9, created="2020-01-01T00:00:00.123456789Z")
BARE = Image("c" * 64, ("localhost/zz:1",), (), size=1)
LABELS: dict[str, Any] = {APP.id: {"stage": "live"}, OLD.id: None, BARE.id: {"stage": "test"}}


class Store:
    """The images above."""

    def list(self) -> tuple[Image, ...]:
        return (APP, OLD, BARE)

    def get(self, reference: str) -> Image | None:
        return {"app": APP, "old": OLD}.get(reference)

    def inspect(self, reference: str) -> dict[str, Any]:
        return {"Labels": LABELS[reference]}


STORE = cast(Images, Store())


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([], [APP, OLD, BARE]),
        (["dangling=true"], [OLD]),
        (["dangling=false"], [APP, BARE]),
        (["reference=app"], [APP]),
        (["reference=team/app:1"], [APP]),
        (["reference=registry.test/*/app"], [APP]),
        (["reference=app:2"], []),
        (["reference=*z"], [BARE]),
        (["label=stage"], [APP, BARE]),
        (["label=stage=live"], [APP]),
        (["before=app"], [OLD, BARE]),
        (["since=old"], [APP]),
        (["until=2022-01-01"], [OLD, BARE]),
        (["until=1h"], [APP, OLD, BARE]),
        (["id=sha256:aaaa"], [APP]),
        (["dangling=false", "label=stage=test"], [BARE]),
    ],
)
def test_filters(filters: list[str], expected: list[Image]) -> None:
    assert imagelist.chosen(STORE, filters) == expected


@pytest.mark.parametrize("wrong", ["dangling", "dangling=perhaps", "colour=red", "until=soon"])
def test_a_wrong_filter_is_a_usage_error(wrong: str) -> None:
    with pytest.raises(click.UsageError):
        imagelist.chosen(STORE, [wrong])


@pytest.mark.parametrize(
    ("order", "ids"), [("created", "abc"), ("id", "abc"), ("size", "bac"), ("repository", "bac"), ("tag", "acb")]
)
def test_orders(order: str, ids: str) -> None:
    assert "".join(image.id[0] for image in imagelist.ordered(STORE.list(), order)) == ids


def test_rows_follow_names_where_names_decide() -> None:
    rows = imagelist.rows(STORE.list(), "repository", slice(3), digests=False)
    assert [row[:3] for row in rows] == [
        ("<none>", "<none>", "bbb"),
        ("localhost/app", "live", "aaa"),
        ("localhost/zz", "1", "ccc"),
        ("registry.test/team/app", "1", "aaa"),
    ]
