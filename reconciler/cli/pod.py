"""`pod`: pods as podman's users handle them. What each subcommand does is in a file of its own."""

from __future__ import annotations

import click

from reconciler.cli.lazy import LazyGroup, Sections

SECTIONS: Sections = (
    (
        "Commands",
        (
            ("create", "podcreate:create", "Create a new empty pod."),
            ("exists", "podexists:exists", "Say by the exit code whether there is such a pod."),
            ("inspect", "inspect:pod_inspect", "Show all that is known of pods."),
            ("kill", "podlife:kill", "Send a signal to the containers of pods."),
            ("logs", "podlogs:logs", "Print what the containers of a pod wrote."),
            ("pause", "podlife:pause", "Freeze the containers of pods."),
            ("prune", "podlife:prune", "Remove pods of which nothing runs."),
            ("ps", "podps:ps", "List pods."),
            ("recreate", "podcreate:recreate", "Make a pod again with other bindings."),
            ("restart", "podlife:restart", "Stop pods and start them again."),
            ("rm", "podlife:rm", "Remove pods."),
            ("start", "podlife:start", "Start pods."),
            ("stats", "stats:pod_stats", "Show what the containers of pods use."),
            ("stop", "podlife:stop", "Stop pods; they are kept."),
            ("unpause", "podlife:unpause", "Let paused pods go on."),
            ("top", "top:pod_top", "Show the processes of all containers of a pod."),
        ),
    ),
)


@click.group(cls=LazyGroup, sections=SECTIONS, aliases={"ls": "ps", "list": "ps"}, no_args_is_help=True)
def pod() -> None:
    """Make, look at and handle pods, as with podman.

    \b
    Example:  reconciler pod ps
    """
