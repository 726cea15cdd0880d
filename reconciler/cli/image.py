"""`image`: what is in the image store."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from reconciler.cli import formats, imagelist
from reconciler.cli.imagelist import completed
from reconciler.cli.settings import Options, pass_options
from reconciler.cli.table import table
from reconciler.cli.terminal import Progress, complain
from reconciler.cli.umask import as_called

if TYPE_CHECKING:
    from reconciler.engine.images.image import Image
    from reconciler.engine.images.images import Images
    from reconciler.model.login import Logins

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
    "-i", "--input", "archive", type=click.Path(exists=True, path_type=Path), help="The archive; else standard input."
)
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@pass_options
def load(options: Options, archive: Path | None, quiet: bool) -> int:
    """Load the images of an archive.

    The archive is a docker-archive, an oci-archive or a directory in OCI layout; it may be compressed.

    \b
    Example:  reconciler image load -i busybox.tar
    """
    if archive is None and sys.stdin.isatty():
        raise click.UsageError("nothing to read: give an archive with -i, or on standard input")
    with _progress(quiet) as tell:
        images = options.engine().images.load(archive or sys.stdin.buffer, progress=tell)
    for loaded in images:
        formats.show(f"Loaded image: {', '.join(loaded.names) or loaded.id}")
    return 0


@image.command()
@click.argument("references", nargs=-1, required=True, metavar="IMAGE...", shell_complete=completed)
@click.option("-q", "--quiet", is_flag=True, help="Print the images' ids and nothing else.")
@click.option(
    "--policy",
    type=click.Choice(["always", "missing", "never", "newer"]),
    default="always",
    show_default=True,
    help="missing: not where one is here; never: only look; newer: one that is here will do if its registry is away.",
)
@click.option("--platform", metavar="OS/ARCH[/VARIANT]", default="", help="Another machine's image, e.g. linux/arm64.")
@click.option("--arch", metavar="ARCH", default="", help="The same as --platform linux/ARCH.")
@click.option("--authfile", type=_FILE, help="Passwords of registries; else REGISTRY_AUTH_FILE or skopeo's own.")
@click.option("--creds", metavar="USER[:PASSWORD]", help="Who to log in as (asks for what is not given).")
@click.option("--cert-dir", type=_DIRECTORY, help="Certificates for the registry; else certs.d of skopeo.")
@click.option("--tls-verify", type=bool, metavar="BOOL", help="Whether the registry must show a valid certificate.")
@pass_options
def pull(
    options: Options,
    references: tuple[str, ...],
    quiet: bool,
    policy: str,
    platform: str,
    arch: str,
    authfile: Path | None,
    creds: str | None,
    cert_dir: Path | None,
    tls_verify: bool | None,
) -> int:
    """Fetch images from their registries.

    containers-storage:NAME and docker-daemon:NAME take over what podman and docker have on this machine. Archives are
    read by `image load`. A password in --creds is seen by everybody on this machine: better leave it out and be asked.

    \b
    Example:  reconciler image pull registry.example/team/app:1.2
    """
    from reconciler.engine.images.transfer import Access

    if platform and arch:
        raise click.UsageError("--platform and --arch exclude each other")
    if platform and "/" not in platform:
        raise click.UsageError("--platform is OS/ARCH or OS/ARCH/VARIANT, such as linux/arm64")
    how = {"access": Access(authfile, cert_dir, tls_verify) if authfile or cert_dir or tls_verify is not None else None}
    asked = {"platform": platform or (f"linux/{arch}" if arch else "")}
    user = _user(creds) if creds else None
    images = options.engine().images
    for reference in references:
        with _progress(quiet) as tell:
            logins = _logins(reference, user) if user else ()
            pulled = _by_policy(images, policy, reference, progress=tell, logins=logins, **how, **asked)
        click.echo(pulled.id)
    return 0


def _by_policy(images: Images, policy: str, reference: str, **how: Any) -> Image:
    """podman's --policy."""
    from reconciler.model.errors import NotFound, TryLater

    here = images.get(reference) if policy != "always" else None
    if here and policy in ("missing", "never"):
        return here
    if policy == "never":
        raise NotFound(f"cannot use image {reference}: it is not here")
    try:
        return images.pull(reference, **how)
    except TryLater as error:
        if here is None:
            raise
        complain(f"{error.message}; what is here is used")
        return here


