"""What commands change about what is wanted of pods made by hand. Pure: a word, and what is there, become another word.

A pod that is stopped or only created keeps its members from running whatever is wished of them; so when one of them is
started, the pod's word moves to the members: each of the others goes on being what it was.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from reconciler.model.desired import RunState, Wish
from reconciler.model.errors import InvalidInput
from reconciler.model.observed import Container, ContainerState, Observed
from reconciler.model.spec import Role
from reconciler.plan.situation import has_begun, newest
from reconciler.sources.hand import HandMember, HandPod

STOPPED, RUNNING, CREATED, PAUSED = RunState.STOPPED, RunState.RUNNING, RunState.CREATED, RunState.PAUSED


def names_of(pod: HandPod) -> tuple[str, ...]:
    """The members that are wanted, by name."""
    return tuple(c.name for c in pod.spec.containers)


def concerned(pod: HandPod, have: Observed, names: Collection[str]) -> list[str]:
    """Those of these containers of which something can be wished: not the plain init containers of a pod that has
    begun, which run again with the pod only.

    Raises InvalidInput where none is left.
    """
    if not has_begun(pod.spec, have):
        return list(names)
    left = [name for name in names if pod.spec.role_of(name) is not Role.INIT]
    if names and not left:
        said = ", ".join(names)
        raise InvalidInput(f"cannot start or stop {said} of pod {pod.key.name}: its time is over, the pod has begun")
    return left


def started(pod: HandPod, have: Observed, names: Collection[str]) -> HandPod:
    """With these members running: those that do go on, the others begin another life."""
    pod = _spread(pod)
    for name in concerned(pod, have, names):
        last = newest(have.containers, name)
        pod = _wish(pod, name, RUNNING, again=last is not None and last.state is ContainerState.EXITED, last=last)
    return pod


def remade(pod: HandPod, have: Observed, names: Collection[str]) -> HandPod:
    """With each of these members, which have ended, beginning another life and waiting for its start."""
    pod = _spread(pod)
    for name in concerned(pod, have, names):
        pod = _wish(pod, name, CREATED, again=True, last=newest(have.containers, name))
    return pod


def restarted(pod: HandPod, have: Observed, names: Collection[str], grace: float | None = None) -> HandPod:
    """With each of these members beginning another life, those that run being stopped for it with ``grace`` seconds."""
    pod = _spread(pod)
    for name in concerned(pod, have, names):
        last = newest(have.containers, name)
        ran = last is not None and last.state is not ContainerState.CREATED
        pod = _wish(pod, name, RUNNING, again=ran, last=last, grace=grace)
    return pod


def stopped(pod: HandPod, names: Collection[str], grace: float | None = None) -> HandPod:
    """With these members stopped, given ``grace`` seconds (None: as their specs say)."""
    for name in names:
        pod = _wish(pod, name, STOPPED, grace=grace)
    return pod


def each_stopped(pod: HandPod, have: Observed, names: Collection[str], grace: float | None = None) -> HandPod:
    """The same of those that were named, as far as they are ``concerned``."""
    return stopped(pod, concerned(pod, have, names), grace)


def pod_started(pod: HandPod, have: Observed) -> HandPod:
    """The pod with all its members running."""
    return started(replace(pod, run=RUNNING), have, names_of(pod))


def pod_stopped(pod: HandPod, grace: float | None = None) -> HandPod:
    """The pod with nothing of it running, and all of it kept."""
    return replace(stopped(pod, names_of(pod), grace), run=STOPPED)


def pod_restarted(pod: HandPod, have: Observed, grace: float | None = None) -> HandPod:
    """The pod with every member beginning another life, and every sidecar."""
    return restarted(replace(pod, run=RUNNING), have, [c.name for c in pod.spec.lasting], grace)


def paused(pod: HandPod, names: Collection[str]) -> HandPod:
    """With these members frozen."""
    for name in names:
        pod = _wish(pod, name, PAUSED)
    return pod


def resumed(pod: HandPod, names: Collection[str]) -> HandPod:
    """With those of these members that were frozen going on."""
    for name in names:
        if pod.member(name).wish.run is PAUSED:
            pod = _wish(pod, name, RUNNING)
    return pod


def without(pod: HandPod, names: Collection[str], grace: float | None = None) -> HandPod:
    """Without these members, which have ``grace`` seconds to stop; with the only one of a pod of its own, that goes.
    Its plain init containers a pod keeps. Raises InvalidInput where no other was named."""
    if pod.solo:
        return replace(pod, going=True, grace=grace)
    going = [name for name in names if pod.spec.role_of(name) is not Role.INIT]
    if not going:
        raise InvalidInput(f"cannot remove {', '.join(names)} of pod {pod.key.name}: it goes with the pod")
    for name in going:
        pod = pod.without(name, grace)
    return pod


def _spread(pod: HandPod) -> HandPod:
    """The pod runs, and each of its members is to be what the pod's word made it."""
    if pod.run is RUNNING:
        return pod
    for name in names_of(pod):
        pod = _wish(pod, name, pod.run)
    return replace(pod, run=RUNNING)


def _wish(
    pod: HandPod,
    name: str,
    run: RunState,
    *,
    again: bool = False,
    last: Container | None = None,
    grace: float | None = None,
) -> HandPod:
    """``again``: it is to begin a life that neither ``last`` had nor anybody asked for before."""
    member = pod.member(name)
    turn = member.wish.turn
    if again and last is not None and last.turn >= turn:
        turn = last.turn + 1
    return pod.with_member(replace(member, wish=Wish(run, turn, grace)))


def new_member(pod: HandPod, member: HandMember) -> HandPod:
    """The pod with something said of a member that was just added to its spec."""
    return _spread(pod).with_member(member) if member.wish.run is RUNNING else _made(pod).with_member(member)


def _made(pod: HandPod) -> HandPod:
    """A stopped pod stands again, without anything running, so that a member can be created in it."""
    return replace(pod, run=CREATED) if pod.run is STOPPED else pod
