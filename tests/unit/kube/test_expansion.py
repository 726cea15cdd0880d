"""``$(NAME)`` by the kubelet's rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.expansion import LONGEST, escape, expand, expand_env

VALUES = {"A": "1", "B": "$(A)", "EMPTY": ""}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(A)", "x1y1"),
        ("$(B)", "$(A)"),
        ("$(EMPTY)x", "x"),
        ("$(NOPE)", "$(NOPE)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$$$$(A)", "$$(A)"),
        ("$$", "$"),
        ("$A", "$A"),
        ("$", "$"),
        ("a$", "a$"),
        ("$(A", "$(A"),
        ("$(A $$", "$(A $"),
        ("$()", "$()"),
        ("$($(A))", "$($(A))"),
        ("$(A)$(NOPE)$(A)", "1$(NOPE)1"),
        ("$x$(A)", "$x1"),
        ("$(date +%T\n)", "$(date +%T\n)"),
    ],
)
def test_references_are_replaced_once(text: str, result: str) -> None:
    assert expand(text, VALUES) == result


def test_a_variable_sees_those_before_it_and_the_later_of_two_wins() -> None:
    env = [("A", "1"), ("B", "$(A)$(C)"), ("C", "$(B)"), ("A", "$(A)2"), ("D", "$(A)")]
    assert expand_env(env) == {"A": "12", "B": "1$(C)", "C": "1$(C)", "D": "12"}


@given(st.text(alphabet="$()AB x"), st.dictionaries(st.sampled_from(["A", "B", ""]), st.text()))
def test_escaped_text_stays_what_it_is(text: str, values: dict[str, str]) -> None:
    assert expand(escape(text), values) == text


def test_a_result_too_long_for_a_process_is_refused_before_it_is_made() -> None:
    with pytest.raises(ValueError, match="128 KiB"):
        expand("$(A)" * 2_000_000, {"A": "x" * LONGEST})
    assert len(expand("$(A)", {"A": "x" * LONGEST})) == LONGEST
