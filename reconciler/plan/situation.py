"""What is wanted, weighed against what is there: which version of the pod to work towards now. Pure.

Both the plan and the status begin here, so that they cannot tell different stories. The rule (make before
break): the *target* is the wanted spec as far as it can run. A member whose wanted version cannot run keeps the
version it was applied with; a change that needs a new pod is taken as a whole or not at all; what is not known
(a broken file) is what was applied last.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from reconciler.model.actions import Why
from reconciler.model.cost import Cost
from reconciler.model.desired import Present, RunState
from reconciler.model.observed import Container, ContainerState, HostFacts, Instant, Observed, Sandbox
from reconciler.model.spec import ContainerSpec, PodSpec, RestartPolicy, Role
from reconciler.plan.disruption import Change, at_least, container_changes, highest, pod_changes
from reconciler.plan.obstacles import (
    Obstacle,
    image_obstacles,
    infra_obstacles,
    member_obstacles,
    missing_obstacles,
    pod_obstacles,
    port_obstacles,
)


@dataclass(frozen=True, slots=True)
class Situation:
    """``hold``: what is wanted is not known, so nothing is stopped. ``recreate``: the changes for which the pod must be
    recreated, where it can be. ``told``: obstacles to the wanted spec for which the applied one stands in;
    ``blocked``: obstacles to the target itself, by member ("": the pod)."""

    want: Present
    have: Observed
    now: Instant
    hold: bool
    target: PodSpec
    recreate: tuple[Change, ...]
    told: tuple[Obstacle, ...]
    blocked: dict[str, tuple[Obstacle, ...]]
    passing: tuple[Obstacle, ...]

    @property
    def sandbox(self) -> Sandbox | None:
        return self.have.sandbox

    def finished(self, container: Container) -> bool:
        """Ended by itself, for good. What we stopped ourselves is not finished: it is wanted again, or goes."""
        spec = self.target.container(container.name)
        return is_finished(container, self.target, spec or container.spec) and not self.due_again(container)

    def due_again(self, container: Container) -> bool:
        """Whether a command asked for another life of it."""
        return container.turn < self.want.wish(container.name).turn

    def grace_of(self, container: Container) -> float:
        """Seconds that a member has to stop."""
        asked = next((wish.grace for name, wish in self.want.wishes if name == container.name), None)
        return self.target.grace_of(container.spec) if asked is None else asked

    @property
    def may_remove(self) -> bool:
        """Whether a member that is not wanted may go now (the source is quiet, and its word is known)."""
        return self.want.settled and not self.hold


def matches(container: Container, spec: ContainerSpec) -> bool:
    """Whether a container can go on under ``spec`` without being replaced."""
    return same_container(container.spec, spec) and container.refused != spec.resources and not container.newer


def same_container(old: ContainerSpec, new: ContainerSpec) -> bool:
    return old == new or highest(container_changes(old, new)) < Cost.CONTAINER


def restarts_after(pod: PodSpec, spec: ContainerSpec, container: Container) -> bool:
    """Whether a member that ended by itself is started again (kubelet: ShouldContainerBeRestarted). ``retries`` counts
    since the last start by hand, as podman's on-failure:N does."""
    policy = pod.policy_of(spec)
    if container.exit is not None and pod.rules_restart(spec, container.exit.code):
        return True
    if policy is RestartPolicy.ON_FAILURE:
        ended_by_us = container.stopping is not None or bool(container.unhealthy)  # as it was ill
        failed = container.exit is None or container.exit.code != 0 or ended_by_us
        return failed and not (spec.retries and container.restarts >= spec.retries)
    return policy is RestartPolicy.ALWAYS


def is_finished(container: Container, pod: PodSpec, spec: ContainerSpec) -> bool:
    """Ended by itself, and not to be restarted.

    One made by hand that is gone while it waited for its start (a reboot) has not ended; with manifests a start that
    nobody wrote down counts as one, as it may have been."""
    ended = container.state is ContainerState.EXITED and container.by_itself
    return ended and not restarts_after(pod, spec, container) and (was_started(container) or not pod.keep)


def was_started(container: Container) -> bool:
    """Whether it is written down that its program ever ran."""
    return container.started_wall > 0 or container.last is not None


def newest(containers: tuple[Container, ...], name: str) -> Container | None:
    """The latest attempt at a member that was really made."""
    made = [c for c in containers if c.name == name and c.state is not ContainerState.CREATING]
    return max(made, key=lambda c: c.attempt, default=None)


def has_begun(pod: PodSpec, have: Observed) -> bool:
    """Whether the members had their turn in this life of the pod: its init containers are through, and stay so whatever
    becomes of the members (kubelet: HasAnyRegularContainerCreated)."""
    return any(newest(have.containers, c.name) is not None for c in pod.containers)


