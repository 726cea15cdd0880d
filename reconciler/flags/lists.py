"""Lists with commas between, as podman's options have them: one with a comma in it stands in quotes."""

from __future__ import annotations

from reconciler.model.errors import InvalidInput


def split(text: str) -> list[str]:
    """The items. Raises InvalidInput for quotes that do not close."""
    if '"' not in text:
        return text.split(",") if text else []
    import csv

    try:
        return next(csv.reader([text], strict=True))
    except csv.Error:
        hint = 'an item with a comma in it stands in quotes as a whole: "a,b",c'
        raise InvalidInput(f"cannot read the list {text!r}: its quotes do not close", hint=hint) from None
