"""Asks containers how they are, as their probes say, and writes down what follows; a sync does the rest.

One thread waits for the next probe that is due, and for nothing else; a crew of threads runs them, so a slow one delays
none. What they come to is decided in ``plan.probing``. A result that comes when its container, this life of it, or its
probe is not there any more is forgotten.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from reconciler.controller.crew import Crew
from reconciler.controller.log import Log
from reconciler.model.clock import Clock
from reconciler.model.errors import InvalidInput, NotFound, ReconcilerError
from reconciler.model.events import EventType
from reconciler.model.interfaces import PodEngine
from reconciler.model.key import ContainerId, Key
from reconciler.model.observed import Instant
from reconciler.model.probe import Outcome, Probe, ProbeKind, Verdict
from reconciler.model.words import in_a_line
from reconciler.plan.patients import Patient
from reconciler.plan.probing import Standing, after, begun, first_due, is_asked, next_due, renewed, verdict

TRIES = 3
"""Where a probe could not be run at all (kubelet: maxProbeRetries)."""
MOST = 256
"""Probes that are run at the same time."""
SHOWN = 1024
"""Characters of an event's text that are of use (the API server's limit for an event's note)."""


@dataclass(slots=True, eq=False)
class _Course:
    """One probe of one life of a container. ``due`` None: it is not to be run as things stand."""

    kind: ProbeKind
    probe: Probe
    standing: Standing
    due: Instant | None = None
    at_work: bool = False


@dataclass(slots=True, eq=False)
class _Case:
    """One life of a container. ``written``: what others know of it."""

    key: Key
    patient: Patient
    written: Verdict
    courses: dict[ProbeKind, _Course] = field(default_factory=dict)

    @property
    def standings(self) -> dict[ProbeKind, Standing]:
        return {kind: course.standing for kind, course in self.courses.items()}

    def has(self, course: _Course) -> bool:
        return self.courses.get(course.kind) is course


