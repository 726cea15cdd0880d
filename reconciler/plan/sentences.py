"""An action as one line that a user can read, for ``diff``, the events and the log. Pure."""

from __future__ import annotations

from reconciler.model import actions as a
from reconciler.model.actions import Action, Waiting, Why


def describe(action: Action) -> str:
    """ "replace container web because image changed: busybox:1 -> busybox:2"."""
    return f"{_what(action)} because {action.reason.text}"


def describe_waiting(waiting: Waiting) -> str:
    """ "container web waits: pulling image busybox:2"."""
    who = f"container {waiting.container}" if waiting.container else "the pod"
    return f"{who} waits: {waiting.reason.text}"


def _what(action: Action) -> str:
    match action:
        case a.PullImage(image=image):
            return f"pull image {image}"
        case a.CreateSandbox(spec=spec):
            return f"create pod {spec.key}"
        case a.RenewSandbox():
            return "make the pod's infra container again"
        case a.SetUpNetwork():
            return "set up the pod's network"
        case a.UpdateRecord():
            return "update the pod's record"
        case a.UpdateFiles():
            return "rewrite the pod's files"
        case a.UpdateNames(services=()):
            return "take the names of Services from the pod"
        case a.UpdateNames(services=services):
            return f"have the names of Services lead to the pod: {', '.join(services)}"
        case a.CreateContainer():
            return f"{_create_verb(action.reason.why)} container {action.name}"
        case a.RenewContainer():
            return f"make container {action.name} again"
        case a.StartContainer():
            return f"start container {action.name}"
        case a.StopContainer():
            return f"stop container {action.name} (grace {action.grace:g}s)"
        case a.TermContainer():
            return f"tell container {action.name} to stop"
        case a.RunHook(hook=hook):
            return f"run the {hook} hook of container {action.name}"
        case a.KillContainer():
            return f"kill container {action.name}"
        case a.PauseContainer():
            return f"pause container {action.name}"
        case a.ResumeContainer():
            return f"resume container {action.name}"
        case a.UpdateResources():
            return f"update the resources of container {action.name}"
        case a.UpdatePodResources():
            return "update the pod's cgroup"
        case a.RemoveContainer():
            return f"remove container {action.name}"
        case a.RemoveSandbox(keep_address=True):
            return "remove the pod, to be recreated,"
        case a.RemoveSandbox():
            return "remove the pod"


def _create_verb(why: Why) -> str:
    return {Why.SPEC_CHANGED: "replace", Why.EXITED: "restart"}.get(why, "create")
