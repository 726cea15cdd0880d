"""Layers in groups, for kernels that take one page of options. (What is mounted: tests/host/test_images_layers.py.)"""

from __future__ import annotations

import pytest

from conmon.overlay import PAGE, _escape, _grouped, _lowerdir


@pytest.mark.parametrize("count", [2, 204, 205, 206, 409, 500])
def test_groups_hold_all_layers_in_order_fit_a_page_and_none_is_alone(count: int) -> None:
    names = [b"layer-%010d/fs" % n for n in range(count)]
    groups = _grouped(names)
    assert [name for group in groups for name in group] == names
    assert all(len(group) >= 2 and len(_lowerdir(group)) <= PAGE for group in groups)


def test_what_ends_an_option_or_a_layer_is_escaped() -> None:
    assert _escape(rb"a\b,c:d") == rb"a\\b\,c:d"
    assert _escape(rb"a\b,c:d", b":") == rb"a\\b\,c\:d"
