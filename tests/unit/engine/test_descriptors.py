"""What stays open for long leaves the low numbers to those who can use no others."""

from __future__ import annotations

import os
import resource

from reconciler.engine import descriptors


def test_a_descriptor_moves_out_of_the_way_and_is_not_handed_down() -> None:
    reader, writer = os.pipe()
    try:
        low = reader
        reader = descriptors.out_of_the_way(reader)
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert reader > 1023 or soft <= 2048
        assert reader == low or not os.get_inheritable(reader)
        os.write(writer, b"x")
        assert os.read(reader, 1) == b"x"
    finally:
        os.close(reader)
        os.close(writer)
