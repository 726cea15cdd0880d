"""What an env file says for a key, by the kubelet's rules; by sentences."""

from __future__ import annotations

import pytest

from reconciler.model.envfile import value_of

SAYS: list[tuple[str, str, str | None]] = [
    ("a value in single quotes", "K='v'", "v"),
    ("nothing in it is expanded or escaped", "K='$A \\n \"x\" # y'", '$A \\n "x" # y'),
    ("an empty value is one", "K=''", ""),
    ("a comment may follow, and spaces", "K='v'  # why\n", "v"),
    ("a comment may follow at once", "K='v'#why", "v"),
    ("spaces before a name mean nothing", " \t K='v'", "v"),
    ("empty lines and comments are passed over", "\n   \n# K='x'\n  # it's\nK='v'\n", "v"),
    ("a value may go over lines", "A='1\n\n  2'\nK='a\n # b\n'\n", "a\n # b\n"),
    ("a line may end as on Windows", "A='1'\r\nK='a\r\nb'\r\n", "a\nb"),
    ("a space after the sign leaves the value empty", "K= 'v'", ""),
    ("and so it does above the key", "A= 'v'\nK='v'", "v"),
    ("of two of one name the first counts", "K='1'\nK='2'", "1"),
    ("what stands below the key is not looked at", "K='v'\nnonsense", "v"),
    ("a longer name is another one", "KK='v'\nK2='w'", None),
    ("an empty file says nothing", "", None),
]


@pytest.mark.parametrize(("text", "value"), [row[1:] for row in SAYS], ids=[row[0] for row in SAYS])
def test_says(text: str, value: str | None) -> None:
    assert value_of(text, "K") == value


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("K", "line 1: it has no '='"),
        ("\n='v'", "line 2: a name must stand right before '='"),
        ("K ='v'", "line 1: a name must stand right before '='"),
        ("K=v", "line 1: a value must be in single quotes"),
        ("K=", "line 1: a value must be in single quotes"),
        ('K="v"', "line 1: a value must be in single quotes"),
        ("K='v' w", "line 1: something follows the value"),
        ("A='1\n2'3\nK='v'", "line 2: something follows the value"),
        ("#\nK='v\nw\n", "line 2: the quote does not end"),
        ("A=1\nK='v'", "line 1: a value must be in single quotes"),
    ],
)
def test_what_is_no_env_file_is_told_by_its_line(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=f"^{why.replace('?', '.')}$"):
        value_of(text, "K")
