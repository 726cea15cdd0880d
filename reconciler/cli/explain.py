"""`explain`: what a field of a manifest is for, as kubectl's explain tells it, and what it is here."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.model.errors import InvalidInput

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from reconciler.kube.fields import Field

WIDTH = 80


def paths(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """How the path can go on: the next name."""
    from click.shell_completion import CompletionItem

    from reconciler.kube import fields
    from reconciler.model.errors import NotFound

    above, _, begun = incomplete.rpartition(".")
    if not above:
        kinds = [kind.lower() for kind in fields.KINDS if kind.lower().startswith(begun.lower())]
        return [CompletionItem(kind) for kind in kinds]
    word, _, path = above.partition(".")
    try:
        below = fields.find(fields.kind_named(word), path).fields
    except NotFound:
        return []
    return [CompletionItem(f"{above}.{field.name}") for field in below if field.name.startswith(begun)]


@click.command()
@click.argument("path", metavar="KIND[.FIELD]...", required=False, shell_complete=paths)
@click.option("--recursive", is_flag=True, help="All fields below it, with their types only.")
@click.option("--schemas", is_flag=True, help="Print where the JSON Schemas lie, for editors.")
def explain(path: str | None, recursive: bool, schemas: bool) -> int:
    """Say what a field of a manifest is for, what its default is, what a change costs, and whether it is supported.

    \b
    Example:  reconciler explain pod.spec.containers.livenessProbe
    """
    from reconciler.kube import fields

    if schemas:
        click.echo(str(_schemas()))
        return 0
    if path is None:
        kinds = ", ".join(kind.lower() for kind in fields.KINDS)
        raise InvalidInput("cannot explain nothing: say of which kind", hint=f"one of {kinds}")
    word, _, rest = path.partition(".")
    kind = fields.kind_named(word)
    click.echo("\n".join(told(kind, fields.find(kind, rest), recursive=recursive)))
    return 0


def _schemas() -> Path:
    """The directory of the schemas, by a name that the next version keeps (scripts/install: ``current``)."""
    import reconciler.schemas

    there = Path(reconciler.schemas.__file__).resolve().parent
    prefix = Path(sys.prefix).resolve()
    current = prefix.parent / "current"
    if current.is_symlink() and current.resolve() == prefix and there.is_relative_to(prefix):
        return current / there.relative_to(prefix)
    return there


def _undescribed(field: Field) -> str:
    from reconciler.kube.fields import Support

    ignored = field.support is Support.IGNORED
    becomes = "it is accepted, and has no effect" if ignored else "a manifest that has it is refused"
    return f"What it means is Kubernetes' matter: {becomes}."


def told(kind: str, field: Field, *, recursive: bool = False) -> Iterator[str]:
    """The lines of the answer."""
    yield from (f"KIND:       {kind}", "VERSION:    v1", "")
    if field.path:
        yield from (f"FIELD: {_titled(field)}", "")
        yield from _facts(kind, field)
    yield "DESCRIPTION:"
    yield from _wrapped(field.description or _undescribed(field), 4)
    if field.fields:
        yield from ("", "FIELDS:")
        yield from _tree(field, 2) if recursive else _described(field)


def _facts(kind: str, field: Field) -> Iterator[str]:
    from reconciler.cli import fieldpage

    facts = (
        ("DEFAULT", fieldpage.told_default(field)),
        ("ONE OF", ", ".join(choice or '""' for choice in field.choices)),
        ("A CHANGE", fieldpage.told_cost(kind, field)),
        ("SUPPORTED", fieldpage.told_support(field)),
    )
    for name, text in facts:
        if text:
            yield from textwrap.wrap(f"{name + ':':<12}{text}", WIDTH, subsequent_indent=" " * 12)
    yield ""


def _described(parent: Field) -> Iterator[str]:
    for field in parent.fields:
        yield f"  {_titled(field)}"
        yield from _wrapped(field.description, 4)
        yield ""


def _tree(parent: Field, indent: int) -> Iterator[str]:
    for field in parent.fields:
        yield f"{' ' * indent}{_titled(field)}"
        yield from _tree(field, indent + 2)


def _titled(field: Field) -> str:
    from reconciler.cli import fieldpage
    from reconciler.kube.fields import Support

    marks = [" -required-"] if field.required else []
    marks += {Support.NO: [" (not supported)"], Support.IGNORED: [" (without effect)"]}.get(field.support, [])
    return f"{field.name}\t<{fieldpage.told_type(field)}>{''.join(marks)}"


def _wrapped(text: str, indent: int) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=" " * indent, subsequent_indent=" " * indent)
