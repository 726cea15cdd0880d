"""Which images go: a table of disks and images."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.stock import ImagePolicy, Space, Stock, StockedImage
from reconciler.plan.stock import expired, in_turn, is_full, missing, percent

NOW = 10_000.0
OLD = NOW - 5_000
HALF = Space(1_000, 500)


def image(name: str, size: int = 100, *, seen: float = OLD, **fields: float | bool) -> StockedImage:
    return StockedImage(name, name, size, seen, **fields)  # type: ignore[arg-type]


def stock(*images: StockedImage, space: Space = HALF, **policy: float | bool) -> Stock:
    return Stock(images, space, ImagePolicy(**policy))  # type: ignore[arg-type]


def names(images: tuple[StockedImage, ...]) -> list[str]:
    return [one.name for one in images]


@pytest.mark.parametrize(
    ("available", "full", "short"),
    [
        pytest.param(160, False, 40, id="84 % are below the high mark, though above the low one"),
        pytest.param(159, True, 41, id="parts of a per cent count as used, as the kubelet counts"),
        pytest.param(150, True, 50, id="at the high mark it is full"),
        pytest.param(0, True, 200, id="nothing left"),
        pytest.param(200, False, 0, id="at the low mark nothing is missing"),
        pytest.param(900, False, 0, id="nearly empty"),
        pytest.param(1_100, False, 0, id="more available than there is, as some file systems say"),
    ],
)
def test_when_a_disk_is_full_and_how_much_is_missing(available: int, full: bool, short: int) -> None:
    space = Space(1_000, available)
    assert (is_full(space, ImagePolicy()), missing(space, ImagePolicy())) == (full, short)


def test_a_disk_of_no_size_is_not_full() -> None:
    assert not is_full(Space(0, 0), ImagePolicy())


def test_per_cent() -> None:
    assert [percent(Space(1_000, left)) for left in (1_000, 995, 5, 0)] == [0, 1, 100, 100]


@pytest.mark.parametrize(
    ("images", "policy", "go"),
    [
        pytest.param([image("a", used=3.0), image("b", used=2.0)], {}, "ba", id="what was used longest ago is first"),
        pytest.param([image("a", used=1.0), image("b")], {}, "ba", id="what was never used comes before all"),
        pytest.param([image("a"), image("b", seen=OLD - 1)], {}, "ba", id="of two, the one that is here for longer"),
        pytest.param([image("a", used=1.0, held=True), image("b", used=2.0)], {}, "b", id="never one that is held"),
        pytest.param([image("a", seen=NOW - 119)], {}, "", id="none that came a moment ago"),
        pytest.param([image("a", seen=NOW - 120)], {}, "a", id="two minutes are enough"),
        pytest.param([image("a", seen=NOW + 60)], {}, "", id="none from the future: a clock was set back"),
        pytest.param([image("a", seen=NOW - 1)], {"min_age": 0.0}, "a", id="or at once, where that is wanted"),
        pytest.param([image("a", lasting=True), image("b")], {}, "b", id="none that nobody could bring again"),
        pytest.param([image("a", lasting=True)], {"local": True}, "a", id="unless the owner says so"),
    ],
)
def test_whose_turn_it_is(images: list[StockedImage], policy: dict[str, float | bool], go: str) -> None:
    assert names(in_turn(stock(*images, **policy), NOW)) == list(go)


@pytest.mark.parametrize(
    ("one", "policy", "goes"),
    [
        pytest.param(image("a", seen=0.0), {}, False, id="by default none is too old"),
        pytest.param(image("a", used=NOW - 101), {"max_age": 100.0}, True, id="used too long ago"),
        pytest.param(image("a", used=NOW - 100), {"max_age": 100.0}, False, id="just not"),
        pytest.param(image("a", seen=NOW - 150, used=1.0), {"max_age": 200.0}, False, id="had again since"),
        pytest.param(image("a"), {"max_age": 100.0}, True, id="never used, and here for long"),
        pytest.param(image("a", held=True), {"max_age": 100.0}, False, id="never one that is held"),
        pytest.param(image("a", lasting=True), {"max_age": 100.0}, False, id="none that nobody could bring again"),
        pytest.param(image("a", seen=NOW - 60), {"max_age": 50.0}, False, id="the minimum age counts, too"),
    ],
)
def test_which_go_because_they_are_old(one: StockedImage, policy: dict[str, float | bool], goes: bool) -> None:
    assert bool(expired(stock(one, **policy), NOW)) is goes


IMAGES = st.lists(
    st.builds(
        StockedImage,
        id=st.uuids().map(str),
        name=st.just("x"),
        size=st.integers(0, 500),
        seen=st.floats(0, NOW * 2),
        used=st.floats(0, NOW * 2),
        held=st.booleans(),
        lasting=st.booleans(),
    ),
    max_size=12,
)


@given(images=IMAGES, local=st.booleans())
def test_whatever_goes_may_go_in_the_order_of_its_last_use(images: list[StockedImage], local: bool) -> None:
    chosen = in_turn(stock(*images, local=local), NOW)
    assert not any(one.held or NOW - one.seen < 120 or (one.lasting and not local) for one in chosen)
    assert [one.used for one in chosen] == sorted(one.used for one in chosen)
