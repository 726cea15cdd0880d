"""``system stop`` and ``system reset``: the end of all containers, or of all there is, in order.

One process at a time: it is the controller meanwhile.

Whoever is killed here begins again; what has been removed stays removed, and nothing comes back by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from reconciler.controller import converge
from reconciler.controller.lock import claim, holder
from reconciler.controller.sync import OnStep
from reconciler.engine.engine import Engine
from reconciler.engine.layout import STATE
from reconciler.linux.units import active_state
from reconciler.model.errors import Busy, ReconcilerError
from reconciler.model.key import Key

SERVICE = "reconciler.service"
TRIES = 7
"""How often in a row a pod's removal may fail, which takes half a minute, until it is erased with the rest."""


def refuse_while_watched(engine: Engine, verb: str = "reset") -> None:
    """Raise Busy where a controller is live: it would bring back at once what is taken away."""
    live = holder(engine.layout.controller_lock)
    if live is not None:
        raise Busy(
            f"cannot {verb}: controller (pid {live.pid}) watches {', '.join(live.directories) or 'a folder'}",
            hint=f"stop it first: systemctl stop reconciler, or kill {live.pid}",
        )


def refuse_reset(engine: Engine) -> None:
    """Raise Busy where a controller is live, or where systemd is about to start the machine's one again: between two
    attempts nobody holds its lock, and the third would bring everything back."""
    refuse_while_watched(engine)
    if engine.layout.state == STATE and (state := active_state(SERVICE)) in ("active", "activating", "reloading"):
        raise Busy(
            f"cannot reset: systemd keeps the controller running ({SERVICE} is {state})",
            hint="stop it first: systemctl stop reconciler",
        )


def stop(engine: Engine, *, timeout: float | None = None, on_stop: Callable[[Key, str], None] | None = None) -> int:
    """Be the controller, and end every container; how many there were.

    Raises Busy, TryLater.
    """
    refuse_while_watched(engine, "stop everything")
    with claim(engine.layout.controller_lock, [], []):
        engine.layout.halted.touch()
        return engine.halt(timeout, on_stop)


def reset(engine: Engine, *, timeout: float | None = None, on_progress: OnStep | None = None) -> None:
    """1. Be the controller. 2. Stop and remove every pod, with its grace, for at most ``timeout`` s. 3. Erase the rest.

    Raises Busy, TryLater.
    """
    refuse_reset(engine)
    with claim(engine.layout.controller_lock, [], []):
        with suppress(ReconcilerError):  # a broken index or record: what it would have told is erased by its name
            converge.down_all(engine, layout=engine.layout, timeout=timeout, on_progress=on_progress, tries=TRIES)
        engine.erase()
