"""Names and ids of containers and pods, for a shell that completes: for ``shell_complete`` of an argument or option.

Quick, as somebody waits at a key: only the index and the small records are read. Whatever is in the way, a shell gets
no answer and no error; and nothing is made that is not there yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.model.errors import ReconcilerError
from reconciler.model.key import ContainerId

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from reconciler.engine.context import Context

SHORT = 12


@dataclass(frozen=True, slots=True)
class Known:
    """A container or a pod. ``name`` is as listings show it; ``other`` will do, too, where it is the only one."""

    id: str
    name: str
    other: str
    namespace: str
    is_pod: bool = False


def containers(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The containers that begin so: by name, and from the second digit on by id."""
    return _items([known for known in _known(ctx) if not known.is_pod], incomplete)


def pods(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The same for pods, but for those that are there for one container only."""
    return _items([known for known in _known(ctx) if known.is_pod], incomplete)


def either(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Containers and pods."""
    return _items(_known(ctx), incomplete)


def anything(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Containers, pods and images."""
    from reconciler.cli.imagelist import completed

    return [*either(ctx, param, incomplete), *completed(ctx, param, incomplete)]


def _items(known: list[Known], incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    words = [one.name for one in known if one.name.startswith(incomplete)]
    words = words or [one.other for one in known if one.other.startswith(incomplete)]
    if len(incomplete) > 1:
        words += [one.id[: max(SHORT, len(incomplete))] for one in known if one.id.startswith(incomplete)]
    return [CompletionItem(word) for word in dict.fromkeys(words)]


def _known(ctx: click.Context) -> list[Known]:
    """Everything that is on record, of the namespace that the command line says."""
    namespace = ctx.params.get("namespace")
    try:
        return [known for known in _read(ctx) if namespace in (None, known.namespace)]
    except (ReconcilerError, OSError):
        return []


def _read(ctx: click.Context) -> Iterator[Known]:
    context = _context(ctx)
    if context is None:
        return
    from reconciler.cli.gather import by_hand
    from reconciler.engine import recorded
    from reconciler.engine.store import pods as index

    hand = by_hand(context.layout.hand)
    for row in index.all_pods(context.store):
        if row.key not in hand or not hand[row.key].solo:
            yield Known(row.id, row.key.name, str(row.key), row.key.namespace, is_pod=True)
    for container in index.all_containers(context.store):
        made = recorded.record_of(context, ContainerId(container))
        if made is not None and not made.infra:
            whole = f"{made.key.name}/{made.name}"
            names = (made.name, whole) if made.key in hand else (whole, made.name)
            yield Known(container, *names, made.key.namespace)


def _context(ctx: click.Context) -> Context | None:
    """The instance that the command line means; None where there is none."""
    from reconciler.engine.context import Context, Settings
    from reconciler.engine.layout import Layout

    root = ctx.find_root().params.get("root")
    layout = Layout.at(Path(root) if root else None)
    return Context(Settings(), layout) if layout.database.exists() else None
