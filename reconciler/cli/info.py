"""`info`: this machine as the engine sees it."""

from __future__ import annotations

from typing import Any

import click

from reconciler.cli.settings import Options, pass_options
from reconciler.cli.terminal import harmless, show


@click.command()
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@pass_options
def info(options: Options, form: str) -> int:
    """Show this machine as the engine sees it: which OCI runtime and why not the other, cgroups, network, directories.

    \b
    Example:  reconciler info
    """
    from reconciler import __version__

    facts: dict[str, Any] = {"version": __version__, **options.engine().info()}
    if form == "json":
        import json

        show(json.dumps(facts, indent=2, default=str))
    else:
        click.echo("\n".join(as_text(facts)))
    return 0


def as_text(facts: dict[str, Any], indent: str = "") -> list[str]:
    """``name: value`` lines, nested facts indented below their name, lists as items."""
    lines: list[str] = []
    for name, value in facts.items():
        if isinstance(value, dict) and value:
            lines += [f"{indent}{name}:", *as_text(value, indent + "  ")]
        elif isinstance(value, list | tuple) and value:
            lines += [f"{indent}{name}:", *(f"{indent}  - {harmless(str(v))}" for v in value)]
        else:
            lines.append(f"{indent}{name}: {_word(value)}")
    return lines


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return harmless(str(value)) if value not in (None, "", [], (), {}) else "none"
