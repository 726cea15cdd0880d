"""Sizes, CPU, processes and seconds as podman's options write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.engine.oci.linux import shares
from reconciler.flags import amounts
from reconciler.model.errors import InvalidInput
from reconciler.model.spec import Resources


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4096", 4096),
        ("4096b", 4096),
        ("512m", 512 << 20),
        ("512M", 512 << 20),
        ("512mb", 512 << 20),
        ("512MiB", 512 << 20),
        ("512 m", 512 << 20),
        ("1.5g", 3 << 29),
        (".5k", 512),
        ("1t", 1 << 40),
        ("2P", 1 << 51),
        ("0", 0),
        ("0.3k", 307),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert amounts.size(text, "--memory") == size


@pytest.mark.parametrize(
    "text", ["", "m", "1x", "-1", "1mm", "1e3", "1,5g", "12 mb b", "1.m2", "ⅷ", "٣k", "9" * 20, "9999p"]
)
def test_no_sizes(text: str) -> None:
    with pytest.raises(InvalidInput, match="cannot use --memory"):
        amounts.size(text, "--memory")


@pytest.mark.parametrize(("text", "limit"), [(None, None), ("", None), ("0", None), ("64m", 64 << 20)])
def test_memory(text: str | None, limit: int | None) -> None:
    assert amounts.memory(text) == limit


def test_a_limit_below_a_page_is_a_forgotten_unit() -> None:
    with pytest.raises(InvalidInput) as refused:
        amounts.memory("512")
    assert refused.value.hint == "did you mean 512m?"


@pytest.mark.parametrize(
    ("text", "thousandths"),
    [(None, None), ("0", None), ("0.000", None), ("1", 1000), ("1.5", 1500), (".5", 500), ("2.", 2000), ("0.0101", 11)],
)
def test_cpus(text: str | None, thousandths: int | None) -> None:
    assert amounts.cpus(text) == thousandths


@pytest.mark.parametrize("text", ["-1", "500m", "one", "1e2", "1,5", "inf", "nan", "0.009", " 1"])
def test_no_cpus(text: str) -> None:
    with pytest.raises(InvalidInput, match="cannot use --cpus"):
        amounts.cpus(text)


@given(st.integers(amounts.MIN_SHARES, amounts.MAX_SHARES))
def test_cpu_shares_come_back_as_they_were_given(wanted: int) -> None:
    request = amounts.cpu_shares(str(wanted))
    assert shares(Resources(cpu_request=request)) in (wanted, wanted + 1)


@pytest.mark.parametrize(
    ("text", "says"), [("1", "between 2 and 262144"), ("262145", "1024 is a core"), ("x", "whole")]
)
def test_no_cpu_shares(text: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        amounts.cpu_shares(text)


@pytest.mark.parametrize(("text", "limit"), [(None, None), ("-1", None), ("0", None), ("100", 100)])
def test_pids(text: str | None, limit: int | None) -> None:
    assert amounts.pids_limit(text) == limit


@pytest.mark.parametrize("text", ["-2", "4194305", "many", "1.5", "--"])
def test_no_pids(text: str) -> None:
    with pytest.raises(InvalidInput, match="cannot use --pids-limit"):
        amounts.pids_limit(text)


def test_resources_together() -> None:
    assert amounts.resources("1g", "512m", "0.5", "1024", "50") == Resources(1000, 500, 512 << 20, 1 << 30, 50)
    assert amounts.resources() == Resources()


def test_more_cannot_be_reserved_than_may_be_used() -> None:
    with pytest.raises(InvalidInput, match="--memory-reservation '2g': it is more than --memory '1g'"):
        amounts.resources("1g", "2g")


def test_seconds() -> None:
    assert amounts.seconds("0", "--stop-timeout") == 0
    for text in ("-1", "1.5", "soon", ""):
        with pytest.raises(InvalidInput, match="cannot use --stop-timeout"):
            amounts.seconds(text, "--stop-timeout")
