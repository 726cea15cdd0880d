"""``-p``: host ports of a pod."""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.model import publish
from reconciler.model.errors import InvalidInput
from reconciler.model.spec import PortBinding, Protocol

HINT = "write [[IP:]HOST:]CONTAINER[/PROTOCOL], as 8080:80, 127.0.0.1:8080:80 or 5000-5010:5000-5010/udp"


def bindings(texts: Iterable[str]) -> tuple[PortBinding, ...]:
    """The host ports of every ``-p``, sorted; host port 0 is "any that is free". Raises InvalidInput."""
    return together((), (binding for text in texts for binding in _one(text)))


def together(some: Iterable[PortBinding], others: Iterable[PortBinding]) -> tuple[PortBinding, ...]:
    """All of them, sorted, each once. Raises InvalidInput where two want one host port."""
    found = tuple(sorted({*some, *others}))
    at: dict[tuple[int, Protocol], list[PortBinding]] = {}
    for one in found:
        others = at.setdefault((one.host_port, one.protocol), [])
        if one.host_port and (other := next(filter(one.overlaps, others), None)):
            raise InvalidInput(f"cannot publish {_told(other)} and {_told(one)}: that is one host port")
        others.append(one)
    return found


def _one(text: str) -> Iterable[PortBinding]:
    try:
        entry = publish.parse(text)
    except ValueError as error:
        raise InvalidInput(f"cannot publish {error}", hint=HINT) from None
    if flaw := publish.address_flaw(entry.host_ip):
        raise InvalidInput(f"cannot publish {text!r}: {flaw}")
    outside = entry.host or [0] * len(entry.inside)
    return (PortBinding(h, c, entry.protocol, entry.host_ip) for h, c in zip(outside, entry.inside, strict=True))


def _told(binding: PortBinding) -> str:
    return f"{binding}->{binding.container_port}"
