"""`kube`: pods of Kubernetes manifests, made by hand. What each subcommand does is in a file of its own."""

from __future__ import annotations

import click

from reconciler.cli.lazy import LazyGroup, Sections

SECTIONS: Sections = (
    (
        "Commands",
        (
            ("play", "kubeplay:play", "Make the pods of a manifest, or change those that are there."),
            ("down", "kubeplay:down", "Stop and remove the pods of a manifest."),
            ("generate", "kubegenerate:generate", "Print pods as manifests."),
        ),
    ),
)


@click.group(cls=LazyGroup, sections=SECTIONS, no_args_is_help=True)
def kube() -> None:
    """Play manifests by hand, as with podman.

    Without a folder that is watched: what was played stays until it is taken down, whatever becomes of the file.

    \b
    Example:  reconciler kube play web.yaml
    """
