"""Published ports for tables: consecutive ones as a range, as podman shows them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from reconciler.model.spec import PortBinding


def ranges(bindings: Iterable[PortBinding]) -> Iterator[tuple[PortBinding, int]]:
    """The first of each run of consecutive ports (inside as outside), and how many there are in it."""
    first, count = None, 0
    for binding in sorted(bindings, key=lambda b: (b.host_ip, b.protocol, b.host_port)):
        if first is not None and _follows(binding, first, count):
            count += 1
            continue
        if first is not None:
            yield first, count
        first, count = binding, 1
    if first is not None:
        yield first, count


def run(first: int, count: int) -> str:
    """ "80", or "8000-8010"."""
    return str(first) if count == 1 else f"{first}-{first + count - 1}"


def _follows(binding: PortBinding, first: PortBinding, count: int) -> bool:
    return (binding.host_ip, binding.protocol, binding.host_port, binding.container_port) == (
        first.host_ip,
        first.protocol,
        first.host_port + count,
        first.container_port + count,
    )
