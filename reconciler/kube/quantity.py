"""Kubernetes quantities: ``500m``, ``0.5``, ``128Mi``, ``1e3`` (apimachinery/pkg/api/resource/quantity.go).

Exact (Decimal, never float), and bounded: an exponent of a million digits is an error, not a long computation.
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Context, Decimal

from reconciler.model.words import show_bytes

STORAGE = "ephemeral-storage"
"""The resource that is a container's own part of the disk."""

_FORM = re.compile(r"([+-]?)(\d+\.?\d*|\.\d+)(?:([eE][+-]?\d{1,9})|([A-Za-z]{1,2}))?\Z", re.ASCII)

_SUFFIX = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal("1e3"),
    "M": Decimal("1e6"),
    "G": Decimal("1e9"),
    "T": Decimal("1e12"),
    "P": Decimal("1e15"),
    "E": Decimal("1e18"),
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", start=1)},
}
SUFFIXES = ", ".join(_SUFFIX)

LARGEST = Decimal(2**63 - 1)

_LONGEST = 64
_EXACT = Context(prec=200)


def parse(text: str) -> Decimal:
    """The amount that ``text`` means. Raises ValueError with the cause in words."""
    match = _FORM.match(text) if len(text) <= _LONGEST else None
    if match is None:
        raise ValueError(_complaint(text))
    sign, digits, exponent, suffix = match.groups()
    if sign == "-" and Decimal(digits):
        raise ValueError(f"{text} is negative")
    if suffix and suffix not in _SUFFIX:
        raise ValueError(f"{text!r} has an unknown suffix: use one of {SUFFIXES}{_meant(suffix)}")
    power = int(exponent[1:]) if exponent else 0
    if abs(power) > 40:
        raise ValueError(f"{text} is too {'large' if power > 0 else 'small'}")
    amount = _EXACT.multiply(Decimal(digits), _SUFFIX[suffix] if suffix else Decimal(10) ** power)
    if amount > LARGEST:
        raise ValueError(f"{text} is too large")
    return amount


def milli(text: str) -> int:
    """Thousandths, rounded up: what CPU is counted in. Raises ValueError."""
    amount = _EXACT.multiply(parse(text), Decimal(1000))
    if amount and amount < 1:
        raise ValueError(f"{text} is less than a thousandth of a core (1m)")
    return int(amount.to_integral_value(ROUND_CEILING, _EXACT))


def whole(text: str) -> int:
    """Units, rounded up: what memory is counted in. Raises ValueError."""
    return int(parse(text).to_integral_value(ROUND_CEILING, _EXACT))


def written(value: str | int | float) -> str:
    """A quantity as text: YAML may have read 0.5 as a number."""
    return value.strip() if isinstance(value, str) else repr(value)


def show_cpu(thousandths: int) -> str:
    """The shortest usual form: ``2``, ``500m``."""
    return f"{thousandths // 1000}" if thousandths % 1000 == 0 else f"{thousandths}m"


def show_memory(size: int) -> str:
    """The shortest exact form with a binary suffix: ``128Mi``, ``1000``."""
    return show_bytes(size)


def _complaint(text: str) -> str:
    if not text:
        return "an empty quantity"
    if len(text) > _LONGEST:
        return f"a quantity of {len(text)} characters"
    if "," in text:
        return f"{text!r} is not a quantity: write decimals with a point"
    return f"{text!r} is not a quantity such as 500m, 0.5 or 128Mi"


def _meant(suffix: str) -> str:
    likely = {
        "mb": "Mi",
        "gb": "Gi",
        "kb": "Ki",
        "k": "Ki",
        "ki": "Ki",
        "mi": "Mi",
        "gi": "Gi",
        "ti": "Ti",
        "g": "G",
        "b": "",
    }
    near = likely.get(suffix.lower())
    return f" (did you mean {near}?)" if near and near != suffix else ""
