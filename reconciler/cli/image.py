"""`image`: what is in the image store."""

from __future__ import annotations

import time
from pathlib import Path

import click

from reconciler.cli.settings import Options, pass_options
from reconciler.cli.table import ago, size, table
from reconciler.cli.terminal import Progress


@click.group()
def image() -> None:
    """Load, pull, list and remove images.

    \b
    Example:  reconciler image load -i busybox.tar
    """


@image.command()
@click.option(
    "-i", "--input", "archive", required=True, type=click.Path(exists=True, path_type=Path), help="The archive to read."
)
@pass_options
def load(options: Options, archive: Path) -> int:
    """Load the images of an archive.

    The archive is a docker-archive, an oci-archive or a directory in OCI layout.

    \b
    Example:  reconciler image load -i busybox.tar
    """
    for loaded in options.engine().images.load(archive):
        click.echo(f"Loaded image: {', '.join(loaded.names) or loaded.id}")
    return 0


@image.command()
@click.argument("reference")
@click.option("-q", "--quiet", is_flag=True, help="Print the image's id and nothing else.")
@pass_options
def pull(options: Options, reference: str, quiet: bool) -> int:
    """Fetch an image from its registry.

    Any other place that skopeo knows will do, too (docker-archive:FILE, oci:DIR, ...).

    \b
    Example:  reconciler image pull registry.example/team/app:1.2
    """
    progress = Progress()
    try:
        pulled = options.engine().images.pull(reference, progress=None if quiet else progress.say)
    finally:
        progress.done()
    click.echo(pulled.id)
    return 0


@image.command("ls")
@click.option("-q", "--quiet", is_flag=True, help="Ids only.")
@click.option("--no-trunc", is_flag=True, help="Whole ids.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@pass_options
def ls(options: Options, quiet: bool, no_trunc: bool, form: str) -> int:
    """List the images that are here.

    \b
    Example:  reconciler image ls
    """
    images = options.engine().images.list()
    short = slice(None) if no_trunc else slice(12)
    if quiet:
        click.echo("\n".join(i.id[short] for i in images), nl=bool(images))
    elif form == "json":
        import json

        fields = ("id", "names", "size", "created", "digest")
        click.echo(json.dumps([{f: getattr(i, f) for f in fields} for i in images], indent=2))
    else:
        rows = [
            (repository, tag, i.id[short], _age(i.created), size(i.size))
            for i in images
            for repository, tag in ([split(n) for n in i.names] or [("<none>", "<none>")])
        ]
        click.echo(table(["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"], rows))
    return 0


@image.command()
@click.argument("references", nargs=-1, required=True, metavar="IMAGE...")
@click.option(
    "-f", "--force", is_flag=True, help="No error where an image is not here; by id also one with several names."
)
@pass_options
def rm(options: Options, references: tuple[str, ...], force: bool) -> int:
    """Remove images. One that a container uses is refused, naming the container.

    \b
    Example:  reconciler image rm localhost/app:old
    """
    from reconciler.model.errors import NotFound

    engine = options.engine()
    for reference in references:
        try:
            click.echo("\n".join(engine.images.remove(reference, force=force)))
        except NotFound:
            if not force:
                raise
    return 0


@image.command()
@click.argument("reference")
@pass_options
def exists(options: Options, reference: str) -> int:
    """Exit with 0 where an image is here, with 1 where not.

    \b
    Example:  reconciler image exists localhost/app:1
    """
    return 0 if options.engine().images.get(reference) else 1


def split(name: str) -> tuple[str, str]:
    """Repository and tag; a reference by digest has the tag ``<none>``."""
    if "@" in name:
        return name.partition("@")[0], "<none>"
    repository, colon, tag = name.rpartition(":")
    return (repository, tag) if colon and "/" not in tag else (name, "<none>")


def _age(created: str) -> str:
    from datetime import datetime

    try:
        moment = datetime.fromisoformat(created.replace("Z", "+00:00"))
    except ValueError:
        return ""
    return ago(time.time() - moment.timestamp())
