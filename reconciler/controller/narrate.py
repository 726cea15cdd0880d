"""Events about pods, in the kubelet's words where it has them (pkg/kubelet/events/event.go), with our reasons added.

``Narrator`` remembers what it said last of each key, so that waiting is told when it begins or changes and not
each time somebody looks. Thread-safe for different keys; one key has one worker.
"""

from __future__ import annotations

from reconciler.controller.log import Log, Silent
from reconciler.model import actions as a
from reconciler.model.actions import Action, Waiting, Why
from reconciler.model.desired import Desired, Present, Unknown
from reconciler.model.errors import ReconcilerError
from reconciler.model.events import EventType
from reconciler.model.interfaces import PodEngine
from reconciler.model.key import Key
from reconciler.model.observed import ImageState, ImageStatus

Said = tuple[EventType, str, str]

_NORMAL, _WARNING = EventType.NORMAL, EventType.WARNING

_WAITING: dict[Why, tuple[EventType, str]] = {
    Why.BACKOFF: (_WARNING, "BackOff"),
    Why.PULL_FAILED: (_WARNING, "Failed"),
    Why.IMAGE_NEVER: (_WARNING, "ErrImageNeverPull"),
    Why.PROBLEM: (_WARNING, "FailedSync"),
    Why.UNKNOWN: (_WARNING, "Held"),
    Why.NOT_SETTLED: (_NORMAL, "Settling"),
    Why.DEADLINE: (_NORMAL, "DeadlineExceeded"),
    Why.EVICTED: (_WARNING, "Evicted"),
}


def done(action: Action) -> Said | None:
    """What is told of a step that was carried out."""
    match action:
        case a.PullImage(image=image):
            return _NORMAL, "Pulling", f'Pulling image "{image}"'
        case a.CreateSandbox(reason=reason):
            return _NORMAL, "SandboxCreated", f"Created pod sandbox: {reason.text}"
        case a.CreateContainer(name=name, reason=reason):
            return _NORMAL, "Created", f"Created container {name}: {reason.text}"
        case a.RenewSandbox(reason=reason):
            return _NORMAL, "SandboxCreated", f"Created pod sandbox again: {reason.text}"
        case a.RenewContainer(name=name, reason=reason):
            return _NORMAL, "Created", f"Created container {name} again: {reason.text}"
        case a.PauseContainer(name=name):
            return _NORMAL, "Paused", f"Paused container {name}"
        case a.ResumeContainer(name=name):
            return _NORMAL, "Resumed", f"Resumed container {name}"
        case a.StartContainer(name=name):
            return _NORMAL, "Started", f"Started container {name}"
        case a.StopContainer(name=name, reason=reason) | a.KillContainer(name=name, reason=reason) if (
            reason.why is Why.UNHEALTHY
        ):
            return _NORMAL, "Killing", f"Container {name} {reason.text.removeprefix('it ')}"
        case a.StopContainer(name=name, reason=reason):
            return _NORMAL, "Killing", f"Stopping container {name}: {reason.text}"
        case a.KillContainer(name=name, reason=reason) if reason.why in (Why.BY_HAND, Why.DONE):
            return _NORMAL, "Killing", f"Stopping container {name}: {reason.text}"
        case a.KillContainer(name=name, reason=reason):
            return _WARNING, "Killing", f"Killing container {name}: {reason.text}"
        case a.UpdateResources(name=name, reason=reason):
            return _NORMAL, "Resized", f"Updated resources of container {name}: {reason.text}"
        case a.UpdateFiles(reason=reason):
            return _NORMAL, "FilesUpdated", f"Rewrote the pod's files: {reason.text}"
        case a.UpdatePodResources(reason=reason) if reason.why is Why.QOS_CHANGED:
            return _NORMAL, "QOSClassChanged", f"The pod goes on under another quality of service: {reason.text}"
        case a.UpdateRecord(reason=reason):
            return _NORMAL, "Updated", f"Recorded: {reason.text}"
        case a.RemoveSandbox(reason=reason) if reason.why in (Why.POD_CHANGED, Why.INFRA_DIED):
            return _NORMAL, "SandboxChanged", f"Pod sandbox changed, it is recreated: {reason.text}"
        case a.RemoveSandbox(reason=reason):
            return _NORMAL, "Removed", f"Removed the pod: {reason.text}"
        case a.TermContainer() | a.RunHook():
            return None
        case a.SetUpNetwork() | a.RemoveContainer() | a.UpdatePodResources() | a.UpdateNames():
            return None