class Prober:
    """See the module. ``changed`` is called with the key of a pod about which something new was written down."""

    def __init__(
        self, engine: PodEngine, clock: Clock, changed: Callable[[Key], None], log: Log, crew: Crew | None = None
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._changed = changed
        self._log = log
        self._crew = crew or Crew("probe", MOST)
        self._wake = threading.Condition()
        self._cases: dict[ContainerId, _Case] = {}
        self._heap: list[tuple[Instant, int, _Case, _Course]] = []
        self._numbers = itertools.count()
        self._stopped = False
        self._writing = threading.Lock()
        self.thread = threading.Thread(target=self._run, name="probes", daemon=True)

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        """Begin nothing more; what is still under way comes to nothing."""
        with self._wake:
            self._stopped = True
            self._cases.clear()
            self._wake.notify_all()
        if self.thread.is_alive():
            self.thread.join()

    def follow(self, key: Key, found: Iterable[Patient]) -> None:
        """These are the patients of a pod now; others that it had are let go."""
        there = {patient.container: patient for patient in found}
        with self._wake:
            if self._stopped:
                return
            before = len(self._cases)
            for container in [c for c, case in self._cases.items() if case.key == key and c not in there]:
                del self._cases[container]
            if not there and len(self._cases) == before:
                return  # as with most pods: nobody needs to wake
            cases = [self._admit(key, patient) for patient in there.values()]
            self._wake.notify_all()
        for case in cases:
            self._write_down(case)

    def tick(self) -> Instant | None:
        """Begin what is due; when the next one is, None where nothing will be before something happens."""
        with self._wake:
            while self._heap:
                due, _, case, course = self._heap[0]
                if self._is_in(case) and case.has(course) and course.due == due:
                    if due > self._clock.now():
                        return due
                    course.at_work, course.due = True, None
                    self._crew.do(lambda case=case, course=course, due=due: self._examine(case, course, due))  # type: ignore[misc]
                heapq.heappop(self._heap)
        return None

    def _run(self) -> None:
        while True:
            due = self.tick()
            with self._wake:
                if self._stopped:
                    return
                if due == self._next():  # else somebody has come meanwhile
                    self._wake.wait(None if due is None else max(0.0, due - self._clock.now()))

    def _next(self) -> Instant | None:
        return self._heap[0][0] if self._heap else None

    def _is_in(self, case: _Case) -> bool:
        return self._cases.get(case.patient.container) is case

    def _admit(self, key: Key, patient: Patient) -> _Case:
        """Take a patient in, or take note of what is new of it."""
        case = self._cases.get(patient.container)
        is_new = case is None or case.patient.since != patient.since
        if case is None or is_new:
            case = self._cases[patient.container] = _Case(key, patient, patient.known)
        case.patient = patient
        known = patient.known if is_new else replace(verdict(case.standings), is_ready=False, unhealthy="")
        before, case.courses = case.courses, {}
        for kind, probe in patient.probes:
            course = before.get(kind)
            if course is None:
                course = _Course(kind, probe, begun(kind, known))
            elif course.probe != probe:
                course = _Course(kind, probe, renewed(course.standing))
            case.courses[kind] = course
        self._schedule(case, is_new=is_new)
        return case

    def _schedule(self, case: _Case, *, is_new: bool = False) -> None:
        """Set a time for every probe that is to be run and has none, and none for the others."""
        patient, now, standings = case.patient, self._clock.now(), case.standings
        for course in case.courses.values():
            if patient.paused or not is_asked(course.kind, standings, ending=patient.resting):
                course.due = None
            elif course.due is None and not course.at_work:
                probe = course.probe
                if is_new:
                    self._set(case, course, first_due(probe, patient.since, now))
                else:
                    self._set(case, course, max(now, patient.since + probe.initial_delay))

    def _set(self, case: _Case, course: _Course, due: Instant) -> None:
        course.due = due
        heapq.heappush(self._heap, (due, next(self._numbers), case, course))

    # --- in the crew -------------------------------------------------------------------------------------------

    def _examine(self, case: _Case, course: _Course, due: Instant) -> None:
        outcome: Outcome | None = None
        try:
            outcome = self._ask(case.patient.container, course.probe)
        except Exception:  # whatever it is, the probe must go on being run
            self._log.error("probe failed unexpectedly", pod=str(case.key), exc_info=True)
        with self._wake:
            course.at_work = False
            if not self._is_in(case) or not case.has(course):
                return
            if outcome is not None and not outcome.errored:
                course.standing = after(course.standing, course.probe, outcome.passed)
            if course.due is None:
                self._set(case, course, next_due(course.probe, due, self._clock.now()))
            self._schedule(case)
            self._wake.notify_all()
        if outcome is not None and (said := _told(course.kind, outcome)):
            self._tell(case, *said)
        self._write_down(case)

    def _ask(self, container: ContainerId, probe: Probe) -> Outcome | None:
        """None where there is nobody to be asked: it has ended, or was paused."""
        outcome = Outcome(False, errored=True)
        for _ in range(TRIES):
            try:
                outcome = self._engine.probe(container, probe.handler, probe.timeout)
            except (NotFound, InvalidInput):
                return None
            except ReconcilerError as error:
                outcome = Outcome(False, error.message, errored=True)
            if not outcome.errored:
                break
        return outcome

    def _tell(self, case: _Case, reason: str, text: str) -> None:
        try:
            self._engine.emit(str(case.key), EventType.WARNING, reason, case.patient.label + text)
        except ReconcilerError as error:
            self._log.warning("cannot record events", cause=error.message)

    def _write_down(self, case: _Case) -> None:
        """What follows by now, where others know something else. What cannot be written is tried again at the next
        result."""
        with self._writing:
            with self._wake:
                if not self._is_in(case):
                    return
                follows = verdict(case.standings)
            if follows == case.written:
                return
            try:
                self._engine.note_verdict(case.patient.container, case.patient.since, follows)
            except ReconcilerError as error:
                self._log.warning("cannot write down what a probe found", pod=str(case.key), cause=error.message)
                return
            case.written = follows
        self._changed(case.key)


def _told(kind: ProbeKind, outcome: Outcome) -> tuple[str, str] | None:
    """Reason and text of the event, in the kubelet's words (prober.go)."""
    text, word = in_a_line(outcome.output, SHOWN), kind.capitalize()
    if outcome.errored:
        return "Unhealthy", f"{word} probe errored and resulted in unknown state: {text}"
    if outcome.warning:
        return "ProbeWarning", f"{word} probe warning: {text}"
    return None if outcome.passed else ("Unhealthy", f"{word} probe failed: {text}")
