"""Which images a filter lets through, and in which order they come."""

from __future__ import annotations

from typing import Any, cast

import click
import pytest

from reconciler.cli import formats, imagelist, network
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


def test_a_template_is_carried_out_for_each_name():
    given = imagelist.fields(STORE.list(), "repository", slice(3))
    assert formats.rows_text("table {{.Repository}} {{.Tag}} {{.ID}}", given, imagelist.HEADINGS) == (
        "REPOSITORY              TAG     IMAGE ID\n"
        "<none>                  <none>  bbb\n"
        "localhost/app           live    aaa\n"
        "localhost/zz            1       ccc\n"
        "registry.test/team/app  1       aaa\n"
    )
    created = formats.rows_text("{{.CreatedAt}}", imagelist.fields([APP], "created", slice(3)), {})
    assert created.splitlines()[0].startswith("2024-01-02 00:00:00")


def test_what_an_image_leaves_out_can_be_asked_for():
    told = imagelist.whole({"Id": "aa", "Labels": None, "Config": {"Cmd": ["sh"], "Labels": {"a": "b"}}})
    form = "{{.Config.User}}|{{.Config.Cmd}}|{{.Config.Labels.a}}|{{.Config.Labels.no}}|{{.Labels}}"
    assert formats.object_text(form, told) == "|[sh]|b|<no value>|map[]\n"


def test_a_network_by_podmans_names():
    told = {
        "name": "backend", "id": "37a8", "driver": "bridge", "network_interface": "rc-x", "created": 0.0,
        "subnets": [{"subnet": "10.90.0.0/24", "gateway": "10.90.0.1"}], "ipv6_enabled": False, "internal": True,
        "dns_enabled": True, "labels": {"a": "b"}, "options": {}, "pods": {},
    }  # fmt: skip
    form = "{{.Name}} {{.ID}} {{range .Subnets}}{{.Gateway}}{{end}} {{.Internal}} {{.Labels.a}}"
    assert formats.object_text(form, network.fields(told)) == "backend 37a8 10.90.0.1 true b\n"
    assert network.fields(told, slice(2))["ID"] == "37"
