"""A process that has a store open and does to it what it is told: for tests that tell several at once, and kill some.

Requests and answers are pickles on standard input and output; an answer is a value, or one of our own errors.
"""

from __future__ import annotations

import pickle
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

from reconciler.engine.store import addresses, events, names, settings
from reconciler.engine.store import pods as index
from reconciler.engine.store.addresses import Lease, Pool
from reconciler.engine.store.tx import Store
from reconciler.model.clock import SystemClock
from reconciler.model.errors import ReconcilerError
from reconciler.model.events import EventType
from reconciler.model.key import ContainerId, Key, PodId
from reconciler.model.spec import PortBinding
from tests.slowness import seconds

POOL = Pool("default", IPv4Network("10.9.0.0/28"), IPv6Network("fd00:9::/64"))


def key(name: str) -> Key:
    return Key("default", name)


def lease(store: Store, name: str) -> Lease:
    return addresses.lease(store, key(name), POOL)


def release(store: Store, name: str) -> None:
    addresses.release(store, key(name))


def add_pod(store: Store, name: str, port: int) -> None:
    index.add_pod(store, PodId(f"pod-{name}"), key(name), (PortBinding(port, 80),))


def publish(store: Store, name: str, port: int) -> None:
    index.publish(store, PodId(f"pod-{name}"), (PortBinding(port, 80),))


def release_ports(store: Store, name: str) -> None:
    index.release_ports(store, PodId(f"pod-{name}"))


def remove_pod(store: Store, name: str) -> None:
    index.remove_pod(store, PodId(f"pod-{name}"))


def add_container(store: Store, name: str, attempt: int) -> None:
    index.add_container(store, ContainerId(f"{name}-{attempt}"), PodId(f"pod-{name}"), "one", attempt)


def emit(store: Store, name: str, text: str) -> None:
    events.emit(store, SystemClock(), f"default/{name}", EventType.NORMAL, "Said", text)


def put(store: Store, name: str, value: str) -> None:
    settings.put(store, name, value)


def seen(store: Store) -> dict[str, Any]:
    """All of it, in one answer."""
    return {
        "leases": {k.name: one for k, one in addresses.leases(store).items()},
        "addresses": [str(row[0]) for row in store.read("SELECT address FROM leases")],
        "pods": {row.key.name: (tuple(p.host_port for p in row.ports), row.published) for row in index.all_pods(store)},
        "containers": {str(c): str(p) for c, p in index.all_containers(store).items()},
        "names": [(one.key.name, tuple(m.attempt for m in one.members)) for one in names.names(store)],
        "events": [(one.about, one.message, one.count, one.seq) for one in events.read(store)],
        "settings": {name: settings.get(store, name) for name in ("a", "b")},
        "integrity": store.read("PRAGMA integrity_check"),
    }


class StoreProcess:
    """The other end. ``tell`` returns at once, ``answer`` waits; ``kill`` ends it wherever it is."""

    def __init__(self, path: Path) -> None:
        command = [sys.executable, "-m", "tests.unit.engine.store_process", str(path)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def tell(self, what: Callable[..., Any], *arguments: object) -> None:
        assert self.process.stdin is not None
        pickle.dump((what, arguments), self.process.stdin)
        self.process.stdin.flush()

    def answer(self) -> Any:
        """What came of it. Raises what was raised there, if it is one of our errors."""
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], seconds(60))[0], "it does not answer"
        said = pickle.load(self.process.stdout)
        if isinstance(said, ReconcilerError):
            raise said
        return said

    def ask(self, what: Callable[..., Any], *arguments: object) -> Any:
        self.tell(what, *arguments)
        return self.answer()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


def _serve(store: Store) -> Iterator[Any]:
    while True:
        try:
            what, arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            yield what(store, *arguments)
        except ReconcilerError as error:
            yield error


def main() -> None:
    for answer in _serve(Store(Path(sys.argv[1]))):
        pickle.dump(answer, sys.stdout.buffer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
