"""No lock of the instance, and no transaction, is held while an OCI runtime works: one slow pod would hold up all.

A pod's own lock is: that is what keeps two from working on one pod. And where a pod has users of its own, the choice of
their ids is made under a lock of all instances until they are taken (ARCHITECTURE.md, decision 40).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from reconciler.controller.core import Core
from reconciler.controller.wanted import Wanted
from reconciler.engine import locks, monitors, runtime
from reconciler.engine.store.tx import Store
from reconciler.model.key import Key
from reconciler.sources.directory import DirectorySource
from tests.host.instance import Instance, until
from tests.host.manifests import container, pod, put

pytestmark = pytest.mark.host

WEB = Key("default", "web")


class Held:
    """What the threads of this process hold, and what each call of a runtime met."""

    def __init__(self) -> None:
        self._mine = threading.local()
        self.met: list[tuple[str, tuple[str, ...]]] = []

    def _names(self) -> list[str]:
        names: list[str] = vars(self._mine).setdefault("names", [])
        return names

    def holding(self, make: Callable[..., AbstractContextManager[Any]], name: str) -> Callable[..., Any]:
        @contextmanager
        def held(*arguments: Any, **options: Any) -> Iterator[Any]:
            with make(*arguments, **options) as value:
                told = f"{name} {arguments[0]}" if isinstance(arguments[0], Path) else name
                self._names().append(told)
                try:
                    yield value
                finally:
                    self._names().remove(told)

        return held

    def calling(self, call: Callable[..., Any], name: str) -> Callable[..., Any]:
        def called(*arguments: Any, **options: Any) -> Any:
            self.met.append((name, tuple(self._names())))
            return call(*arguments, **options)

        return called


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    watched = Held()
    for name in ("exclusive", "shared", "exclusive_if_free"):
        monkeypatch.setattr(locks, name, watched.holding(getattr(locks, name), name))
    monkeypatch.setattr(Store, "transaction", watched.holding(Store.transaction, "transaction"))
    monkeypatch.setattr(monitors.Monitors, "create", watched.calling(monitors.Monitors.create, "create"))
    monkeypatch.setattr(runtime, "_bounded", watched.calling(runtime._bounded, "run"))
    return watched


def test_no_lock_but_the_pods_own_is_held_while_a_runtime_works(
    instance: Instance, image: str, folder: Path, held: Held
) -> None:
    port = {"ports": [{"containerPort": 80, "hostPort": 18080}]}
    put(folder / "web.json", pod("web", container("one", image, **port), container("two", image)))
    engine = instance.engine
    assert engine.context.runtime, "it is chosen by a throwaway container, once for a machine and boot"
    held.met.clear()
    source = DirectorySource(folder, settle=0.0, prune=True)
    core = Core(engine, Wanted([source]), engine.context.clock)
    core.adopt()

    def handled(done: Callable[[], bool]) -> Callable[[], bool]:
        def once() -> bool:
            source.scan()
            core.handle(WEB)
            return done()

        return once

    until(handled(lambda: len(instance.running("web")) == 3), "the pod runs", 150)
    put(folder / "web.json", pod("web", container("one", image, **port), container("two", image, args=["other"])))
    until(handled(lambda: instance.containers("web")["two"].spec.args == ("other",)), "a member is replaced", 150)
    (folder / "web.json").unlink()
    until(handled(lambda: not engine.keys()), "the pod is gone", 150)
    assert {name for name, _ in held.met} == {"create", "run"}
    assert len(held.met) >= 4 + 4, "created and started"
    assert [met for met in held.met if met[1]] == []
