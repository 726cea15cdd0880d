"""A command with podman's many options: read as podman reads them, shown on one screen.

Podman's (pflag's) way with switches: ``--rm``, ``--rm=false``, ``-dit``; and options end at the first word that is
none, since what follows is the container's. ``--help`` explains the options that are used most and names the others;
``--help-all`` explains all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from inspect import cleandoc
from typing import Any

import click

from reconciler.flags.lists import split

_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")
"""As Go reads them (strconv.ParseBool)."""


class Option(click.Option):
    """``section`` is its heading in the help; ``common``: it is explained on the first screen."""

    def __init__(self, *names: Any, section: str = "", common: bool = False, **settings: Any) -> None:
        super().__init__(*names, **settings)
        self.section, self.common = section, common

    @property
    def word(self) -> str:
        """``--memory``: its first name that is no letter."""
        return next(name for name in self.opts if name.startswith("--"))


class Switch(Option):
    """On or off. ``default`` None: on, or whatever follows from the rest."""

    def __init__(self, *names: Any, default: bool | None = False, **settings: Any) -> None:
        super().__init__(*names, default=default, is_flag=True, flag_value=True, type=click.BOOL, **settings)

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        found = super().get_help_record(ctx)
        return found if found is None or self.default is False else (f"{found[0]}[=false]", found[1])


def several(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """A callback for options whose values are lists with commas between (pflag's StringSlice)."""
    return tuple(item for value in values for item in split(value))


class PodmanCommand(click.Command):
    """See the module. ``podman`` is the command's name in podman, where it is another one than here."""

    def __init__(self, *args: Any, podman: str = "", **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.context_settings = {"allow_interspersed_args": False, **self.context_settings}
        self.podman = podman or self.name or ""
        self.params.append(
            click.Option(
                ["--help-all"],
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=self._show_all,
                help="Explain every option, and exit.",
            )
        )

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        rest, switched = self._switches(ctx, args)
        try:
            left = super().parse_args(ctx, rest)
        except click.NoSuchOption as error:
            raise self._unknown(error, ctx) from None
        except click.UsageError as error:
            error.ctx = error.ctx or ctx  # click's parser knows none
            raise
        ctx.params.update(switched)
        return left

    def _unknown(self, error: click.NoSuchOption, ctx: click.Context) -> click.UsageError:
        """What podman has and we have not is told with its reason."""
        from reconciler.flags.podman import LEFT_OUT, verdict

        found = verdict(self.podman, error.option_name)
        if found is None or found[0] is not LEFT_OUT:
            error.ctx = error.ctx or ctx
            return error
        return click.UsageError(f"podman's {error.option_name} is not here: {found[1]}", ctx)

    # --- switches ----------------------------------------------------------------------------------------------

    def _switches(self, ctx: click.Context, args: list[str]) -> tuple[list[str], dict[str, bool]]:
        """The words without the switches that are written out, and what those say."""
        options = {name: p for p in self.params if isinstance(p, click.Option) for name in p.opts}
        left, switched, at = [], dict[str, bool](), 0
        while at < len(args) and args[at] != "--":
            word = args[at]
            if word == "-" or not word.startswith("-"):
                if not ctx.allow_interspersed_args:
                    break
                left.append(word)
                at += 1
                continue
            name, equals, value = word.partition("=")
            option = options.get(name)
            if isinstance(option, Switch) and (equals or word.startswith("--")):
                switched[str(option.name)] = _truth(ctx, name, value) if equals else True
            else:
                taken = 2 if self._wants_next(word, options) else 1
                left += args[at : at + taken]
                at += taken - 1
            at += 1
        return left + args[at:], switched

    def _wants_next(self, word: str, options: dict[str, click.Option]) -> bool:
        """Whether the word that follows is this one's value."""
        if word.startswith("--"):
            option = options.get(word)
            return option is not None and not option.is_flag
        for place, letter in enumerate(word[1:], start=1):
            option = options.get(f"-{letter}")
            if option is not None and not option.is_flag:
                return place == len(word) - 1
        return False

    # --- help --------------------------------------------------------------------------------------------------

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Usage, what it does, the common options with what they do, the others' names, an example: 24 lines."""
        about, _, example = cleandoc(self.help or "").partition("\b\n")
        self.format_usage(ctx, formatter)
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(about.strip())
        formatter.write_paragraph()
        self.format_options(ctx, formatter)
        if example:
            formatter.write(f"{example.strip()}\n")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        known = [p for p in self.params if isinstance(p, Option) and not p.hidden]
        with formatter.indentation():
            records = (p.get_help_record(ctx) for p in known if p.common)
            formatter.write_dl([record for record in records if record], col_max=32)
        if any(not p.common for p in known):
            formatter.write(f"Others (explained by {ctx.command_path} --help-all):\n")
        for section, options in _by_section(p for p in known if not p.common):
            formatter.write("\n".join(_filled(f"  {section:<8}", [p.word for p in options], formatter.width)) + "\n")

    def _show_all(self, ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
        if not wanted:
            return
        formatter = ctx.make_formatter()
        self.format_usage(ctx, formatter)
        known = [p for p in self.params if isinstance(p, Option) and not p.hidden]
        for section, options in _by_section(known):
            with formatter.section(section):
                formatter.write_dl([r for p in options if (r := p.get_help_record(ctx))], col_max=32)
        click.echo(formatter.getvalue().rstrip("\n"))
        ctx.exit()


def _by_section(options: Iterator[Option] | list[Option]) -> list[tuple[str, list[Option]]]:
    found: dict[str, list[Option]] = {}
    for option in options:
        found.setdefault(option.section, []).append(option)
    return list(found.items())


def _filled(heading: str, words: list[str], width: int) -> Iterator[str]:
    """Lines of words behind a heading; no word is broken."""
    line = heading
    for word in words:
        if len(line) + 1 + len(word) > width:
            yield line
            line = " " * len(heading)
        line += f" {word}"
    yield line


def _truth(ctx: click.Context, name: str, text: str) -> bool:
    if text not in (*_TRUE, *_FALSE):
        raise click.UsageError(f"{name} is true or false, not {text!r}", ctx)
    return text in _TRUE
