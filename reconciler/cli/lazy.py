"""Groups of commands that import each command when it is called, so that help and completion import none."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from importlib import import_module
from typing import Any

import click

Sections = tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...]
"""Heading, then for each command: name, where it lives below reconciler.cli, and its short help."""


class LazyGroup(click.Group):
    """The commands of ``sections``. ``aliases``: other names of them, which help does not show. ``brief``: headings
    below which help names the commands, in a line or two, and no more."""

    def __init__(
        self,
        *args: Any,
        sections: Sections = (),
        aliases: Mapping[str, str] | None = None,
        brief: Collection[str] = (),
        **kwargs: Any,
    ):
        super().__init__(*args, **kwargs)
        self.sections = sections
        self.brief = brief
        self.aliases = aliases or {}
        self.places = {name: place for _, commands in sections for name, place, _ in commands}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return list(self.places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 (as above)
        place = self.places.get(self.aliases.get(cmd_name, cmd_name))
        if place is None:
            return None
        module, _, attribute = place.partition(":")
        command: click.Command = getattr(import_module(f"reconciler.cli.{module}"), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:  # click looks for the closest among loaded commands only
            raise click.exceptions.NoSuchCommand(error.command_name, possibilities=self.places, ctx=ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 (as above)
        for title, commands in self.sections:
            with formatter.section(title):
                if title in self.brief:
                    formatter.write_text(" ".join(name for name, _, _ in commands))
                    continue
                formatter.write_dl([(name, short) for name, _, short in commands])
