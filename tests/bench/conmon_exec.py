"""How long `exec` takes beyond the bare runtime's: the whole command, from its start to its end.

One pod of our own; the same process in the same container by `reconciler exec` and by the runtime's `exec` alone, in
turn. (The C conmon has no part in it: like ours, it is asked only where an exec has a log or is attached to.)
"""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from reconciler.engine import runtime
from reconciler.engine.execute import exec_process
from tests.bench.place import end_instance
from tests.host.conftest import make_image
from tests.host.instance import Instance

IMAGE = "localhost/reconciler/busybox:1"
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "bench"},
    "spec": {"containers": [{"name": "app", "image": IMAGE, "command": ["sleep", "1000000"]}]},
}


def measure(runs: int) -> dict[str, list[float]]:
    """ms of each exec: of the bare runtime, and ours beyond the median of it."""
    with tempfile.TemporaryDirectory(prefix="bench-exec-", dir="/dev/shm") as directory:
        work = Path(directory)
        instance = Instance(work / "root", "--runtime", "crun")
        try:
            instance.ok("image", "load", "--input", make_image(work / "busybox.tar"))
            (work / "pod.json").write_text(json.dumps(POD))
            instance.ok("apply", "--wait", work / "pod.json")
            commands = {"bare": _bare(instance, work), "reconciler": instance.command("exec", "bench", "--", "true")}
            times: dict[str, list[float]] = {name: [] for name in commands}
            for number in range(runs + 2):
                for name, command in commands.items():
                    begun = time.monotonic()
                    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
                    if number >= 2:  # the first ones find cold caches
                        times[name].append(round((time.monotonic() - begun) * 1000, 2))
        finally:
            end_instance(instance)
    bare = statistics.median(times["bare"])
    return {"bare": times["bare"], "reconciler": [round(taken - bare, 2) for taken in times["reconciler"]]}


def _bare(instance: Instance, work: Path) -> list[str]:
    layout, app = instance.engine.layout, instance.containers("bench")["app"].id
    own = json.loads((layout.container(app) / "config.json").read_text())["process"]
    (work / "process.json").write_text(json.dumps(exec_process(own, ["true"], {})))
    maker = runtime.maker_of(app, layout)
    assert maker is not None
    return maker.exec_argv(app, work / "process.json")
