"""An action as one line that a user can read, for ``diff``, the events and the log. Pure."""

from __future__ import annotations

from reconciler.model.actions import (
    Action,
    CreateContainer,
    CreateSandbox,
    KillContainer,
    PullImage,
    RemoveContainer,
    RemoveSandbox,
    SetUpNetwork,
    StartContainer,
    StopContainer,
    UpdateFiles,
    UpdatePodResources,
    UpdateRecord,
    UpdateResources,
    Waiting,
    Why,
)


def describe(action: Action) -> str:
    """ "replace container web because image changed: busybox:1 -> busybox:2"."""
    return f"{_what(action)} because {action.reason.text}"


def describe_waiting(waiting: Waiting) -> str:
    """ "container web waits: pulling image busybox:2"."""
    who = f"container {waiting.container}" if waiting.container else "the pod"
    return f"{who} waits: {waiting.reason.text}"


def _what(action: Action) -> str:
    match action:
        case PullImage(image=image):
            return f"pull image {image}"
        case CreateSandbox(spec=spec):
            return f"create pod {spec.key}"
        case SetUpNetwork():
            return "set up the pod's network"
        case UpdateRecord():
            return "update the pod's record"
        case UpdateFiles():
            return "rewrite the pod's files in /etc"
        case CreateContainer():
            return f"{_create_verb(action.reason.why)} container {action.name}"
        case StartContainer():
            return f"start container {action.name}"
        case StopContainer():
            return f"stop container {action.name} (grace {action.grace:g}s)"
        case KillContainer():
            return f"kill container {action.name}"
        case UpdateResources():
            return f"update the resources of container {action.name}"
        case UpdatePodResources():
            return "update the pod's cgroup"
        case RemoveContainer():
            return f"remove container {action.name}"
        case RemoveSandbox(keep_address=True):
            return "remove the pod, to be recreated,"
        case RemoveSandbox():
            return "remove the pod"


def _create_verb(why: Why) -> str:
    return {Why.SPEC_CHANGED: "replace", Why.EXITED: "restart"}.get(why, "create")
