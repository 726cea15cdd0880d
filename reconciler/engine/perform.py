"""The steps of a plan, carried out: which part of the engine does what. Each is idempotent, and none waits for time."""

from __future__ import annotations

from collections.abc import Callable

from reconciler.engine import boundary
from reconciler.engine.context import Context
from reconciler.model import actions as a
from reconciler.model.interfaces import KeyLock
from reconciler.model.key import ContainerId, Key

_VERBS: dict[type[a.Action], str] = {
    a.PullImage: "pull an image for",
    a.CreateSandbox: "create",
    a.RenewSandbox: "create again",
    a.SetUpNetwork: "set up the network of",
    a.UpdateRecord: "record the new version of",
    a.UpdateFiles: "rewrite the files of",
    a.UpdateNames: "change the names of",
    a.CreateContainer: "create a container of",
    a.RenewContainer: "create a container again of",
    a.StartContainer: "start a container of",
    a.StopContainer: "stop a container of",
    a.TermContainer: "stop a container of",
    a.RunHook: "run a hook of a container of",
    a.KillContainer: "kill a container of",
    a.PauseContainer: "pause a container of",
    a.ResumeContainer: "resume a container of",
    a.UpdateResources: "update the resources of a container of",
    a.UpdatePodResources: "update the resources of",
    a.RemoveContainer: "remove a container of",
    a.RemoveSandbox: "remove",
}

_MAKERS = (a.CreateSandbox, a.RenewSandbox, a.CreateContainer, a.RenewContainer)
"""Those that come with a spec, by which they are another pod's."""


def perform(
    ctx: Context, lock: KeyLock, action: a.Action, pull: Callable[[Key, a.PullImage], None]
) -> ContainerId | None:
    """Carry out one step for the holder of a pod's lock; ``pull`` begins to pull an image. Returns the member that it
    created.

    Raises ReconcilerError, ValueError where the lock is another pod's.
    """
    if isinstance(action, _MAKERS) and action.spec.key != lock.key:
        raise ValueError(f"the lock of {lock.key} does not cover {action.spec.key}")
    with boundary.told(f"{_VERBS[type(action)]} pod {lock.key}"):
        if isinstance(action, a.CreateContainer):
            from reconciler.engine import members

            return members.create(ctx, action)
        if isinstance(action, a.PullImage):
            pull(lock.key, action)
        else:
            _perform(ctx, action)
    return None


def _perform(ctx: Context, action: a.Action) -> None:
    """Each kind of step imports what does it: a stop pays for nothing that makes containers."""
    match action:
        case a.RenewContainer() | a.RenewSandbox():
            _renew(ctx, action)
        case a.PauseContainer() | a.ResumeContainer():
            _freeze(ctx, action)
        case a.RunHook():
            from reconciler.engine import hooks

            hooks.begin(ctx, action.container, action.hook)
        case (
            a.StartContainer()
            | a.StopContainer()
            | a.TermContainer()
            | a.KillContainer()
            | a.UpdateResources()
            | a.RemoveContainer()
        ):
            _to_container(ctx, action)
        case _:
            _to_sandbox(ctx, action)


def _renew(ctx: Context, action: a.RenewContainer | a.RenewSandbox) -> None:
    from reconciler.engine import renew

    if isinstance(action, a.RenewSandbox):
        renew.sandbox(ctx, action)
    else:
        renew.member(ctx, action)


def _freeze(ctx: Context, action: a.PauseContainer | a.ResumeContainer) -> None:
    from reconciler.engine import pausing

    (pausing.pause if isinstance(action, a.PauseContainer) else pausing.resume)(ctx, action.container)


def _to_container(ctx: Context, action: a.Action) -> None:
    from reconciler.engine import containers

    match action:
        case a.StartContainer():
            containers.start(ctx, action.container)
        case a.StopContainer():
            containers.stop(ctx, action.container, action.grace, action.pre_stop)
        case a.TermContainer():
            containers.term(ctx, action.container)
        case a.KillContainer():
            containers.kill(ctx, action.container)
        case a.UpdateResources():
            containers.update(ctx, action.container, action.resources, action.qos)
        case a.RemoveContainer():
            containers.remove(ctx, action.container)


def _to_sandbox(ctx: Context, action: a.Action) -> None:
    from reconciler.engine import sandboxes

    match action:
        case a.CreateSandbox():
            sandboxes.create(ctx, action.spec, action.owner, start=action.start)
        case a.SetUpNetwork():
            sandboxes.set_up_network(ctx, action.pod)
        case a.UpdateRecord():
            sandboxes.update_record(ctx, action.pod, action.spec, action.owner)
        case a.UpdateFiles():
            sandboxes.update_files(ctx, action.pod, action.spec, action.owner)
        case a.UpdateNames():
            sandboxes.update_names(ctx, action.pod, action.services)
        case a.UpdatePodResources():
            sandboxes.update_resources(ctx, action.pod, action.resources, action.qos)
        case a.RemoveSandbox():
            sandboxes.remove(ctx, action.pod, keep_address=action.keep_address)
