"""What the last sync of a pod ran into, kept for those who only look: `get pods` and `status` are other processes
than the controller, and cannot see from the host that a pull or a creation failed there.

A file for each key in trouble; a sync without trouble removes it. Whoever syncs writes, so the last word counts; a
reader may meet a word that is a sync old, and uses it only where it sees nothing itself.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from reconciler.model.actions import Waiting, Why
from reconciler.model.key import Key
from reconciler.model.status import PodStatus
from reconciler.plan.pod_status import BEGINNING, Troubles, with_troubles

_NO_TROUBLE = frozenset({"CrashLoopBackOff", *BEGINNING})
"""The first everybody sees from the exits; the others end by themselves."""


def troubles_in(status: PodStatus, waiting: Iterable[Waiting] = ()) -> Troubles:
    """Why its containers wait, as far as only the one who tried can know; also where an older version of one runs
    meanwhile, as an image of the new one cannot be pulled."""
    unpulled = {w.container: (w.reason.why.value, w.reason.text) for w in waiting if w.reason.why is Why.PULL_FAILED}
    return unpulled | {
        c.name: (c.reason, c.message)
        for c in status.everyone
        if c.state == "waiting" and c.message and c.reason not in _NO_TROUBLE
    }


def save(directory: Path, key: Key, troubles: Troubles) -> None:
    """Keep ``troubles`` as those of ``key``. A full or broken disk is somebody else's complaint."""
    if not troubles and not os.access(f"{directory}/{_name(key)}", os.F_OK):
        return  # as nearly always
    path = _path(directory, key)
    with suppress(OSError):
        if not troubles:
            path.unlink(missing_ok=True)
        elif load(directory, key) != troubles:
            directory.mkdir(mode=0o700, exist_ok=True)
            beside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
            beside.write_text(json.dumps(troubles))
            beside.replace(path)


def load(directory: Path, key: Key) -> Troubles:
    """What was kept for ``key``; nothing where that cannot be read."""
    try:
        told = json.loads(_path(directory, key).read_text())
        return {str(name): (str(word), str(message)) for name, (word, message) in told.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def left_word(status: PodStatus, directory: Path, key: Key, waiting: Iterable[Waiting] = ()) -> list[str]:
    """What the last sync of ``key`` ran into, in sentences, where ``status`` and what is waited for know nothing
    newer."""
    troubles = load(directory, key)
    if with_troubles(status, troubles) == status:
        pulled = {w.container for w in waiting if w.reason.why is Why.PULLING}
        troubles = {name: said for name, said in troubles.items() if name in pulled and said[0] == Why.PULL_FAILED}
    return [f"container {name}: {message}" for name, (_, message) in troubles.items()]


def _path(directory: Path, key: Key) -> Path:
    return directory / _name(key)


def _name(key: Key) -> str:
    return f"{key.kind}.{key.namespace}.{key.name}.json"
