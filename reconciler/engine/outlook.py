"""What a plan needs to know of a key: what is there, and what would stand in the way of what is wanted.

Only what is still to be made is judged: a container that stands as it is wanted needs no command, no mount and no port.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial

from reconciler.engine import eviction, podfiles, portfacts, preflight
from reconciler.engine.context import Context
from reconciler.engine.observe import look
from reconciler.model.errors import TryLater
from reconciler.model.key import Key
from reconciler.model.observed import Container, Observed, Problem, Sandbox
from reconciler.model.spec import ContainerSpec, PodSpec


def observe(ctx: Context, key: Key, want: PodSpec | None, *, held: bool) -> Observed:
    """Read everything about a key. ``held``: the caller holds the key's lock, so exits may be written down."""
    have = look(ctx, key, want, held=held, is_stale=partial(podfiles.stale, ctx))
    if held and want is not None:
        with suppress(TryLater):  # a full disk; it is counted again, then
            have = eviction.notice(ctx, have)
    specs = [have.applied] if have.applied is want else [have.applied, want]
    images = preflight.images(ctx, [spec for spec in specs if spec is not None])
    return replace(have, images=images, problems=tuple(_problems(ctx, have, want)) if want else ())


def _problems(ctx: Context, have: Observed, want: PodSpec) -> Iterator[Problem]:
    if not _fits(have.sandbox, want):
        yield from preflight.sandbox_problems(ctx, want)
        yield from portfacts.problems(ctx, want)
    yield from preflight.pod_problems(ctx, want)
    fresh = [c for c in want.everyone if not _stands(c, have.containers)]
    yield from preflight.problems(ctx, fresh, own_users=not want.sandbox.host_users)


def _fits(sandbox: Sandbox | None, want: PodSpec) -> bool:
    """Whether the sandbox that is there will do, so that no other needs to be made."""
    return sandbox is not None and sandbox.infra_up and sandbox.applied.sandbox == want.sandbox


def _stands(spec: ContainerSpec, members: tuple[Container, ...]) -> bool:
    """Whether a living container was made from just this spec, so that nothing needs to be made."""
    return any(
        c.name == spec.name and (c.spec is spec or c.spec == spec) and c.state.can_signal() and not c.newer
        for c in members
    )
