"""`pod`: pods as podman's users handle them. What each subcommand does is in a file of its own."""

from __future__ import annotations

import click

from reconciler.cli.lazy import LazyGroup, Sections

SECTIONS: Sections = (
    (
        "Commands",
        (
            ("exists", "podexists:exists", "Say by the exit code whether there is such a pod."),
            ("ps", "podps:ps", "List pods."),
        ),
    ),
)


@click.group(cls=LazyGroup, sections=SECTIONS, aliases={"ls": "ps", "list": "ps"}, no_args_is_help=True)
def pod() -> None:
    """Make, look at and handle pods, as with podman.

    \b
    Example:  reconciler pod ps
    """
