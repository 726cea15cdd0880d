"""Pulls in the background: one at a time for each errand, a few at a time in all, with backoff.

An errand is a reference and the passwords for it: other passwords are tried at once, although the last ones failed.

Workers ask and go on; whoever subscribed is told, from the pulling thread, when a pull has ended. The
outcomes are kept in memory only: a controller that starts anew may try at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from reconciler.model.clock import Clock
from reconciler.model.errors import ReconcilerError
from reconciler.model.login import Logins
from reconciler.model.observed import Instant

AT_ONCE = 3
FIRST_DELAY, LAST_DELAY = 10.0, 300.0
"""Seconds to wait after the first failed pull, doubled up to the last (kubelet: imageBackOff)."""

FRESH = 60.0
"""Seconds for which an answer of the registry counts: the container start that asked for it comes well within."""


class Errand(NamedTuple):
    """What is pulled: a reference, from a registry with these passwords, or (``near``) from another store here."""

    reference: str
    logins: Logins = ()
    near: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the last pull of an errand ended; ``error`` "" for success, which ``told`` says more of. ``failures`` in a
    row."""

    ended: Instant
    error: str = ""
    failures: int = 0
    told: str = ""

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
    """``pull`` is called with an errand in a thread of its own, returns the size of the image, and raises to fail."""

    def __init__(self, clock: Clock, pull: Callable[[Errand], int]) -> None:
        self._clock, self._pull = clock, pull
        self._lock = threading.Lock()
        self._places = threading.Semaphore(AT_ONCE)
        self._running: dict[Errand, threading.Thread] = {}
        self._anew: set[Errand] = set()
        self._outcomes: dict[Errand, Outcome] = {}
        self._subscribers: list[Callable[[str], None]] = []

    def subscribe(self, callback: Callable[[str], None]) -> None:
        """Have ``callback`` called with the reference, from a pulling thread, after each pull."""
        self._subscribers.append(callback)

    def running(self, errand: Errand) -> bool:
        with self._lock:
            return errand in self._running

    def last(self, errand: Errand) -> Outcome | None:
        with self._lock:
            return self._outcomes.get(errand)

    def bringing(self, errand: Errand) -> bool:
        """Whether a pull goes on that began without the image; it ends right after the image is here."""
        with self._lock:
            return errand in self._running and errand in self._anew

    def begin(self, errand: Errand, *, anew: bool) -> None:
        """Pull, unless that is under way; returns at once. ``anew``: the image is not here."""
        with self._lock:
            if errand in self._running:
                return
            (self._anew.add if anew else self._anew.discard)(errand)
            thread = threading.Thread(target=self._body, args=(errand,), name=f"pull {errand.reference}", daemon=True)
            self._running[errand] = thread
        thread.start()

    def note(self, errand: Errand, error: str, told: str = "") -> Outcome:
        """Take down how a pull ended."""
        with self._lock:
            before = self._outcomes.get(errand)
            failures = (before.failures if before else 0) + 1 if error else 0
            outcome = self._outcomes[errand] = Outcome(self._clock.now(), error, failures, told)
            return outcome

    def join(self, seconds: float) -> None:
        """Wait for the pulls under way, at most ``seconds`` for each."""
        with self._lock:
            threads = list(self._running.values())
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(seconds)

    def _body(self, errand: Errand) -> None:
        error, told, reference = "it ended without an answer", "", errand.reference
        asked = self._clock.now()
        try:
            with self._places:
                begun = self._clock.now()
                size = self._pull(errand)
            error, told = "", _took(begun, asked, self._clock.now(), size)
        except ReconcilerError as problem:
            error = problem.message
        except OSError as problem:
            error = f"cannot pull {reference}: {problem.strerror or problem}"
        finally:
            self.note(errand, error, told)
            with self._lock:
                self._running.pop(errand, None)
            for callback in tuple(self._subscribers):
                callback(reference)


def _took(begun: Instant, asked: Instant, ended: Instant, size: int) -> str:
    """The end of the kubelet's sentence (pkg/kubelet/images/image_manager.go)."""
    return f"in {ended - begun:.3g}s ({ended - asked:.3g}s including waiting). Image size: {size} bytes."
