"""Quantities are exact, bounded, and refused with the cause."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.kube import quantity


@pytest.mark.parametrize(
    ("text", "thousandths"),
    [
        ("1", 1000),
        ("0.5", 500),
        ("500m", 500),
        ("0.0015", 2),
        ("2.5", 2500),
        ("1e3", 1_000_000),
        ("1E-1", 100),
        (".5", 500),
        ("5.", 5000),
        ("+1", 1000),
        ("0", 0),
        ("-0", 0),
        ("1k", 1_000_000),
        ("1000000u", 1000),
    ],
)
def test_cpu_is_counted_in_thousandths_of_a_core(text: str, thousandths: int) -> None:
    assert quantity.milli(text) == thousandths


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("128Mi", 128 * 2**20),
        ("1.5Gi", 3 * 2**29),
        ("1e9", 10**9),
        ("1E", 10**18),
        ("1G", 10**9),
        ("1Ki", 1024),
        ("100m", 1),
        ("1.5", 2),
        ("7Ei", 7 * 2**60),
        ("0.1Ki", 103),
    ],
)
def test_memory_is_counted_in_bytes_rounded_up(text: str, size: int) -> None:
    assert quantity.whole(text) == size


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "an empty quantity"),
        ("-1", "negative"),
        ("1,5", "write decimals with a point"),
        ("abc", "is not a quantity such as"),
        ("1 Gi", "is not a quantity such as"),
        ("1Gb", "did you mean Gi?"),
        ("1mi", "did you mean Mi?"),
        ("1K", "did you mean"),
        ("8Ei", "too large"),
        ("1e30", "too large"),
        ("1e999999999", "too large"),
        ("1e-999999999", "too small"),
        ("1e99999999999999", "is not a quantity"),
        ("9" * 65, "65 characters"),
        ("\u0661", "is not a quantity"),
        ("0x10", "is not a quantity"),
        ("inf", "is not a quantity"),
    ],
)
def test_a_bad_quantity_says_why(text: str, cause: str) -> None:
    with pytest.raises(ValueError, match=cause.replace("?", r"\?")):
        quantity.parse(text)


@given(st.text(max_size=70))
def test_any_text_is_an_amount_or_a_value_error(text: str) -> None:
    try:
        assert quantity.parse(text) >= 0
    except ValueError as error:
        assert "\n" not in str(error) or "\n" in text


@given(st.integers(0, 2**63 - 1))
def test_what_is_shown_reads_back_as_the_same_amount(amount: int) -> None:
    assert quantity.whole(quantity.show_memory(amount)) == amount
    assert quantity.milli(quantity.show_cpu(amount)) == amount
