"""Making pods and containers by hand: a name is taken, the word written, the work done; what fails leaves nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace

from reconciler.controller.by_hand import Bench, Change, carry_out, edit, removed, settle
from reconciler.controller.sync import Result
from reconciler.controller.wanted import spoken
from reconciler.controller.wishes import new_member, without
from reconciler.model.desired import RunState
from reconciler.model.errors import InvalidInput, NotFound, RuntimeFailed
from reconciler.model.key import HAND, ContainerId, Key
from reconciler.model.observed import Container, ContainerState
from reconciler.model.spec import ContainerSpec
from reconciler.plan.situation import newest
from reconciler.sources.hand import HandMember, HandPod, refuse_name

_INFRA_NAME = re.compile(r"[0-9a-f]{12}-infra")
"""Of a pod that was made without ``--infra-name``."""

Names = Iterator[str]
"""Names to try, one after the other: the one that a user gave, or random ones."""


def make_pod(bench: Bench, pod: HandPod, *, replace_old: bool = False) -> Result:
    """Make a pod that is not there yet, its containers with it. ``replace_old``: one of its name goes first.

    Raises InvalidInput where there is one, RuntimeFailed and others where it cannot be made; nothing is left then.
    """
    if replace_old:
        remove_pod(bench, pod.key)
    names = [c.name for c in pod.spec.containers]
    _edit_with_names(bench, pod.key, sorted(pod.names), _only_new(bench, pod))
    try:
        result = settle(bench, pod.key)
        expect_made(bench, pod.key, names, result)
    except BaseException:
        remove_pod(bench, pod.key, grace=0)
        raise
    return result


def _only_new(bench: Bench, pod: HandPod) -> Callable[[HandPod | None], HandPod]:
    def change(before: HandPod | None) -> HandPod:
        sandbox = bench.engine.observe(pod.key, None).sandbox
        if before is None and sandbox is not None and sandbox.owner != HAND:
            raise InvalidInput(f'cannot make pod "{pod.key.name}": there is one, of {spoken(sandbox.owner)}')
        if before is not None or sandbox is not None:
            remove = "rm" if pod.solo else "pod rm"
            raise InvalidInput(
                f'cannot make {_what(pod)} "{pod.key.name}": the name is in use',
                hint=f"choose another, or say --replace; or: reconciler {remove} {pod.key.name}",
            )
        return pod

    return change


def _what(pod: HandPod) -> str:
    return "a container" if pod.solo else "a pod"


def remove_pod(bench: Bench, key: Key, grace: float | None = None) -> None:
    """Take away a pod made by hand, if there is one."""
    try:
        edit(bench, key, lambda before: removed(before, key, grace))
    except NotFound:
        return
    settle(bench, key)


def add_member(bench: Bench, key: Key, spec: ContainerSpec, member: HandMember) -> Result:
    """Make a container in a pod that was made by hand.

    Raises as ``make_pod``; then the pod is as it was.
    """

    def change(pod: HandPod | None) -> HandPod:
        if pod is None or pod.going:
            raise NotFound(f'cannot make a container in pod "{key.name}": it was removed, or not made by hand')
        if spec.name in pod.containers:
            raise refuse_name(spec.name, pod)
        wider = replace(pod, spec=replace(pod.spec, containers=(*pod.spec.containers, spec)))
        return new_member(wider, member)

    _edit_with_names(bench, key, [spec.name], change)
    try:
        result = settle(bench, key)
        expect_made(bench, key, [spec.name], result)
    except BaseException:
        remove_members(bench, key, [spec.name], grace=0)
        raise
    return result


def remove_members(bench: Bench, key: Key, names: Collection[str], grace: float | None = None) -> None:
    """Take containers out of a pod made by hand; with the only one of a pod of its own, that pod."""
    carry_out(bench, key, lambda pod, _: without(pod, names, grace))


class _Taken(Exception):
    """Another pod has claimed the name, whether or not it says so in its word."""


def _edit_with_names(bench: Bench, key: Key, names: list[str], change: Change) -> None:
    """``edit``, with names taken under the pod's lock: whoever finds one taken and takes that lock sees whether it is
    in use, or was left by a command that was killed.

    Raises InvalidInput where a name is in use.
    """

    for name in names:
        _refuse_infra_name(bench, name)

    def changed(before: HandPod | None) -> HandPod:
        after = change(before)
        for number, name in enumerate(names):
            if not bench.source.claim(name, key) and bench.source.holder(name) != key:
                for mine in names[:number]:
                    bench.source.release(mine, key)
                raise _Taken(name)
        return after

    while True:
        try:
            edit(bench, key, changed)
        except _Taken as taken:
            _free_if_stale(bench, str(taken))
        else:
            return


def _free_if_stale(bench: Bench, name: str) -> None:
    """Raise InvalidInput where the name is in use."""
    other = bench.source.holder(name)
    if other is None:
        return
    with bench.engine.lock(other):
        pod = bench.source.read(other) or _by_record(bench, other)
        if pod is not None and name in pod.names:
            raise refuse_name(name, pod)
        bench.source.release(name, other)


def _by_record(bench: Bench, key: Key) -> HandPod | None:
    """A pod whose word is lost: it is left as it is, with the names that it has."""
    have = bench.engine.observe(key, None)
    if have.sandbox is None or have.sandbox.owner != HAND:
        return None
    members = tuple(HandMember(name) for name in dict.fromkeys(c.name for c in have.containers))
    return HandPod(have.sandbox.applied, members=members)


def _refuse_infra_name(bench: Bench, name: str) -> None:
    """Raise InvalidInput where a pod's infra container is called so, which is named by the pod's id. Nobody can have
    meant that before there was the pod: so nothing is written down about it."""
    if not _INFRA_NAME.fullmatch(name):
        return
    recorded = bench.engine.keys()
    for key in recorded:
        sandbox = bench.engine.look(key).sandbox
        if sandbox is not None and sandbox.infra_name == name:
            raise InvalidInput(
                f'cannot use the name "{name}": it is in use by the infra container of pod {key.name}',
                hint="choose another",
            )


def first_free(bench: Bench, names: Names) -> str:
    """The first of the names that no pod and no container made by hand has."""
    recorded = set(bench.engine.keys())
    for name in names:
        key = Key("default", name)
        if bench.source.holder(name) is None and not bench.source.asked_for(key) and key not in recorded:
            return name
    raise InvalidInput("cannot find a name that is free")


def made(bench: Bench, key: Key, name: str) -> Container | None:
    """The container of a member."""
    return newest(bench.engine.observe(key, None).containers, name)


def expect_made(bench: Bench, key: Key, names: Iterable[str], result: Result) -> None:
    """Raise RuntimeFailed, with what stands in the way, where the pod or a member was not made, or not started though
    it was to be. A short life counts."""
    have, pod = bench.engine.observe(key, None), bench.source.read(key)
    if have.sandbox is None:
        raise _not_made(f"make pod {key.name}", result, ("", *names))
    for name in names:
        last, wish = newest(have.containers, name), pod.member(name).wish if pod else None
        if last is None:
            raise _not_made(f"make container {name}", result, ("", name))
        runs = pod is not None and pod.run is RunState.RUNNING and wish is not None and wish.run is RunState.RUNNING
        if runs and wish and not _was_started(last, wish.turn):
            raise _not_made(f"start container {name}", result, ("", name))


def _was_started(last: Container, turn: int) -> bool:
    """Whether the life of that number began, or a later one."""
    ran = last.state in (ContainerState.RUNNING, ContainerState.EXITED)
    return ran and bool(last.started_wall) and last.turn >= turn


def _not_made(what: str, result: Result, whose: Collection[str]) -> RuntimeFailed:
    causes = [waiting.reason.text for waiting in result.waiting if waiting.container in whose]
    return RuntimeFailed(f"cannot {what}: {'; '.join(causes) or 'its pod does not stand'}")


def id_of(bench: Bench, key: Key, name: str) -> ContainerId:
    """The id of a member's container.

    Raises NotFound where it is gone already.
    """
    container = made(bench, key, name)
    if container is None:
        raise NotFound(f"cannot find container {name}: it is gone")
    return container.id