def is_over(want: Present, pod: PodSpec, have: Observed) -> bool:
    """Whether nothing of ``pod`` is to run any more: all its members have ended for good, or an init container has
    failed for good. Its sidecars do not count."""

    def ended(spec: ContainerSpec) -> Container | None:
        last = newest(have.containers, spec.name)
        if last is None or not matches(last, spec) or last.turn < want.wish(spec.name).turn:
            return None
        return last if is_finished(last, pod, spec) else None

    if has_begun(pod, have):
        return all(ended(spec) is not None for spec in pod.containers)
    return any(last is not None and has_failed(last) for last in map(ended, pod.plain_init))


def has_failed(container: Container) -> bool:
    """Of one that has ended: otherwise than well."""
    return container.exit is None or container.exit.code != 0


def lacks_nothing(want: Present, have: Observed) -> bool:
    """Whether all that is wanted is in place as it was applied: nothing is to be made, so nothing can stand in the way.

    Never of a pod with a full host name, which may be too long by now: the domain is the machine's.
    """
    sandbox = have.sandbox
    if sandbox is None or not sandbox.infra_up or sandbox.removing or sandbox.applied != want.spec:
        return False
    everyone = want.spec.everyone
    return not want.spec.sandbox.fqdn_as_hostname and all(_needs_nothing(spec, want, have) for spec in everyone)


def weigh(want: Present, have: Observed, host: HostFacts, now: Instant, *, hold: bool) -> Situation:
    """Choose the target, and sort the obstacles by what they stand in the way of."""
    sandbox, applied = have.sandbox, have.applied
    want, unmet = _with_files_as_they_are(want, applied)
    alive = sandbox is not None and sandbox.infra_up and not sandbox.removing
    pod_diff = _recreating(applied, want, have) if applied else ()
    anew = not alive or bool(pod_diff)
    ports = port_obstacles(want.spec, have, host, now) if anew and want.run is not RunState.STOPPED else ()
    infra = infra_obstacles(want.spec, have, now) if anew and want.run is not RunState.STOPPED else ()
    leaving = _leaving(want, applied, recreate=bool(pod_diff))
    in_the_way = (
        *pod_obstacles(want, have, now),
        *infra,
        *(p for p in ports if not p.passing),
        *(leaving if pod_diff else ()),
    )
    members = {
        c.name: member_obstacles(c, want, have, now)
        for c in want.spec.everyone
        if _is_made(want, c.name) and (anew or not _needs_nothing(c, want, have))
    }
    target = _target(want, have, now, members, in_the_way, pod_diff)
    return Situation(
        want=want,
        have=have,
        now=now,
        hold=hold,
        target=target,
        recreate=pod_diff if target is want.spec else (),
        told=(*in_the_way, *leaving, *_not_taken(want.spec, target, members, pod_diff), *unmet) if applied else (),
        blocked=_blocked(want, target, applied, members, in_the_way, have, now),
        passing=tuple(p for p in ports if p.passing),
    )


def _recreating(applied: PodSpec, want: Present, have: Observed) -> tuple[Change, ...]:
    """The changes for which the pod is made again. One of a plain init container is none where that was never made but
    as it is wanted, in a pod that has not begun: what it waited for may just have come."""
    begun = {c.name for c in have.containers} & {c.name for c in applied.containers}
    plain = {c.name for c in applied.plain_init} & {c.name for c in want.spec.plain_init}

    def is_ahead(name: str) -> bool:
        spec = want.spec.container(name)
        made = (c for c in have.containers if c.name == name)
        return not begun and name in plain and spec is not None and all(matches(c, spec) for c in made)

    changes = at_least(Cost.POD, pod_changes(applied, want.spec))
    return tuple(c for c in changes if not is_ahead(c.container))


def _with_files_as_they_are(want: Present, applied: PodSpec | None) -> tuple[Present, tuple[Obstacle, ...]]:
    """Where a volume lacks an object now, its files stay as they are: so what was applied of them is wanted still, and
    where the volume itself is the same nobody has to wait for it; that is only told."""
    lacking = {one.volume for one in want.missing if one.volume}
    if applied is None or not lacking:
        return want, ()
    before = {name: stamp for name, stamp in applied.contents if name in lacking}
    same = {volume.name for volume in want.spec.volumes if volume.name in before and volume in applied.volumes}
    told = tuple(one for one in want.missing if one.volume in same)
    spec = replace(want.spec, contents=tuple(sorted({**before, **dict(want.spec.contents)}.items())))
    rest = tuple(one for one in want.missing if one not in told)
    return replace(want, spec=spec, missing=rest), missing_obstacles(told)