def _user(creds: str) -> tuple[str, str]:
    user, colon, password = creds.partition(":")
    user = user or click.prompt("User", err=True)
    return user, password if colon else click.prompt("Password", hide_input=True, err=True)


def _logins(reference: str, user: tuple[str, str]) -> Logins:
    from reconciler.engine.images.keyring import login_of
    from reconciler.engine.images.reference import parse
    from reconciler.engine.images.shortnames import short_names

    return tuple(login_of(where.registry, *user) for where in short_names().registries(parse(reference)))


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[str], None] | None]:
    progress = Progress()
    try:
        yield None if quiet else progress.say
    finally:
        progress.done()


@image.command("ls")
@click.argument("reference", required=False, metavar="[IMAGE]", shell_complete=completed)
@click.option("-q", "--quiet", is_flag=True, help="Ids only.")
@click.option("-n", "--noheading", is_flag=True, help="No line of headings.")
@click.option("--no-trunc", is_flag=True, help="Whole ids.")
@click.option("--digests", is_flag=True, help="Show the manifests' digests, too.")
@click.option("--dangling/--no-dangling", default=None, help="Only images without a name, or only those with one.")
@click.option(
    "-f",
    "--filter",
    "filters",
    multiple=True,
    metavar="NAME=VALUE",
    help="Only images of which this is true: dangling, reference, label, before, since, until, id. Repeatable.",
)
@click.option("--sort", type=click.Choice(imagelist.ORDERS), default="created", show_default=True)
@click.option("--format", "form", default="table", metavar="FORMAT", help="json, or a Go template: '{{.ID}}'.")
@pass_options
def ls(
    options: Options,
    reference: str | None,
    quiet: bool,
    noheading: bool,
    no_trunc: bool,
    digests: bool,
    dangling: bool | None,
    filters: tuple[str, ...],
    sort: str,
    form: str,
) -> int:
    """List the images that are here.

    \b
    Example:  reconciler image ls --filter reference='*/app'
    """
    images = options.engine().images
    said = [*filters, *([f"dangling={str(dangling).lower()}"] if dangling is not None else [])]
    kept = imagelist.chosen(images, [*said, *([f"reference={reference}"] if reference else [])])
    short = slice(None) if no_trunc else slice(12)
    if quiet:
        ids = list(dict.fromkeys(i.id[short] for i in imagelist.ordered(kept, sort)))
        click.echo("\n".join(ids), nl=bool(ids))
    elif formats.is_json(form):
        import json

        formats.show(json.dumps([imagelist.as_podman(images, i) for i in imagelist.ordered(kept, sort)], indent=4))
    elif form != "table":
        given = imagelist.fields(kept, sort, short)
        formats.show(formats.rows_text(form, given, imagelist.HEADINGS, header=not noheading))
    else:
        rows = imagelist.rows(kept, sort, short, digests=digests)
        columns = ("REPOSITORY", "TAG", *(("DIGEST",) if digests else ()), "IMAGE ID", "CREATED", "SIZE")
        click.echo(table(columns, rows, header=not noheading), nl=bool(rows) or not noheading)
    return 0


@image.command()
@click.argument("references", nargs=-1, required=True, metavar="IMAGE...", shell_complete=completed)
@click.option("-f", "--format", "form", default="json", metavar="FORMAT", help="json, or a Go template: '{{.Id}}'.")
@pass_options
def inspect(options: Options, references: tuple[str, ...], form: str) -> int:
    """Print all that is known of images, as JSON with podman's keys.

    \b
    Example:  reconciler image inspect localhost/app:1
    """
    import json

    images = options.engine().images
    found = [images.inspect(reference) for reference in references]
    if formats.is_json(form):
        formats.show(json.dumps(found, indent=4))
    else:
        formats.show("".join(formats.object_text(form, imagelist.whole(one)) for one in found))
    return 0


