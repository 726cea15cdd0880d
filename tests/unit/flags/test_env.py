"""``-e``, ``--env-file``, ``--label``, ``--label-file``."""

from __future__ import annotations

import pytest

from reconciler.flags import env, labels
from reconciler.model.errors import InvalidInput

OURS = {"HOME": "/root", "LC_ALL": "C", "LC_TIME": "de", "EMPTY": "", "https_proxy": "http://p:1", "NO_PROXY": "x"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param([], {}, id="nothing"),
        pytest.param(["A=1"], {"A": "1"}, id="a value"),
        pytest.param(["A=b=c"], {"A": "b=c"}, id="a value with an equals sign"),
        pytest.param(["A="], {"A": ""}, id="an empty value"),
        pytest.param(["A='x y'"], {"A": "'x y'"}, id="quotes are part of it"),
        pytest.param(["A=1\n2"], {"A": "1\n2"}, id="a value of two lines"),
        pytest.param(["HOME"], {"HOME": "/root"}, id="ours"),
        pytest.param(["EMPTY"], {"EMPTY": ""}, id="ours, empty"),
        pytest.param(["NOWHERE"], {}, id="ours, not set"),
        pytest.param(["LC_*"], {"LC_ALL": "C", "LC_TIME": "de"}, id="ours by their beginning"),
        pytest.param(["LC_*=x"], {"LC_*": "x"}, id="a star with a value is a name"),
        pytest.param(["A=1", "A=2"], {"A": "2"}, id="the later counts"),
        pytest.param(["my.var=1", "2=3"], {"my.var": "1", "2": "3"}, id="names are free"),
    ],
)
def test_what_e_means(words: list[str], expected: dict[str, str]) -> None:
    assert env.variables(words, [], OURS) == expected


def test_a_star_alone_takes_all_of_ours() -> None:
    assert env.variables(["*"], [], OURS) == OURS


FILE = """\
# a comment
A=1
   B=two words   \r
\t# another
C="quoted"  # no comment
D=

HOME
LC_*
NOWHERE
"""


def test_a_file_is_read_as_podman_reads_it() -> None:
    assert env.variables([], [("f", "\ufeff" + FILE)], OURS) == {
        "A": "1",
        "B": "two words   ",
        "C": '"quoted"  # no comment',
        "D": "",
        "HOME": "/root",
        "LC_ALL": "C",
        "LC_TIME": "de",
    }


def test_a_later_file_wins_over_an_earlier_and_e_over_both() -> None:
    files = [("one", "A=1\nB=1\nC=1"), ("two", "B=2\nC=2")]
    assert env.variables(["C=3"], files, {}) == {"A": "1", "B": "2", "C": "3"}


@pytest.mark.parametrize(
    ("words", "text", "says"),
    [
        (["=1"], "", "cannot set a variable (-e '=1'): it has no name"),
        ([""], "", "it has no name"),
        ([], "\n\n=1", "cannot set a variable (f, line 3): it has no name"),
        ([], "export A=1", "cannot set a variable (f, line 1): 'export A' has blanks in its name"),
        ([], "A = 1", "'A ' has blanks in its name"),
        ([], "A=\0", "cannot set variable A (f, line 1): it holds a NUL character"),
    ],
)
def test_what_is_no_variable(words: list[str], text: str, says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        env.variables(words, [("f", text)], OURS)
    assert says in refused.value.message


def test_proxies_are_handed_on_in_either_spelling() -> None:
    assert env.proxies({**OURS, "ftp_proxy": ""}) == {"https_proxy": "http://p:1", "NO_PROXY": "x"}


def test_labels() -> None:
    assert labels.labels(["b=2", "a", "c=x=y", "b=3"]) == (("a", ""), ("b", "3"), ("c", "x=y"))


def test_labels_of_a_file_come_before_those_of_the_line() -> None:
    assert labels.labels(["a=2"], [("f", "# no\na=1\n  b=two words\nc\n")]) == (
        ("a", "2"),
        ("b", "two words"),
        ("c", ""),
    )


@pytest.mark.parametrize("word", ["", "=", "=x", " =x"])
def test_a_label_has_a_key(word: str) -> None:
    with pytest.raises(InvalidInput, match="it has no key"):
        labels.labels([word])
