"""``lifecycle`` of a container: its hooks and its stop signal, checked, compiled and written out again. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from reconciler.kube.handlers import Json, check_handler, compile_handler, present_handler
from reconciler.kube.problem import Flaw, Path, Reason
from reconciler.model.hook import Hook
from reconciler.model.probe import Handler
from reconciler.model.spec import ContainerSpec
from reconciler.model.words import did_you_mean

GRACE_SECONDS = 30
"""Seconds to stop where a pod says nothing (core/v1: DefaultTerminationGracePeriodSeconds)."""

_NAMES = """
    ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP TSTP
    TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX
"""
SIGNALS = tuple(f"SIG{name}" for name in _NAMES.split())
"""As Kubernetes writes them (core/v1: Signal); beside these SIGRTMIN+1 to +15 and SIGRTMAX-1 to -14."""
_REALTIME = re.compile(r"SIG(?:RTMIN\+(?:[1-9]|1[0-5])|RTMAX-(?:[1-9]|1[0-4]))")


def check_lifecycle(container: Json, at: Path, spec: Json) -> Iterator[Flaw]:
    """Flaws of a container's lifecycle in the pod ``spec``."""
    lifecycle, place = container.get("lifecycle"), (*at, "lifecycle")
    if not isinstance(lifecycle, dict):
        return
    for hook in Hook:
        handler = lifecycle.get(hook)
        if isinstance(handler, dict):
            yield from check_handler(handler, (*place, hook), container)
            yield from _sleep(handler, (*place, hook), spec)
    if lifecycle.get("stopSignal"):
        yield from _signal(lifecycle["stopSignal"], (*place, "stopSignal"), spec)


def _sleep(handler: Json, at: Path, spec: Json) -> Iterator[Flaw]:
    sleep = handler.get("sleep")
    seconds = sleep.get("seconds") if isinstance(sleep, dict) else None
    grace = spec.get("terminationGracePeriodSeconds", GRACE_SECONDS)
    if isinstance(seconds, int) and isinstance(grace, int) and seconds > grace:
        text = f"{seconds} is more than terminationGracePeriodSeconds ({grace})"
        yield Flaw(text, Reason.INVALID_VALUE, (*at, "sleep", "seconds"))


def _signal(name: str, at: Path, spec: Json) -> Iterator[Flaw]:
    if not is_signal(name):
        yield Flaw(f"there is no signal {name!r}{did_you_mean(name, SIGNALS)}", Reason.INVALID_VALUE, at)
    elif not spec.get("os"):
        text = "has its effect here; Kubernetes takes it only in a pod that says spec.os.name: linux"
        yield Flaw(text, Reason.INVALID_VALUE, at, warning=True)


def is_signal(name: str) -> bool:
    """Whether Kubernetes knows the name."""
    return name in SIGNALS or _REALTIME.fullmatch(name) is not None


def hook_of(container: Json, hook: Hook) -> Handler | None:
    """What a container without flaws does at that moment of its life."""
    handler = container.get("lifecycle", {}).get(hook)
    return compile_handler(handler, container) if handler else None


def stop_signal_of(container: Json) -> str:
    """ "" for the image's."""
    return str(container.get("lifecycle", {}).get("stopSignal") or "")


def present_lifecycle(c: ContainerSpec) -> dict[str, Any]:
    """As a manifest says it; empty where there is nothing to say."""
    hooks = {Hook.POST_START: c.post_start, Hook.PRE_STOP: c.pre_stop}
    out: dict[str, Any] = {hook.value: present_handler(handler) for hook, handler in hooks.items() if handler}
    return out | ({"stopSignal": c.stop_signal} if is_signal(c.stop_signal) else {})
