"""``--format`` of podman-style commands: JSON, a table of chosen fields, or a template for each row.

What reads templates is imported when one is used: a plain listing does without.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from reconciler.cli.table import columns
from reconciler.cli.terminal import show

__all__ = ["is_json", "json_text", "object_text", "rows_text", "show"]

Fields = Mapping[str, object]
"""What templates may ask of one row; a value may be a function that gives it."""

_JSON = re.compile(r"\s*(json|\{\{\s*json\s*\.?\s*\}\})\s*")
_TABLE = "table "
_ACTION = re.compile(r"(\{\{.*?\}\})", re.DOTALL)


def is_json(form: str) -> bool:
    """``json``, and what Go's users write for it."""
    return _JSON.fullmatch(form) is not None


def json_text(value: object) -> str:
    """As podman's listings indent it."""
    from reconciler.cli.templates import as_json

    return as_json(value, indent=2)


def rows_text(form: str, rows: Sequence[Fields], headings: Mapping[str, str], *, header: bool = True) -> str:
    """A template (or ``table`` and a template) carried out on each row, or once on all where it begins with
    ``{{range .}}``. Tabs part columns, and after ``table`` blanks do. Raises InvalidInput."""
    from reconciler.cli.template_syntax import Range
    from reconciler.cli.templates import heading, parse, render

    is_table = form.startswith(_TABLE)
    nodes = parse(_by_tabs(form.removeprefix(_TABLE).strip(" ")) if is_table else form)
    if nodes and isinstance(nodes[0], Range) and nodes[0].over_all:
        text = _ended(render(nodes, list(rows)))
    else:
        lines = [heading(nodes, headings)] if is_table and header else []
        text = "".join(map(_ended, [*lines, *(render(nodes, row) for row in rows)]))
    return columns(text) if "\t" in text else text


def _ended(line: str) -> str:
    return line if line.endswith("\n") else f"{line}\n"


def _by_tabs(form: str) -> str:
    """Each run of blanks between actions as one tab."""
    parts = _ACTION.split(form)
    return "".join(part if place % 2 else re.sub(r"(\\t| )+", r"\\t", part) for place, part in enumerate(parts))


def object_text(form: str, value: object) -> str:
    """A template carried out on one object, as ``inspect`` does. Raises InvalidInput."""
    from reconciler.cli.templates import parse, render

    return _ended(render(parse(form), value))
