"""Amounts: memory, CPU, processes, seconds. Sizes are podman's (docker/go-units, RAMInBytes): ``k``, ``kb`` and ``kib``
are all 1024 bytes, in any case."""

from __future__ import annotations

import re
from math import ceil
from typing import TYPE_CHECKING

from reconciler.model.errors import InvalidInput
from reconciler.model.spec import Resources

if TYPE_CHECKING:
    from decimal import Decimal

_SIZE = re.compile(r"(\d{1,19}(?:\.\d{1,19})?|\.\d{1,19}) ?(?:([kmgtp])?i?b?)", re.IGNORECASE | re.ASCII)
_NUMBER = re.compile(r"\d{1,9}(\.\d{0,9})?|\.\d{1,9}", re.ASCII)
_WHOLE = re.compile(r"-?\d{1,18}", re.ASCII)
_LARGEST = (1 << 63) - 1

PAGE = 4096
SHARES_OF_A_CORE = 1024
MIN_SHARES, MAX_SHARES = 2, 262_144
MIN_CPU = 10
"""Thousandths: the kernel takes no less than 1 ms in each 100."""
PIDS_MAX = 4_194_304
"""The most that Linux has (PID_MAX_LIMIT on 64 bits)."""

SIZE_HINT = "write a number and k, m or g, as 512m"


def size(text: str, option: str) -> int:
    """Bytes. Raises InvalidInput."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise InvalidInput(f"cannot use {option} {text!r}: it is not a size", hint=SIZE_HINT)
    unit = 1024 ** (1 + "kmgtp".index(match[2].lower())) if match[2] else 1
    amount = int(_decimal(match[1]) * unit)
    if amount > _LARGEST:
        raise InvalidInput(f"cannot use {option} {text!r}: it is more than there can be", hint=SIZE_HINT)
    return amount


def _decimal(text: str) -> Decimal:
    from decimal import Decimal

    return Decimal(text)


def memory(text: str | None, option: str = "--memory") -> int | None:
    """Bytes; None for no limit, which 0 is, too. Raises InvalidInput."""
    amount = size(text, option) if text else 0
    if 0 < amount < PAGE:
        meant = f"did you mean {text}m?" if text and text.isdigit() else SIZE_HINT
        raise InvalidInput(f"cannot use {option} {text!r}: that is {amount} bytes, less than a page", hint=meant)
    return amount or None


def cpus(text: str | None) -> int | None:
    """``--cpus`` in thousandths of a core, rounded up; None for no limit, which 0 is, too. Raises InvalidInput."""
    if not text:
        return None
    if not _NUMBER.fullmatch(text):
        raise InvalidInput(f"cannot use --cpus {text!r}: it is not a number of cores", hint="write one as 1.5 or 2")
    thousandths = ceil(_decimal(text) * 1000)
    if 0 < thousandths < MIN_CPU:
        raise InvalidInput(f"cannot use --cpus {text!r}: the kernel takes no less than 0.01")
    return thousandths or None


def cpu_shares(text: str | None) -> int | None:
    """``--cpu-shares``, 1024 for a core, in thousandths of one; None for the default, which 0 is, too. Raises
    InvalidInput."""
    if not text:
        return None
    number = whole(text, "--cpu-shares")
    if number and not MIN_SHARES <= number <= MAX_SHARES:
        why = f"it must be between {MIN_SHARES} and {MAX_SHARES}; {SHARES_OF_A_CORE} is a core's worth"
        raise InvalidInput(f"cannot use --cpu-shares {text!r}: {why}")
    return -(-number * 1000 // SHARES_OF_A_CORE) or None


def pids_limit(text: str | None) -> int | None:
    """Processes and threads; None for no limit, which -1 and 0 are, too. Raises InvalidInput."""
    number = whole(text, "--pids-limit") if text else 0
    if not -1 <= number <= PIDS_MAX:
        raise InvalidInput(f"cannot use --pids-limit {text!r}: it must be between 1 and {PIDS_MAX}, or -1 for no limit")
    return number if number > 0 else None


def resources(
    memory_limit: str | None = None,
    reservation: str | None = None,
    cpu: str | None = None,
    shares: str | None = None,
    pids: str | None = None,
) -> Resources:
    """What the options say together: a reservation is a request, shares are a request of CPU. Raises InvalidInput."""
    limit, asked = memory(memory_limit), memory(reservation, "--memory-reservation")
    if limit and asked and asked > limit:
        raise InvalidInput(
            f"cannot use --memory-reservation {reservation!r}: it is more than --memory {memory_limit!r}",
            hint="reserve as much as the limit, or less",
        )
    return Resources(cpu_shares(shares), cpus(cpu), asked, limit, pids_limit(pids))


def seconds(text: str, option: str) -> int:
    """Whole seconds, 0 or more. Raises InvalidInput."""
    number = whole(text, option)
    if number < 0:
        raise InvalidInput(f"cannot use {option} {text!r}: it must be 0 seconds or more")
    return number


def whole(text: str, option: str) -> int:
    """A whole number, perhaps negative. Raises InvalidInput."""
    if not _WHOLE.fullmatch(text):
        raise InvalidInput(f"cannot use {option} {text!r}: it is not a whole number")
    return int(text)
