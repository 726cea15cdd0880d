"""Pulls in the background: one at a time for each reference, a few at a time in all, with backoff.

Workers ask and go on; whoever subscribed is told, from the pulling thread, when a pull has ended. The
outcomes are kept in memory only: a controller that starts anew may try at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from reconciler.model.clock import Clock
from reconciler.model.errors import ReconcilerError
from reconciler.model.observed import Instant

AT_ONCE = 3
FIRST_DELAY, LAST_DELAY = 10.0, 300.0
"""Seconds to wait after the first failed pull, doubled up to the last (kubelet: imageBackOff)."""

FRESH = 60.0
"""Seconds for which an answer of the registry counts: the container start that asked for it comes well within."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the last pull of a reference ended; ``error`` "" for success. ``failures`` in a row."""

    ended: Instant
    error: str = ""
    failures: int = 0

    @property
    def retry_at(self) -> Instant | None:
        return self.ended + delay(self.failures) if self.failures else None

    def counts(self, now: Instant) -> bool:
        """Whether it is too early to ask the registry again for the sake of imagePullPolicy Always."""
        return now < max(self.ended + FRESH, self.retry_at or 0.0)


def delay(failures: int) -> float:
    """Seconds between the failure number ``failures`` (from 1) and the next try."""
    return float(min(FIRST_DELAY * 2 ** min(failures - 1, 30), LAST_DELAY))


class Pulls:
    """``pull`` is called with a reference in a thread of its own and raises to fail."""

    def __init__(self, clock: Clock, pull: Callable[[str], object]) -> None:
        self._clock, self._pull = clock, pull
        self._lock = threading.Lock()
        self._places = threading.Semaphore(AT_ONCE)
        self._running: dict[str, threading.Thread] = {}
        self._outcomes: dict[str, Outcome] = {}
        self._subscribers: list[Callable[[str], None]] = []

    def subscribe(self, callback: Callable[[str], None]) -> None:
        """Have ``callback`` called with the reference, from a pulling thread, after each pull."""
        self._subscribers.append(callback)

    def running(self, reference: str) -> bool:
        with self._lock:
            return reference in self._running

    def last(self, reference: str) -> Outcome | None:
        with self._lock:
            return self._outcomes.get(reference)

    def begin(self, reference: str) -> None:
        """Pull, unless that is under way; returns at once."""
        with self._lock:
            if reference in self._running:
                return
            thread = threading.Thread(target=self._body, args=(reference,), name=f"pull {reference}", daemon=True)
            self._running[reference] = thread
        thread.start()

    def note(self, reference: str, error: str) -> Outcome:
        """Take down how a pull ended."""
        with self._lock:
            before = self._outcomes.get(reference)
            failures = (before.failures if before else 0) + 1 if error else 0
            outcome = self._outcomes[reference] = Outcome(self._clock.now(), error, failures)
            return outcome

    def join(self, seconds: float) -> None:
        """Wait for the pulls under way, at most ``seconds`` for each."""
        with self._lock:
            threads = list(self._running.values())
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(seconds)

    def _body(self, reference: str) -> None:
        error = "it ended without an answer"
        try:
            with self._places:
                self._pull(reference)
            error = ""
        except ReconcilerError as problem:
            error = problem.message
        except OSError as problem:
            error = f"cannot pull {reference}: {problem.strerror or problem}"
        finally:
            self.note(reference, error)
            with self._lock:
                self._running.pop(reference, None)
            for callback in tuple(self._subscribers):
                callback(reference)