@image.command()
@click.argument("reference", metavar="IMAGE", shell_complete=completed)
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
@click.option("-o", "--output", "file", type=click.Path(path_type=Path), help="The archive; else standard output.")
@click.option("--format", "form", type=click.Choice(_FORMS), default="docker-archive", show_default=True)
@click.option("-q", "--quiet", is_flag=True, help="Accepted: there is no output to suppress.")
@click.option("-m", "--multi-image-archive", is_flag=True, help="Accepted: several images need no option.")
@click.argument("references", nargs=-1, required=True, metavar="IMAGE...", shell_complete=completed)
@pass_options
def save(
    options: Options,
    file: Path | None,
    form: Literal["docker-archive", "oci-archive"],
    quiet: bool,  # noqa: ARG001 (podman's scripts pass it)
    multi_image_archive: bool,  # noqa: ARG001 (the same)
    references: tuple[str, ...],
) -> int:
    """Write images to an archive that `image load`, podman and docker take. Several go into a docker-archive only.

    \b
    Example:  reconciler image save -o app.tar localhost/app:1
    """
    if file is None and sys.stdout.isatty():
        raise click.UsageError("an archive is nothing for a terminal: give a file with -o, or redirect the output")
    first, *more = references
    images = options.engine().images
    with as_called():
        images.save(first, file or sys.stdout.buffer, form, *more)
    return 0


@image.command()
@click.option("-a", "--all", "everything", is_flag=True, help="Every image that no container uses.")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option(
    "--filter", "filters", multiple=True, metavar="NAME=VALUE", help="Only images of which this is true: until, label."
)
@pass_options
def prune(options: Options, everything: bool, force: bool, filters: tuple[str, ...]) -> int:
    """Remove the images that have no name and no container; prints their ids.

    \b
    Example:  reconciler image prune -f --filter until=24h
    """
    images = options.engine().images
    ids = {i.id for i in imagelist.chosen(images, filters)} if filters else None
    which = "every image that no container uses" if everything else "the images without a name that no container uses"
    if not force and not click.confirm(f"This removes {which}. Go on?", err=True):
        return 0
    only = None if ids is None else lambda image: image.id in ids
    for id_ in images.prune(everything=everything, only=only):
        click.echo(id_)
    return 0


@image.command()
@click.argument("references", nargs=-1, metavar="IMAGE...", shell_complete=completed)
@click.option("-a", "--all", "everything", is_flag=True, help="All images that are here.")
@click.option(
    "-f", "--force", is_flag=True, help="No error where an image is not here; by id also one with several names."
)
@pass_options
def rm(options: Options, references: tuple[str, ...], everything: bool, force: bool) -> int:
    """Remove images. One that a container uses is refused, naming the container; the others go.

    \b
    Example:  reconciler image rm localhost/app:old
    """
    from reconciler.model.errors import NotFound, ReconcilerError

    if bool(references) is everything:
        raise click.UsageError("give images, or --all and none")
    images, failed = options.engine().images, False
    for reference in references or tuple(i.id for i in images.list()):
        try:
            formats.show("\n".join(images.remove(reference, force=force or everything)))
        except ReconcilerError as error:
            if not (force and isinstance(error, NotFound)):
                complain(error.message, error.hint)
                failed = True
    return 1 if failed else 0


@image.command()
@click.argument("reference", shell_complete=completed)
@pass_options
def exists(options: Options, reference: str) -> int:
    """Exit with 0 where an image is here, with 1 where not.

    \b
    Example:  reconciler image exists localhost/app:1
    """
    return 0 if options.engine().images.get(reference) else 1
