"""`kube generate`: pods as manifests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reconciler.cli import complete
from reconciler.cli.kubeplay import INTERSPERSED, option
from reconciler.cli.options.command import PodmanCommand
from reconciler.cli.settings import Options, pass_options
from reconciler.cli.terminal import show
from reconciler.cli.umask import as_called
from reconciler.model.errors import InvalidInput

if TYPE_CHECKING:
    from reconciler.engine.engine import Engine
    from reconciler.model.spec import PodSpec


@click.command(cls=PodmanCommand, podman="kube generate", context_settings=INTERSPERSED)
@click.argument("names", nargs=-1, required=True, metavar="POD|CONTAINER...", shell_complete=complete.either)
@option("-f", "--filename", common=True, metavar="FILE", help="Write it there, not over what is there.")
@option("-s", "--service", is_flag=True, help="With a Service of type NodePort for the ports of each pod.")
@pass_options
def generate(options: Options, names: tuple[str, ...], filename: str | None, service: bool) -> int:
    """Print pods as manifests, from which kube play (or a cluster) makes equal ones. What they have no words for is
    told in comments. Of a container: that of the pod that it is alone in.

    \b
    Example:  reconciler kube generate web > web.yaml
    """
    from reconciler.controller.generated import generated

    engine = options.engine()
    specs = dict.fromkeys(_spec(engine, name) for name in names)
    text = "---\n".join(generated(spec, service=service).text for spec in specs)
    if filename is None:
        show(text)
        return 0
    try:
        with as_called(), open(filename, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise InvalidInput(
            f"cannot write {filename}: it is there already", hint="remove it, or choose another"
        ) from None
    return 0


def _spec(engine: Engine, name: str) -> PodSpec:
    """What is wanted of the pod that is meant, or was applied last. Raises NotFound, InvalidInput."""
    from reconciler.cli.resolve import Found, anything, find_pod
    from reconciler.sources.hand import HandSource

    found = anything(engine, name, containers=False) or anything(engine, name) or find_pod(engine, name)
    pod = found.pod if isinstance(found, Found) else found
    assert pod.applied is not None  # no others are found
    if isinstance(found, Found) and len(pod.applied.containers) > 1:
        raise InvalidInput(
            f"cannot write a manifest of container {found.container.name}: it is in pod {pod.key.name} with others",
            hint=f"that is one manifest: reconciler kube generate {pod.key.name}",
        )
    wanted = HandSource(engine.layout.hand).read(pod.key)
    return wanted.spec if wanted else pod.applied
