"""What the Burstable pods weigh together, as several processes write it at once."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from reconciler.engine import cgroups, locks, podgroups
from reconciler.engine.cgroups import names
from reconciler.engine.layout import Layout
from reconciler.engine.store import pods as index
from reconciler.engine.store.tx import Store
from reconciler.model.errors import InvalidInput
from reconciler.model.key import Key, PodId
from reconciler.model.qos import Qos
from reconciler.model.spec import PodSpec, SandboxSpec

ONE, TWO = PodId("1" * 64), PodId("2" * 64)


@pytest.fixture
def ctx(tmp_path: Path) -> Any:
    layout = Layout.at(tmp_path)
    layout.make()
    store = Store(layout.database)
    for pod in (ONE, TWO):
        index.add_pod(store, pod, Key("default", pod[:4]), ())
    return SimpleNamespace(layout=layout, store=store)


def path_of(ctx: Any, pod: PodId, qos: Qos = Qos.BURSTABLE) -> str:
    return names.pod_path(ctx.layout.tag, pod, qos)


def test_a_level_weighs_what_its_pods_request(ctx: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[str, int]] = []
    monkeypatch.setattr(cgroups, "set_level", lambda path, shares: written.append((path, shares)))
    podgroups._share(ctx, ONE, path_of(ctx, ONE), 500)
    podgroups._share(ctx, TWO, path_of(ctx, TWO), 1000)
    podgroups._share(ctx, ONE, path_of(ctx, ONE), 0)
    podgroups._share(ctx, TWO, path_of(ctx, TWO, Qos.GUARANTEED), 3000)
    level = f"/reconciler-{ctx.layout.tag}/burstable"
    assert written == [(level, 512), (level, 1536), (level, 1024)]


def test_others_may_write_to_the_index_meanwhile_but_no_weight(ctx: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd may take half a minute: nobody else's work waits for that, but for the same value."""
    free: list[bool] = []

    def slow(_path: str, _shares: int) -> None:
        index.set_published(Store(ctx.layout.database), TWO, True)  # another connection, as another process has it
        with locks.exclusive_if_free(ctx.layout.shares_lock) as taken:
            free.append(taken)

    monkeypatch.setattr(cgroups, "set_level", slow)
    monkeypatch.setattr("reconciler.engine.store.opening.BUSY_SECONDS", 0.1)
    podgroups._share(ctx, ONE, path_of(ctx, ONE), 500)
    assert free == [False]


@pytest.mark.parametrize(
    ("driver", "parent", "why"),
    [
        (names.Driver.CGROUPFS, "/mine", ""),
        (names.Driver.SYSTEMD, "mine.slice", ""),
        (names.Driver.CGROUPFS, "", ""),
        (names.Driver.CGROUPFS, "mine.slice", podgroups.CGROUPFS_MAKES),
        (names.Driver.SYSTEMD, "/mine", "systemd makes cgroups here, which has slices"),
        (names.Driver.CGROUPFS, "/reconciler-abcd/burstable", "it is one of ours"),
    ],
)
def test_where_a_pod_may_be_made(ctx: Any, driver: names.Driver, parent: str, why: str) -> None:
    ctx.driver = (driver, "")
    spec = PodSpec(Key("default", "box"), SandboxSpec(cgroup_parent=parent))
    assert podgroups.wrong_parent(ctx, spec) == (f"cannot make the pod's cgroup below {parent}: {why}" if why else "")
    if why:
        with pytest.raises(InvalidInput, match="cannot make the pod's cgroup below"):
            podgroups.choose(ctx, ONE, spec)
    else:
        top = names.top(ctx.layout.tag, driver)
        assert podgroups.choose(ctx, ONE, spec).startswith(f"/{parent.strip('/')}/" if parent else f"{top}/besteffort/")


def test_a_pod_made_by_hand_is_not_among_those_that_get_what_is_left(ctx: Any) -> None:
    ctx.driver = (names.Driver.CGROUPFS, "")
    spec = PodSpec(Key("default", "box"), keep=True)
    assert podgroups.choose(ctx, ONE, spec) == f"/reconciler-{ctx.layout.tag}/pod-{ONE}"
