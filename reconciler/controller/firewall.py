"""The host's network as others change it: one thread that hears of it from the kernel, and has it looked at.

Two questions are asked of the engine, never answered here: what of ours was damaged (at once: a flushed table is
declared again before a client gives up), and what others' firewalls now do with pods' traffic (when they are through:
a daemon's start is dozens of transactions). Nothing polls: where nobody changes anything the thread never wakes.

Not everything wakes the question. Our own changes come from this process's netlink port, other tables cannot damage
ours, and a link is judged by what was said of it last: a pod in the making is off its bridge for a moment. Somebody who
flushes in a loop is mended ``BURST`` times in ``WINDOW`` seconds, and not heard in between: their messages stay unread.
"""

from __future__ import annotations

import os
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress

from reconciler.controller.core import retry_delay
from reconciler.controller.health import Health
from reconciler.controller.log import Log, Silent
from reconciler.engine.network import names
from reconciler.engine.network.foreign.ruleset import OURS
from reconciler.linux.netlink_events import ALL, Notice, Notices, What
from reconciler.model.clock import Clock
from reconciler.model.errors import ReconcilerError
from reconciler.model.interfaces import PodEngine
from reconciler.model.observed import Instant

GATHER = 0.01
"""Seconds from the first word until it is heard: what is told together is read, and mended, together."""

LATER = 1.0
"""Seconds until a pod's link that went is missed (nearly always its pod went, too), and until it is asked whether what
is published newly can be reached."""

QUIET = 0.3
APART = 2.0
"""Seconds from a change of others' rules until they are read, and at least between two readings."""

BURST, WINDOW = 5, 5.0
"""So many repairs in so many seconds; then the next one waits."""

_NEVER = float("inf")


class FirewallWatcher:
    """Watches the network namespace of the thread that makes it. ``tag``: how names of ours are known."""

    def __init__(
        self, tag: str, engine: PodEngine, clock: Clock, log: Log | None = None, health: Health | None = None
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._log = log or Silent()
        self._health = health or Health()
        self._judge = Judge(tag, os.getpid(), _link_name)
        self._limit = Limit()
        self._notices = Notices()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._asked = False
        self._stopped = False
        self._mend_at = self._review_at = _NEVER
        self._reviewed = -_NEVER
        self._troubles: dict[str, str] = {}
        self._failures = 0
        self._thread = threading.Thread(target=self._run, name="firewall", daemon=True)

    def start(self) -> None:
        """What happens from the making on is heard; everything is looked at once."""
        self.look()
        self._thread.start()
        self._health.must_live(self._thread)

    def stop(self) -> None:
        self._stopped = True
        os.eventfd_write(self._wake, 1)
        if self._thread.is_alive():
            self._thread.join()
        self._notices.close()
        os.close(self._wake)

    def look(self) -> None:
        """Have everything looked at now, although nothing was heard. From any thread."""
        self._asked = True
        with suppress(OSError):  # it has just been stopped
            os.eventfd_write(self._wake, 1)

    # --- the thread --------------------------------------------------------------------------------------------

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake, selectors.EVENT_READ)
            sockets = self._notices.filenos()
            listening = False
            while not self._stopped:
                if listening != (listen := not self._deaf()):
                    for one in sockets:
                        _ = selector.register(one, selectors.EVENT_READ) if listen else selector.unregister(one)
                    listening = listen
                due = min(self._mend_at, self._review_at)
                if selector.select(None if due == _NEVER else max(0.0, due - self._clock.now())):
                    time.sleep(GATHER)
                if self._stopped:
                    return
                try:
                    self._turn()
                except Exception:  # whatever it is, the network must go on being watched
                    self._mend_at = self._review_at = _NEVER
                    self._log.error("firewall watch failed unexpectedly", exc_info=True)

    def _deaf(self) -> bool:
        """Damage is known and its repair due: what else is told until then changes nothing."""
        return self._mend_at != _NEVER and self._mend_at <= self._limit.free_at()

    def _turn(self) -> None:
        with suppress(BlockingIOError):
            os.eventfd_read(self._wake)
        now = self._clock.now()
        self._heard(self._notices.read(), now)
        if self._asked:
            self._asked = False
            self._mend_at, self._review_at = now, min(self._review_at, now)
        if now >= max(self._mend_at, self._limit.free_at()):
            self._mend()
        elif now >= self._mend_at:
            self._mend_at = self._limit.free_at()
        if now >= self._review_at:
            self._review()

    def _heard(self, notices: list[Notice], now: Instant) -> None:
        heard = self._judge.hear(notices)
        if heard.damage:
            self._mend_at = min(self._mend_at, now)
        if heard.gone:
            self._mend_at = min(self._mend_at, now + LATER)
        if heard.foreign:
            self._review_at = min(self._review_at, max(now + QUIET, self._reviewed + APART))
        if heard.ours:
            self._review_at = min(self._review_at, max(now + LATER, self._reviewed + APART))

    def _mend(self) -> None:
        self._mend_at = _NEVER
        mended = self._ask("mend the network", lambda: self._engine.mend_network(self._judge.culprit()))
        if mended is None:
            self._failures += 1
            self._mend_at = self._clock.now() + retry_delay(self._failures)
            return
        self._failures = 0
        for sentence in mended:
            self._log.warning("network mended", what=sentence)
        if mended and self._limit.count(self._clock.now()):
            self._log.warning("network damaged again and again", repairs=f"at most {BURST} in {WINDOW:.0f} s")

    def _review(self) -> None:
        self._review_at = _NEVER
        self._reviewed = self._clock.now()
        for sentence in self._ask("look at the firewalls", self._engine.review_firewalls) or ():
            self._log.warning("firewall", what=sentence)

    def _ask(self, doing: str, question: Callable[[], tuple[str, ...]]) -> tuple[str, ...] | None:
        """None where it cannot be answered, which is told once."""
        try:
            with self._health.at(doing):
                answer = question()
        except ReconcilerError as error:
            if self._troubles.get(doing) != error.message:
                self._log.warning(f"cannot {doing}", cause=error.message)
            self._troubles[doing] = error.message
            return None
        self._troubles.pop(doing, None)
        return answer


