"""What commands import, which is most of what they cost: each only what it needs, so that it begins at once.

Every module costs 0.1 to 4 ms, the machinery of networks, images and firewalls 60 together: `exec` would take twice as
long with it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

OPENED = """
import sys
from pathlib import Path
import reconciler.cli.app
from reconciler.engine.context import Settings
from reconciler.engine.engine import Engine
from reconciler.model.key import ContainerId, Key, PodId, SourceId
engine = Engine.open(Settings(Path(sys.argv[1])))
"""

EXEC = """
import reconciler.cli.exec
from reconciler.engine import runtime
runtime.find = lambda name: Path("/bin/true")
engine.names()
engine.runs(ContainerId("c" * 64))
engine.exec(ContainerId("c" * 64), ["true"])
"""

RECORDED = """
from reconciler.engine import records
from reconciler.engine.store import pods as index
from reconciler.model.spec import PodSpec
key, pod, container = Key("default", "web"), PodId("a" * 64), ContainerId("c" * 64)
record = records.PodRecord(pod, "u", key, PodSpec(key), SourceId("x"), "", 1.0)
index.add_pod(engine.context.store, pod, key, ())
engine.layout.pod(pod).mkdir()
records.write(engine.layout.pod(pod), records.RECORD, record)
engine.layout.container(container).mkdir()
(engine.layout.container(container) / "config.json").write_text('{"process": {}}')
(engine.layout.runtime_state("crun") / container).mkdir(parents=True)
"""

LOOK = """
import reconciler.cli.attach, reconciler.cli.logs, reconciler.cli.ps
from reconciler.cli.resolve import observed
assert [pod.key for pod in observed(engine)] == [key]
"""

KILL = """
import reconciler.cli.life, reconciler.cli.podlife, reconciler.engine.signals
from reconciler.cli.resolve import find_pod
find_pod(engine, "web")
"""

STOP = """
import reconciler.cli.life
from reconciler.controller import by_hand, making, wishes
by_hand.settle(by_hand.Bench(engine, engine.layout), Key("default", "nobody"))
with engine.lock(key):
    pass
"""

TELL = "print(*sys.modules)"

MACHINERY = {
    *("containers", "sandboxes", "members", "perform", "outlook", "preflight", "podfiles", "portfacts", "security"),
    *("nameserver", "netrecords", "networks", "firewalls", "upkeep", "check", "info", "reset", "halt", "reindex"),
    *("cgroups", "podgroups", "choice", "monitors", "volumes", "users", "config", "images", "network", "oci", "dns"),
}
STRANGERS = {
    *("asyncio", "concurrent", "ctypes", "hashlib", "http", "jsonschema", "logging", "pyroute2", "secrets", "ssl"),
    *("structlog", "tempfile", "tomllib", "yaml", "zipfile"),
}
MODELS = {
    *("reconciler.model.spec", "reconciler.model.observed", "reconciler.model.actions", "reconciler.model.objects"),
    "msgspec",
}


def imported(script: str, root: Path) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", OPENED + script + TELL, str(root)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(done.stdout.split())


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An instance with a pod on record."""
    root = tmp_path_factory.mktemp("root")
    imported(RECORDED, root)
    return root


HEAVY = {f"reconciler.engine.{name}" for name in MACHINERY} | STRANGERS
MAKERS = {
    f"reconciler.engine.{name}"
    for name in ("containers", "sandboxes", "members", "renew", "firewalls", "upkeep", "monitors", "images.unpack")
}
KEY = 'key = Key("default", "web")\n'


@pytest.mark.parametrize(
    ("script", "unwanted"),
    [
        pytest.param("", HEAVY | MODELS | {"subprocess", "json"}, id="opening an instance"),
        pytest.param(EXEC, HEAVY | MODELS, id="exec: not even what pods are made of"),
        pytest.param(KEY + LOOK, HEAVY | {"reconciler.model.actions"}, id="ps, logs, attach"),
        pytest.param(KILL, HEAVY | {"reconciler.model.actions", "reconciler.controller.by_hand"}, id="kill"),
        pytest.param(KEY + STOP, MAKERS | {"reconciler.kube", "concurrent", "logging"}, id="stop, and looks before it"),
    ],
)
def test_a_command_imports_no_more_than_it_needs(script: str, unwanted: set[str], root: Path) -> None:
    assert imported(script, root) & unwanted == set()
