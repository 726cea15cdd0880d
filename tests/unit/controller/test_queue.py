"""The queue's promises: nothing is lost, nothing is done twice at a time, nothing is early."""

from __future__ import annotations

import threading
from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from reconciler.controller.queue import WorkQueue
from reconciler.model.clock import SystemClock
from tests.fakes.clock import FakeClock


def test_a_key_added_twice_is_handed_out_once() -> None:
    queue: WorkQueue[str] = WorkQueue(FakeClock())
    queue.add("a")
    queue.add("a")
    assert queue.poll() == "a"
    queue.done("a")
    assert queue.poll() is None


def test_a_key_added_while_it_is_worked_on_is_handed_out_again_and_not_before() -> None:
    queue: WorkQueue[str] = WorkQueue(FakeClock())
    queue.add("a")
    assert queue.poll() == "a"
    queue.add("a")
    assert queue.poll() is None
    queue.done("a")
    assert queue.poll() == "a"


def test_keys_come_in_the_order_they_were_added() -> None:
    queue: WorkQueue[str] = WorkQueue(FakeClock())
    for key in "cab":
        queue.add(key)
    assert [queue.poll() for _ in range(3)] == ["c", "a", "b"]


def test_a_timer_is_due_at_its_instant_and_the_earlier_one_counts() -> None:
    clock = FakeClock()
    queue: WorkQueue[str] = WorkQueue(clock)
    queue.add("a", clock.now() + 10)
    queue.add("a", clock.now() + 5)
    queue.add("a", clock.now() + 20)
    assert queue.next_due() == clock.now() + 5
    clock.advance(4.9)
    assert queue.poll() is None
    clock.advance(0.1)
    assert queue.poll() == "a"
    queue.done("a")
    clock.advance(100)
    assert queue.poll() is None


def test_taking_a_key_cancels_its_timer() -> None:
    clock = FakeClock()
    queue: WorkQueue[str] = WorkQueue(clock)
    queue.add("a", clock.now() + 5)
    queue.add("a")
    assert queue.poll() == "a"
    queue.done("a")
    clock.advance(10)
    assert queue.poll() is None


def test_closing_wakes_whoever_waits() -> None:
    queue: WorkQueue[str] = WorkQueue(SystemClock())
    got: list[str | None] = []
    thread = threading.Thread(target=lambda: got.append(queue.get()))
    thread.start()
    queue.close()
    thread.join(60)
    assert got == [None]
    queue.add("a")
    assert queue.get() is None


def test_a_timer_set_while_all_wait_is_kept_although_another_worker_gets_busy() -> None:
    clock = SystemClock()
    queue: WorkQueue[str] = WorkQueue(clock)
    release, due = threading.Event(), threading.Event()

    def work() -> None:
        while (key := queue.get()) is not None:
            if key == "slow":
                release.wait(60)
            else:
                due.set()
            queue.done(key)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    queue.add("timed", clock.now() + 0.05)
    queue.add("slow")
    assert due.wait(60)
    release.set()
    queue.close()
    for thread in threads:
        thread.join(60)


def test_many_threads_never_work_on_one_key_at_once() -> None:
    queue: WorkQueue[int] = WorkQueue(SystemClock())
    at_work: Counter[int] = Counter()
    wrong: list[int] = []
    lock = threading.Lock()
    done = threading.Event()
    seen: Counter[int] = Counter()

    def work() -> None:
        while (key := queue.get()) is not None:
            with lock:
                at_work[key] += 1
                if at_work[key] > 1:
                    wrong.append(key)
            with lock:
                at_work[key] -= 1
                seen[key] += 1
            queue.done(key)
            if queue.idle():
                done.set()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(2000):
        queue.add(number % 7)
        done.clear()
    queue.add(99)
    assert done.wait(60)
    queue.close()
    for thread in threads:
        thread.join(60)
    assert not wrong
    assert set(seen) == {*range(7), 99}


KEYS = st.sampled_from("abc")


class QueueMachine(RuleBasedStateMachine):
    """Against a model: what is owed to each key."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.queue: WorkQueue[str] = WorkQueue(self.clock)
        self.owed: set[str] = set()
        self.timers: dict[str, float] = {}
        self.working: set[str] = set()

    def _ring(self) -> None:
        for key, at in list(self.timers.items()):
            if at <= self.clock.now():
                del self.timers[key]
                self.owed.add(key)

    @rule(key=KEYS)
    def add(self, key: str) -> None:
        self.queue.add(key)
        self.owed.add(key)

    @rule(key=KEYS, delay=st.integers(1, 20))
    def add_later(self, key: str, delay: int) -> None:
        at = self.clock.now() + delay
        self.queue.add(key, at)
        self.timers[key] = min(at, self.timers.get(key, at))

    @rule(seconds=st.integers(1, 10))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)
        self._ring()

    @rule()
    def take(self) -> None:
        self._ring()
        key = self.queue.poll()
        if key is None:
            assert not self.owed - self.working, "a key that is due must be handed out"
            return
        assert key in self.owed
        assert key not in self.working
        self.owed.discard(key)
        self.timers.pop(key, None)
        self.working.add(key)

    @rule(key=KEYS)
    def finish(self, key: str) -> None:
        if key in self.working:
            self.working.discard(key)
            self.queue.done(key)

    @invariant()
    def knows_when_it_is_idle(self) -> None:
        assert self.queue.idle() == (not self.owed and not self.working)


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(max_examples=60, deadline=None)
