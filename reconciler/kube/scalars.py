"""What a plain YAML scalar means, read as Kubernetes reads it (sigs.k8s.io/yaml: YAML 1.1 without its worst).

Differs from PyYAML on purpose: ``22:22`` is no base-60 number and ``2001-01-01`` no date, both are strings.
"""

from __future__ import annotations

import math
import re

Scalar = str | int | float | bool | None

_WORDS: dict[str, Scalar] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
for _true, _false in (("true", "false"), ("yes", "no"), ("on", "off"), ("y", "n")):
    for _style in (str.lower, str.capitalize, str.upper):
        _WORDS[_style(_true)], _WORDS[_style(_false)] = True, False
for _sign, _value in (("", math.inf), ("+", math.inf), ("-", -math.inf)):
    for _word in (".inf", ".Inf", ".INF"):
        _WORDS[_sign + _word] = _value
for _word in (".nan", ".NaN", ".NAN"):
    _WORDS[_word] = math.nan

_INT = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)\Z")
_BASED = re.compile(r"([-+]?)(?:0b([01_]+)|0x([0-9a-fA-F_]+)|0o?([0-7_]+))\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")

LONGEST_NUMBER = 64
"""Longer rows of digits are strings: nobody means a number, and converting them costs quadratic time."""


def resolve(text: str) -> Scalar:
    """The value of an unquoted scalar without a tag."""
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > LONGEST_NUMBER or not (text[0].isdigit() or text[0] in "+-."):
        return text
    if _INT.match(text):
        return int(text.replace("_", ""))
    if based := _BASED.match(text):
        return _based(based)
    if _FLOAT.match(text):
        return float(text.replace("_", ""))
    return text


def _based(match: re.Match[str]) -> Scalar:
    sign, *groups = match.groups()
    for digits, base in zip(groups, (2, 16, 8), strict=True):
        if digits is not None:
            bare = digits.replace("_", "")
            return int(sign + bare, base) if bare else match.string
    raise AssertionError("a based number has one of three bases")
