"""Names of pods and containers, given and made up."""

from __future__ import annotations

import random
from itertools import islice

import pytest

from reconciler.flags import names
from reconciler.model.errors import InvalidInput


@pytest.mark.parametrize("name", ["web", "Web_1.x-y", "0", "a" * 128])
def test_a_name(name: str) -> None:
    assert names.checked(name, "the pod") == name


@pytest.mark.parametrize("name", ["", "-a", ".a", "_a", "a/b", "a b", "ä", "a\n", "a" * 129])
def test_no_name(name: str) -> None:
    with pytest.raises(InvalidInput, match="cannot name the pod"):
        names.checked(name, "the pod")


def test_a_pod_is_chosen_or_made() -> None:
    assert names.pod_choice("web") == ("web", False)
    assert names.pod_choice("70401d508418") == ("70401d508418", False)
    assert names.pod_choice("new:web") == ("web", True)
    for text in ("", "new:", "new:a/b"):
        with pytest.raises(InvalidInput):
            names.pod_choice(text)


def test_made_up_names_are_two_words_and_later_a_number() -> None:
    found = list(islice(names.random_names(random.Random(1)), 50))
    assert all(names.checked(name, "the pod") for name in found)
    assert [name.count("_") for name in found] == [1] * 50
    assert all(name.replace("_", "").isalpha() for name in found[: names.PLAIN])
    assert all(name[-1].isdigit() for name in found[names.PLAIN :])
    assert len(set(found)) == 50


def test_the_words_are_there_once_and_plain() -> None:
    for words in (names.ADJECTIVES, names.NOUNS):
        assert len(words) == len(set(words)) > 90
        assert all(word.isascii() and word.isalpha() and word.islower() for word in words)
