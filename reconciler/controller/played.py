"""`kube play` and `kube down`: the pods of a manifest as pods made by hand, Kubernetes' way: each start of a member is
a new container.

To play is to declare: a manifest that says what is wanted already changes nothing, another one touches what it changes.
A pod of that name that somebody else made is left alone. Several pods are worked on at the same time, each by a thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

from reconciler.controller import several
from reconciler.controller.by_hand import Bench, edit, removed, settle
from reconciler.controller.looking import NO_CHANGE, told_of
from reconciler.controller.sync import Result
from reconciler.controller.wanted import spoken
from reconciler.model.actions import Action
from reconciler.model.desired import RunState, Wish
from reconciler.model.errors import InvalidInput, NotOwned, ReconcilerError
from reconciler.model.key import HAND, Key, SourceId
from reconciler.model.objects import Object
from reconciler.model.observed import Observed
from reconciler.model.references import references
from reconciler.model.spec import PodSpec
from reconciler.model.status import Phase
from reconciler.plan.situation import newest
from reconciler.sources.hand import HandMember, HandObject, HandPod

T = TypeVar("T")

AT_ONCE = 8
"""Pods that one command works on at the same time."""

LOOK_AGAIN = 2.0
"""Seconds until who looks after a pod tries again when something failed."""

LAST_LOOK = 10.0
"""Seconds that who looks after pods has to see that they are gone."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one pod. ``pod`` and ``containers``: ids, in the order of the manifest ("" and none where there is
    no pod). ``steps``: how many it took. ``why``: what is not as wanted, in sentences; ``error``: what went wrong."""

    key: Key
    pod: str = ""
    containers: tuple[str, ...] = ()
    steps: int = 0
    why: tuple[str, ...] = ()
    error: ReconcilerError | None = None

    @property
    def ok(self) -> bool:
        return not self.why and self.error is None


def play(
    bench: Bench,
    pods: Sequence[PodSpec],
    objects: Sequence[Object] = (),
    *,
    start: bool = True,
    replace_others: bool = False,
) -> tuple[Outcome, ...]:
    """Have these pods, as they are written. ``start`` False: they are made and not started. ``objects`` are kept with
    the pods that refer to them. ``replace_others``: one that `run` or `pod create` made under such a name is removed
    first.
    """
    run = RunState.RUNNING if start else RunState.CREATED

    def one(own: Bench, spec: PodSpec) -> Outcome:
        if replace_others:
            _remove_other(own, spec.key)
        came = [one for one in objects if _refers(spec, one)]
        edit(own, spec.key, lambda before: _wanted(own, spec, run, came, before))
        return _stands(own, spec, settle(own, spec.key))

    return _each(bench, {spec.key: spec for spec in pods}, one)


def down(bench: Bench, keys: Iterable[Key]) -> tuple[Outcome, ...]:
    """Stop and remove what was played under these names; one that is not there is fine."""

    def one(own: Bench, key: Key) -> Outcome:
        have = own.engine.observe(key, None)
        if have.sandbox is None and not own.source.asked_for(key):
            return Outcome(key)
        edit(own, key, lambda before: _unwanted(own, key, before))
        settle(own, key)
        left = own.engine.observe(key, None).sandbox is not None
        pod = have.sandbox.id if have.sandbox else ""
        return Outcome(key, pod, why=("it is not gone: it is wanted again",) if left else ())

    return _each(bench, {key: key for key in keys}, one)


@contextmanager
def following(bench: Bench, keys: Sequence[Key], stop: threading.Event) -> Iterator[None]:
    """Look after pods meanwhile; sets ``stop`` when none of their members runs or will.

    Whoever leaves has taken them down, so that the threads end; they are waited for, but not for ever.
    """
    left = set(keys)
    lock = threading.Lock()

    def look_after(key: Key) -> None:
        while not _has_ended(bench, key) and not stop.wait(LOOK_AGAIN):
            pass
        with lock:
            left.discard(key)
            if not left:
                stop.set()

    threads = [threading.Thread(target=look_after, args=(key,), name="follow", daemon=True) for key in keys]
    for thread in threads:
        thread.start()
    yield
    end = time.monotonic() + LAST_LOOK
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))


def _has_ended(bench: Bench, key: Key) -> bool:
    """Look after a pod until it has; False where that fails."""
    try:
        settle(bench, key, enough=_is_over)
    except ReconcilerError:
        return False
    return True


def _is_over(result: Result) -> bool:
    return result.owner is None or result.status.phase in (Phase.SUCCEEDED, Phase.FAILED)


def _each(bench: Bench, things: dict[Key, T], act: Callable[[Bench, T], Outcome]) -> tuple[Outcome, ...]:
    """Do it to all, several at the same time."""
    done = several.each(list(things.items()), lambda one: _counted(bench, *one, act), AT_ONCE)
    return tuple(outcome for _, outcome in done)


def _counted(bench: Bench, key: Key, thing: T, act: Callable[[Bench, T], Outcome]) -> Outcome:
    """What became of it, with the steps that it took; an error of ours is an outcome, too."""
    steps: list[Action] = []

    def step(of: Key, action: Action) -> None:
        steps.append(action)
        if bench.on_step:
            bench.on_step(of, action)

    try:
        return replace(act(replace(bench, on_step=step), thing), steps=len(steps))
    except ReconcilerError as error:
        return Outcome(key, steps=len(steps), error=error)


def _wanted(bench: Bench, spec: PodSpec, run: RunState, came: Sequence[Object], before: HandPod | None) -> HandPod:
    """What is wanted of a pod from now on. For holders of its lock."""
    sandbox = bench.engine.observe(spec.key, None).sandbox
    _refuse_others("play", spec.key, sandbox.owner if sandbox else None)
    if before is not None and before.going and sandbox is None:  # who removed it was killed before the last word
        bench.source.forget(spec.key)
        before = None
    last = before.spec if before else sandbox.applied if sandbox else None
    if last is not None and last.keep:
        raise InvalidInput(
            f'cannot play pod "{spec.key.name}": there is one of that name that was made by hand',
            hint=f"say --replace, or remove it: reconciler pod rm {spec.key.name}",
        )
    members = tuple(_begun_again(member) for member in before.members) if before else ()
    return HandPod(spec, run, members, objects=_objects(bench, spec, came, before))


def _begun_again(member: HandMember) -> HandMember:
    """A command may have stopped it; that is over. The number of its life goes on."""
    return HandMember(member.name, Wish(turn=member.wish.turn))


def _objects(bench: Bench, spec: PodSpec, came: Sequence[Object], before: HandPod | None) -> tuple[HandObject, ...]:
    """Those that came with the manifest, and those that came before and are referred to still."""
    kept = {one.value.id: one for one in before.everything() if _refers(spec, one.value)} if before else {}
    now = bench.clock.wall()
    return tuple((kept | {one.id: HandObject(one, now) for one in reversed(came)}).values())


def _refers(spec: PodSpec, to: Object) -> bool:
    if to.service is not None:
        return to.service.selects(spec.key, spec.labels)
    return to.namespace == spec.key.namespace and (to.kind, to.name) in references(spec)


def _remove_other(bench: Bench, key: Key) -> None:
    """Remove a pod made by `run` or `pod create`."""
    before = bench.source.read(key)
    if before is not None and before.spec.keep:
        edit(bench, key, lambda pod: removed(pod, key))
        settle(bench, key)


def _unwanted(bench: Bench, key: Key, before: HandPod | None) -> HandPod:
    """The word by which a pod goes. For holders of its lock."""
    sandbox = bench.engine.observe(key, None).sandbox
    _refuse_others("take down", key, sandbox.owner if sandbox else None)
    last = before or (HandPod(sandbox.applied) if sandbox else None)
    if last is not None and last.spec.keep:
        raise InvalidInput(
            f'cannot take down pod "{key.name}": it was not played, but made by hand',
            hint=f"remove it: reconciler pod rm {key.name}",
        )
    return removed(last, key)


def _refuse_others(verb: str, key: Key, owner: SourceId | None) -> None:
    if owner is not None and owner != HAND:
        place = owner.partition(":")[2]
        raise NotOwned(
            f'cannot {verb} pod "{key.name}": it belongs to {spoken(owner)}',
            hint=f"reconciler down {place} would remove it" if verb == "play" else f"try: reconciler down {place}",
        )


def _stands(bench: Bench, spec: PodSpec, result: Result) -> Outcome:
    """How a pod stands that was worked on."""
    have = bench.engine.observe(spec.key, None)
    waits = (told_of(w) for w in result.waiting if w.reason.why not in NO_CHANGE)
    pod = have.sandbox.id if have.sandbox else ""
    return Outcome(spec.key, pod, _ids(have, spec), why=tuple(dict.fromkeys(waits)))


def _ids(have: Observed, spec: PodSpec) -> tuple[str, ...]:
    found = (newest(have.containers, container.name) for container in spec.everyone)
    return tuple(container.id for container in found if container is not None)
