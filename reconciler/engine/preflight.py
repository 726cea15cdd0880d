"""What would keep a wanted container from running here, found before anything that runs is stopped for it."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from reconciler.engine import infra, podgroups, security, volumes
from reconciler.engine.context import Context
from reconciler.engine.dns import names
from reconciler.engine.images.image import Image
from reconciler.engine.images.users import resolve_user
from reconciler.engine.images.view import LayerView, find_command
from reconciler.engine.oci.process import arguments, search_path
from reconciler.model.errors import CONFIG_ERROR, ImageProblem, ReconcilerError
from reconciler.model.login import Logins
from reconciler.model.observed import ImageState, Problem
from reconciler.model.spec import ContainerSpec, PodSpec, PullPolicy

RUN_ERROR = "RunContainerError"


def images(ctx: Context, specs: Collection[PodSpec]) -> dict[str, ImageState]:
    """The state of each image that the pods name. Where two containers name one image, Always wins."""
    policies: dict[str, PullPolicy] = {}
    logins: dict[str, Logins] = {}
    for key, container in ((spec.key, container) for spec in specs for container in spec.everyone):
        for image, policy in container.images:
            if policies.get(image) is not PullPolicy.ALWAYS:
                policies[image] = policy
            logins[image] = ctx.logins(key, container.pull_secrets)[0] if container.pull_secrets else ()
    for image in {spec.sandbox.infra_image for spec in specs} - {"", *policies}:
        policies[image], logins[image] = PullPolicy.IF_NOT_PRESENT, ()
    return {image: ctx.images.state(image, policy, logins[image]) for image, policy in policies.items()}


def sandbox_problems(ctx: Context, spec: PodSpec) -> tuple[Problem, ...]:
    """What stands in the way of a new sandbox: what is to be set in its namespaces."""
    try:
        wrong = (podgroups.wrong_parent(ctx, spec), infra.wrong(ctx, spec.sandbox))
        own = tuple(Problem(CONFIG_ERROR, text) for text in wrong if text)
        return (*own, *security.pod_problems(ctx, spec))
    except ReconcilerError as e:
        return (Problem(CONFIG_ERROR, e.message),)


def problems(ctx: Context, specs: Iterable[ContainerSpec], *, own_users: bool) -> tuple[Problem, ...]:
    """What stands in the way of each of these containers on this host; images that are not here are not looked into.
    ``own_users``: their pod has a user namespace."""
    return tuple(problem for spec in specs for problem in _container(ctx, spec, own_users))


def pod_problems(ctx: Context, want: PodSpec) -> tuple[Problem, ...]:
    """What stands in the way of the whole pod: a host name that the kernel does not take."""
    if not want.sandbox.fqdn_as_hostname:
        return ()
    wrong = names.too_long(want.key, want.sandbox, ctx.config.dns.domain)
    return (Problem(CONFIG_ERROR, wrong, transient=False),) if wrong else ()


def _container(ctx: Context, spec: ContainerSpec, own_users: bool) -> Iterable[Problem]:
    yield from volumes.problems(spec, own_users=own_users)
    try:
        yield from security.problems(ctx, spec)
        image = ctx.images.get(spec.image)
        if image is not None:
            yield from _inside(spec, image)
    except ReconcilerError as e:
        yield Problem(CONFIG_ERROR, e.message, spec.name)


def _inside(spec: ContainerSpec, image: Image) -> Iterable[Problem]:
    if refused := security.root_refused(spec.security, image):
        yield Problem(CONFIG_ERROR, refused, spec.name)
    view = LayerView(image.layers)
    try:
        user = str(spec.security.run_as_user) if spec.security.run_as_user is not None else spec.user or image.user
        resolve_user(view, user)
    except ImageProblem as e:
        yield Problem(CONFIG_ERROR, e.message, spec.name)
    args = arguments(spec, image)
    if not args:
        yield Problem(CONFIG_ERROR, f"image {spec.image} names no command, and the manifest gives none", spec.name)
    elif (
        not _covered(spec, args[0]) and find_command(view, args[0], search_path(spec, image), _cwd(spec, image)) is None
    ):
        place = view.resolve(args[0]) if args[0].startswith("/") else None
        why = "cannot be executed: permission denied" if place else f"is not in image {spec.image}"
        yield Problem(RUN_ERROR, f"command {args[0]!r} {why}", spec.name)


def _covered(spec: ContainerSpec, command: str) -> bool:
    """A volume may bring the command, and relative names may meet one; or what it is called, or where it is looked
    for, is not known yet: only the runtime can tell then."""
    if "$(" in command or any(step.is_all or step.name == "PATH" for step in spec.program):
        return True
    return any(command.startswith(m.path.rstrip("/") + "/") for m in spec.mounts) or (
        "/" not in command and bool(spec.mounts)
    )


def _cwd(spec: ContainerSpec, image: Image) -> str:
    return spec.working_dir or image.working_dir or "/"
