"""`image`: what is in the image store."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import click

from reconciler.cli.settings import Options, pass_options
from reconciler.cli.table import ago, size, table
from reconciler.cli.terminal import Progress

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_DIRECTORY = click.Path(exists=True, file_okay=False, path_type=Path)
_FORMS = ("docker-archive", "oci-archive")


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
@click.option("--authfile", type=_FILE, help="Passwords of registries; else REGISTRY_AUTH_FILE or skopeo's own.")
@click.option("--cert-dir", type=_DIRECTORY, help="Certificates for the registry; else certs.d of skopeo.")
@click.option("--tls-verify", type=bool, metavar="BOOL", help="Whether the registry must show a valid certificate.")
@pass_options
def pull(
    options: Options,
    reference: str,
    quiet: bool,
    authfile: Path | None,
    cert_dir: Path | None,
    tls_verify: bool | None,
) -> int:
    """Fetch an image from its registry.

    Any other place that skopeo knows will do, too (docker-archive:FILE, oci:DIR, ...).

    \b
    Example:  reconciler image pull registry.example/team/app:1.2
    """
    from reconciler.engine.images.transfer import Access

    progress, access = Progress(), Access(authfile, cert_dir, tls_verify)
    try:
        pulled = options.engine().images.pull(reference, progress=None if quiet else progress.say, access=access)
    finally:
        progress.done()
    click.echo(pulled.id)
    return 0


@image.command("ls")
@click.option("-q", "--quiet", is_flag=True, help="Ids only.")
@click.option("--no-trunc", is_flag=True, help="Whole ids.")
@click.option("--digests", is_flag=True, help="Show the manifests' digests, too.")
@click.option("--dangling/--no-dangling", default=None, help="Only images without a name, or only those with one.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@pass_options
def ls(options: Options, quiet: bool, no_trunc: bool, digests: bool, dangling: bool | None, form: str) -> int:
    """List the images that are here.

    \b
    Example:  reconciler image ls --digests
    """
    images = [i for i in options.engine().images.list() if dangling is None or dangling is not bool(i.names)]
    short = slice(None) if no_trunc else slice(12)
    if quiet:
        click.echo("\n".join(i.id[short] for i in images), nl=bool(images))
    elif form == "json":
        import json

        fields = ("id", "names", "size", "created", "digest")
        click.echo(json.dumps([{f: getattr(i, f) for f in fields} for i in images], indent=2))
    else:
        rows = [
            (*name, *((i.digest,) if digests else ()), i.id[short], _age(i.created), size(i.size))
            for i in images
            for name in shown_names(i.names)
        ]
        columns = ("REPOSITORY", "TAG", *(("DIGEST",) if digests else ()), "IMAGE ID", "CREATED", "SIZE")
        click.echo(table(columns, rows))
    return 0


@image.command()
@click.argument("references", nargs=-1, required=True, metavar="IMAGE...")
@pass_options
def inspect(options: Options, references: tuple[str, ...]) -> int:
    """Print all that is known of images, as JSON with podman's keys.

    \b
    Example:  reconciler image inspect localhost/app:1
    """
    import json

    images = options.engine().images
    click.echo(json.dumps([images.inspect(reference) for reference in references], indent=4))
    return 0


@image.command()
@click.argument("reference", metavar="IMAGE")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@pass_options
def tag(options: Options, reference: str, names: tuple[str, ...]) -> int:
    """Give an image more names. A name without a registry is put under localhost/.

    A name that another image has moves; that image stays, without a name if it was its last.

    \b
    Example:  reconciler image tag localhost/app:new app:live
    """
    options.engine().images.tag(reference, *names)
    return 0


@image.command()
@click.option("-o", "--output", "file", required=True, type=click.Path(path_type=Path), help="The archive to write.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["docker-archive", "oci-archive"]),
    default="docker-archive",
    show_default=True,
)
@click.argument("reference", metavar="IMAGE")
@pass_options
def save(options: Options, file: Path, form: Literal["docker-archive", "oci-archive"], reference: str) -> int:
    """Write an image to an archive that `image load`, podman and docker take.

    \b
    Example:  reconciler image save -o app.tar localhost/app:1
    """
    options.engine().images.save(reference, file, form)
    return 0


@image.command()
@click.option("-a", "--all", "everything", is_flag=True, help="Every image that no container uses.")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@pass_options
def prune(options: Options, everything: bool, force: bool) -> int:
    """Remove the images that have no name and no container; prints their ids.

    \b
    Example:  reconciler image prune -f
    """
    which = "every image that no container uses" if everything else "the images without a name that no container uses"
    if not force and not click.confirm(f"This removes {which}. Go on?", err=True):
        return 0
    for id_ in options.engine().images.prune(everything=everything):
        click.echo(id_)
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


def shown_names(names: Sequence[str]) -> list[tuple[str, str]]:
    """What `image ls` shows of an image: its tags, else where its digests are from, else ``<none>``."""
    tags = [split(name) for name in names if "@" not in name]
    return tags or list(dict.fromkeys(split(name) for name in names)) or [("<none>", "<none>")]


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