def failed(action: Action, error: ReconcilerError) -> Said:
    """What is told of a step that could not be carried out."""
    match action:
        case a.CreateSandbox() | a.RenewSandbox() | a.SetUpNetwork():
            return _WARNING, "FailedCreatePodSandBox", error.message
        case a.RemoveSandbox() | a.RemoveContainer() | a.StopContainer() | a.TermContainer() | a.KillContainer():
            return _WARNING, "FailedKillPod", error.message
        case a.UpdateRecord() | a.UpdateFiles() | a.UpdateNames() | a.UpdateResources() | a.UpdatePodResources():
            return _WARNING, "FailedSync", error.message
        case _:
            return _WARNING, "Failed", error.message


class Narrator:
    """See the module."""

    def __init__(self, engine: PodEngine, log: Log | None = None) -> None:
        self._engine = engine
        self._log = log or Silent()
        self._unwritten = False
        self._last: dict[Key, frozenset[Said]] = {}
        self._pulling: dict[Key, set[str]] = {}

    def step(self, key: Key, action: Action) -> None:
        said = done(action)
        if said:
            self._emit(key, said)

    def failure(self, key: Key, action: Action, error: ReconcilerError) -> None:
        self._emit(key, failed(action, error))

    def trouble(self, key: Key, message: str) -> None:
        self._emit(key, (_WARNING, "FailedSync", message))

    def state(self, key: Key, desired: Desired, waiting: tuple[Waiting, ...], *, settling: bool, runs: bool) -> None:
        """Tell what is waited for, where that is news.

        ``settling``: a removal that will be believed shortly. ``runs``: there is a pod; where there is none, an
        unreadable file is the file's trouble alone, and told about its path.
        """
        now = {said for said in map(_waits, waiting) if said is not None and (runs or said[1] != "Held")}
        now |= {_backs_off(w) for w in waiting if w.reason.why is Why.PULL_FAILED and w.until is not None}
        if isinstance(desired, Unknown) and runs:
            now = {said for said in now if said[1] != "Held"}
            now.add((_NORMAL, "Settling", desired.why) if settling else (_WARNING, "Held", desired.why))
        if isinstance(desired, Present) and desired.problem:
            now.add((_WARNING, "DuplicatePod", desired.problem.removeprefix("DuplicatePod: ")))
        for said in sorted(now - self._last.get(key, frozenset())):
            self._emit(key, said)
            if said[0] is _WARNING:
                self._log.warning("pod waits", pod=str(key), reason=said[1], cause=said[2])
        self._last[key] = frozenset(now)

    def images(self, key: Key, images: dict[str, ImageState]) -> None:
        """Tell of the pulls that ended well."""
        before = self._pulling.get(key, set())
        for image in sorted(before):
            state = images.get(image)
            if state and state.status is ImageStatus.PRESENT and state.error:
                text = f'Failed to pull image "{image}": {state.error}; going on with the image that is here'
                self._emit(key, (_WARNING, "Failed", text))
            elif state and state.status is ImageStatus.PRESENT:
                self._emit(key, (_NORMAL, "Pulled", f'Successfully pulled image "{image}" {state.told}'.rstrip()))
        self._pulling[key] = {image for image, state in images.items() if state.status is ImageStatus.PULLING}

    def forget(self, key: Key) -> None:
        self._last.pop(key, None)
        self._pulling.pop(key, None)

    def _emit(self, key: Key, said: Said) -> None:
        """An event that cannot be written (a full disk) must not keep pods from being looked after; the log tells of
        it when that begins."""
        try:
            self._engine.emit(str(key), *said)
        except ReconcilerError as error:
            if not self._unwritten:
                self._log.warning("cannot record events", cause=error.message)
            self._unwritten = True
        else:
            self._unwritten = False


def _backs_off(waiting: Waiting) -> Said:
    return _NORMAL, "BackOff", f"Back-off pulling image of container {waiting.container}"


def _waits(waiting: Waiting) -> Said | None:
    told = _WAITING.get(waiting.reason.why)
    if told is None:
        return None
    about = f"container {waiting.container}: " if waiting.container else ""
    return told[0], told[1], f"{about}{waiting.reason.text}"