def _is_made(want: Present, name: str) -> bool:
    """Whether a container of the member may have to be created."""
    return want.wish(name).run is not RunState.STOPPED


def _needs_nothing(spec: ContainerSpec, want: Present, have: Observed) -> bool:
    """Whether nothing is to be made of it in the pod that there is: it is in place, or its time is over."""
    role = want.spec.role_of(spec.name)
    if role is Role.INIT and has_begun(want.spec, have):
        return True
    return (role is Role.SIDECAR and is_over(want, want.spec, have)) or _in_place(spec, want, have)


def _in_place(spec: ContainerSpec, want: Present, have: Observed) -> bool:
    """Whether the member already has what it needs: nothing is to be created, so nothing can stand in the way."""
    turn = want.wish(spec.name).turn
    for c in have.containers:
        if c.name != spec.name or not matches(c, spec) or c.turn < turn:
            continue
        alive = c.state in (ContainerState.RUNNING, ContainerState.CREATED) and c.stopping is None
        if alive or is_finished(c, want.spec, spec):
            return True
    return False


def _leaving(want: Present, applied: PodSpec | None, *, recreate: bool) -> tuple[Obstacle, ...]:
    """Members that are to go stay until the source is quiet, for half a file is valid too. A new pod would lack
    them, so it waits as well."""
    gone = [c.name for c in applied.everyone if want.spec.container(c.name) is None] if applied else []
    if want.settled or not gone:
        return ()
    text = "leaves when the source has been quiet for a moment"
    if recreate:
        return (
            Obstacle("", Why.NOT_SETTLED, "NotSettled", f"{', '.join(gone)} {text}, and the pod is recreated then"),
        )
    return tuple(Obstacle(name, Why.NOT_SETTLED, "NotSettled", f"it {text}") for name in gone)


def _target(
    want: Present,
    have: Observed,
    now: Instant,
    members: dict[str, tuple[Obstacle, ...]],
    in_the_way: tuple[Obstacle, ...],
    pod_diff: tuple[Change, ...],
) -> PodSpec:
    applied = have.applied
    if applied is None:
        return want.spec
    if in_the_way or (pod_diff and any(members.values())):
        return applied
    if pod_diff:
        return want.spec

    def chosen(wanted: ContainerSpec) -> ContainerSpec:
        before = applied.container(wanted.name)
        falls_back = before is not None and members.get(wanted.name) and not image_obstacles(before, have, now)
        return before if falls_back and before and not same_container(before, wanted) else wanted

    target = want.spec.with_everyone(chosen)
    if want.settled:
        return target
    staying = [c for c in applied.everyone if want.spec.container(c.name) is None]
    init = tuple(c for c in staying if applied.role_of(c.name) is not Role.MEMBER)
    members_left = tuple(c for c in staying if c not in init)
    return replace(target, init=(*target.init, *init), containers=(*target.containers, *members_left))


def _not_taken(
    want: PodSpec, target: PodSpec, members: dict[str, tuple[Obstacle, ...]], pod_diff: tuple[Change, ...]
) -> tuple[Obstacle, ...]:
    """Obstacles of wanted members that the target has in another version, or that hold up a new pod."""
    found: list[Obstacle] = []
    for c in want.everyone:
        chosen = target.container(c.name)
        held_up = bool(pod_diff) and target is not want
        if held_up or chosen is None or not same_container(chosen, c):
            found += members.get(c.name, ())
    return tuple(found)


def _blocked(
    want: Present,
    target: PodSpec,
    applied: PodSpec | None,
    members: dict[str, tuple[Obstacle, ...]],
    in_the_way: tuple[Obstacle, ...],
    have: Observed,
    now: Instant,
) -> dict[str, tuple[Obstacle, ...]]:
    blocked: dict[str, tuple[Obstacle, ...]] = {}
    for c in target.everyone:
        wanted = want.spec.container(c.name)
        as_wanted = wanted is not None and same_container(wanted, c)
        if as_wanted:
            blocked[c.name] = members.get(c.name, ())
        else:
            there = _in_place(c, replace(want, spec=target), have)
            blocked[c.name] = () if there else image_obstacles(c, have, now)
    blocked[""] = in_the_way
    if applied is not None:
        ports = tuple(o for o in in_the_way if _also_blocks(o, applied))
        blocked[""] = (*ports, *infra_obstacles(applied, have, now))
    return blocked


def _also_blocks(obstacle: Obstacle, applied: PodSpec) -> bool:
    """Whether what stands in the wanted pod's way stands in that of the applied one too: a port both need."""
    numbers = {(one.host_port, one.protocol) for one in obstacle.bindings}
    shared = [other for other in applied.sandbox.ports if (other.host_port, other.protocol) in numbers]
    return any(one.overlaps(other) for other in shared for one in obstacle.bindings)
