"""What is told of others' firewalls, and when it is news."""

from __future__ import annotations

import pytest

from reconciler.engine.firewalls import Standing, _as_text, _from_text, _is_told

FORWARD = "table inet house, chain forward: its policy drop keeps"
INPUT = "table inet house, chain input: its policy drop keeps"


@pytest.mark.parametrize(
    ("now", "before", "is_told"),
    [
        pytest.param(f"{FORWARD} pods from the outside", [], False, id="nothing was told"),
        pytest.param(f"{FORWARD} pods from the outside", [f"{FORWARD} pods from the outside"], True, id="the same"),
        pytest.param(f"{FORWARD} pods from the outside", [f"{INPUT} pods from the outside"], False, id="another chain"),
        pytest.param(
            f"{FORWARD} others from published ports and pods from the outside; try: x",
            [f"{FORWARD} pods from the outside; try: y"], False, id="more than before",
        ),
        pytest.param(
            f"{FORWARD} pods from the outside; try: x",
            [f"{FORWARD} others from published ports, pods from the outside and pods from each other; try: x"], True,
            id="less than before",
        ),
        pytest.param(
            f"{FORWARD} others from published ports (80/tcp, 81/tcp)",
            [f"{FORWARD} others from published ports (80/tcp)"], False, id="another port",
        ),
    ],
)  # fmt: skip
def test_what_was_told_already(now: str, before: list[str], is_told: bool) -> None:
    assert _is_told(now, before) is is_told


@pytest.mark.parametrize("text", [None, "", "nonsense", "[1]", "[[],[],[],[],[]]"])
def test_what_cannot_be_read_was_never_told(text: str | None) -> None:
    assert _from_text(text) == Standing()


def test_what_was_told_is_read_back() -> None:
    standing = Standing(("docker",), ("a",), ("b", "c"), ("d",))
    assert _from_text(_as_text(standing)) == standing
