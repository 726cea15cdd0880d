"""Limits: how an owner writes them, and what remains of them on a machine that does not let us raise any."""

from __future__ import annotations

import pytest

from reconciler.engine.oci import rlimits
from reconciler.engine.oci.rlimits import INFINITY, Rlimit

NONE_TOLD: tuple[str, ...] = ()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("nofile=1024:2048", Rlimit("nofile", 1024, 2048)),
        ("NPROC=5", Rlimit("nproc", 5, 5)),
        ("core=0:unlimited", Rlimit("core", 0, INFINITY)),
        ("memlock=-1", Rlimit("memlock", INFINITY, INFINITY)),
    ],
)
def test_a_limit_is_read(text: str, wanted: Rlimit) -> None:
    assert rlimits.parse(text) == wanted


@pytest.mark.parametrize("text", ["", "nofile", "nofile=", "nofile=a", "nofile=5:", "x=1", "nofile=5:4", "nofile=²"])
def test_what_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="limit"):
        rlimits.parse(text)


def test_an_owners_limit_stands_in_place_of_the_default() -> None:
    mine = (Rlimit("nofile", 5, 5), Rlimit("core", 0, 0))
    assert rlimits.merged(mine) == (Rlimit("nofile", 5, 5), rlimits.DEFAULT[1], Rlimit("core", 0, 0))


def test_nothing_above_our_own_hard_limit_is_asked_for_and_what_was_cut_is_told() -> None:
    own = {"nofile": 4096, "nproc": INFINITY}
    got, told = rlimits.settle(rlimits.DEFAULT, None, own.__getitem__)
    assert got == (Rlimit("nofile", 4096, 4096), rlimits.DEFAULT[1])
    assert told == ("nofile is 4096, not 1048576: our own hard limit, and CAP_SYS_RESOURCE is missing",)


def test_with_the_capability_only_the_kernels_own_ceiling_counts() -> None:
    assert rlimits.settle(rlimits.DEFAULT, 1 << 30, lambda _: 5) == (rlimits.DEFAULT, NONE_TOLD)
    (nofile, _), told = rlimits.settle(rlimits.DEFAULT, 9, lambda _: 5)
    assert (nofile, told) == (Rlimit("nofile", 9, 9), ("nofile is 9, not 1048576: fs.nr_open",))


def test_the_runtime_is_told_numbers() -> None:
    assert rlimits.parse("core=unlimited").oci() == {"type": "RLIMIT_CORE", "hard": 2**64 - 1, "soft": 2**64 - 1}
    assert str(rlimits.parse("core=0:unlimited")) == "core=0:unlimited"