def _link_name(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except (OSError, OverflowError):
        return ""


class Heard:
    """What a batch of notices gives reason for: ``damage`` to look at once, ``gone`` (or come) to look a little later,
    ``foreign`` to read others' rules, ``ours`` (another port is published) to read them a little later."""

    def __init__(self) -> None:
        self.damage = self.gone = self.foreign = self.ours = False


class Judge:
    """Which of the kernel's words are about us; remembers each link's last state, and who changed our table."""

    def __init__(self, tag: str, port: int, name_of: Callable[[int], str]) -> None:
        self._bridge, self._link, self._table = names.bridge_name(tag), names.link_prefix(tag), names.table_name(tag)
        self._port = port
        self._name_of = name_of
        self._bridges: set[int] = set()
        self._culprit = ""

    def culprit(self) -> str:
        """The program that changed our table since this was last asked."""
        self._culprit, said = "", self._culprit
        return said

    def hear(self, notices: Iterable[Notice]) -> Heard:
        heard = Heard()
        last: dict[int, Notice] = {}
        ours = False
        for one in notices:
            match one.what:
                case What.LOST:
                    heard.damage = heard.foreign = True
                case What.TABLE if one.name.startswith(self._table):
                    ours = ours or one.port != self._port
                    heard.damage = heard.damage or one.port != self._port
                    heard.ours = True
                case What.TABLE if not one.name.startswith(OURS):  # another instance's drops nothing of ours
                    heard.foreign = True
                case What.COMMIT:
                    self._culprit, ours = (one.name, False) if ours else (self._culprit, False)
                case What.LINK if one.name.startswith((self._bridge, self._link)):
                    last[one.index] = one
                case What.NO_LINK if one.name.startswith(self._bridge):
                    self._bridges.discard(one.index)
                    heard.damage = True
                case What.NO_LINK if one.name.startswith(self._link):
                    last.pop(one.index, None)
                    heard.gone = True
                case What.NO_ADDRESS if self._is_bridge(one.index):
                    heard.damage = True
                case What.FORWARDING if not one.on and (one.index == ALL or self._is_bridge(one.index)):
                    heard.damage = True
                case What.FORWARDING if one.index != ALL and not self._is_ours(one.index):
                    heard.gone = True  # another's interface is new, or is to forward from now on
        for index, link in last.items():
            self._last_word(index, link, heard)
        return heard

    def _is_bridge(self, index: int) -> bool:
        return index in self._bridges or self._name_of(index).startswith(self._bridge)

    def _is_ours(self, index: int) -> bool:
        return self._is_bridge(index) or self._name_of(index).startswith(self._link)

    def _last_word(self, index: int, link: Notice, heard: Heard) -> None:
        if not link.name.startswith(self._bridge):
            heard.damage = heard.damage or not link.master
            return
        if index not in self._bridges:
            self._bridges.add(index)
            heard.foreign = True  # a new bridge: others' rules concern it now
        heard.damage = heard.damage or not link.on


class Limit:
    """So many repairs at once, then fewer."""

    def __init__(self, burst: int = BURST, window: float = WINDOW) -> None:
        self._times: deque[Instant] = deque(maxlen=burst)
        self._window = window

    def free_at(self) -> Instant:
        """When the next one may be."""
        full = len(self._times) == self._times.maxlen
        return self._times[0] + self._window if full else -_NEVER

    def count(self, now: Instant) -> bool:
        """Note one; True where the limit is reached by it."""
        was = self.free_at() > now
        self._times.append(now)
        return self.free_at() > now and not was
