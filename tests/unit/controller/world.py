"""A controller's core over real files and the engine in memory, driven by hand: no thread, no sleeping."""

from __future__ import annotations

from pathlib import Path

from reconciler.controller.core import Core, Result
from reconciler.controller.wanted import Wanted
from reconciler.model.actions import Action
from reconciler.model.key import Key
from reconciler.sources.directory import DirectorySource
from reconciler.sources.suspended import Suspensions
from tests.fakes.engine import FakeEngine


class World:
    """``places`` are directories below ``root``; each is a source."""

    def __init__(self, root: Path, *places: str, prune: bool = False, engine: FakeEngine | None = None) -> None:
        self.root = root
        self.engine = engine or FakeEngine()
        self.clock = self.engine.clock
        self.sources = []
        for place in places or ("manifests",):
            (root / place).mkdir(exist_ok=True)
            self.sources.append(
                DirectorySource(root / place, clock=self.clock, memory_dir=root / "memory", prune=prune)
            )
        self.stepped: list[tuple[Key, Action]] = []
        self.suspensions = Suspensions(root / "suspended")
        self.core = Core(
            self.engine,
            Wanted(self.sources, suspensions=self.suspensions),
            self.clock,
            on_step=lambda key, step: self.stepped.append((key, step)),
        )
        self.engine.listeners.append(self.core.queue.add)
        for key in self.core.adopt():
            self.core.queue.add(key)

    def write(self, name: str, text: str, place: str = "manifests") -> None:
        (self.root / place / name).write_text(text)

    def remove(self, name: str, place: str = "manifests") -> None:
        (self.root / place / name).unlink()

    def hear(self) -> None:
        """As if the directories' events had come."""
        for source in self.sources:
            source.touched()
            changed = source.scan()[1]
            for key in changed | self.core.wanted.users_of(source.take_other_objects()):
                self.core.queue.add(key)

    def work(self) -> int:
        """Handle everything that is due now; how many keys that were."""
        count = 0
        while (key := self.core.queue.poll()) is not None:
            self.core.handle(key)
            self.core.queue.done(key)
            count += 1
            assert count < 500, "the queue does not come to rest"
        return count

    def settle(self, seconds: float = 120.0) -> None:
        """Hear, and work until nothing is due for ``seconds``, moving from timer to timer."""
        self.hear()
        end = self.clock.now() + seconds
        self.work()
        while (due := self.core.queue.next_due()) is not None and due <= end:
            self.engine.tick(max(0.0, due - self.clock.now()))
            self.work()

    def result(self, key: Key) -> Result:
        result = self.core.result(key)
        assert result is not None
        return result

    def reasons(self, key: Key) -> list[str]:
        return [reason for about, _, reason, _ in self.engine.emitted if about == str(key)]
