"""Many `run -d` at the same time, each a process of its own with its container on the default network: how long until
the last is made, whether each has an address of its own, and how long `ps` takes on all of them.

`ps` is measured inside its interpreter, imports and all, and a bare interpreter's start beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench.marks import IMAGE
from tests.bench.place import end_instance
from tests.host import many
from tests.host.instance import Instance

CHECKOUT = Path(__file__).resolve().parents[2]
PATIENCE = 600.0
"""Seconds for all of them."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench many", description="Many `run -d` at the same time.")
    parser.add_argument("--count", type=int, default=200, help="how many (default 200)")
    parser.add_argument("--runtime", default="crun", choices=["crun", "runc"])
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers there")
    options = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="reconciler-bench", dir="/tmp"))
    work.chmod(0o711)
    try:
        result = measure(work, options.runtime, options.count)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    print(
        "{count} at once: the last was made after {run:.1f} s, and removed after {rm:.1f} s; `ps` takes {ps:.3f} s"
        " (a bare interpreter: {interpreter:.3f}); {cpus} CPUs, load {load}".format(**result)
    )
    print("\n".join(result["faults"]) or "none failed, none is doubled")
    return 1 if result["faults"] else 0


def measure(work: Path, runtime: str, count: int) -> dict[str, Any]:
    archive = work / "busybox.tar"
    subprocess.run([sys.executable, CHECKOUT / "scripts/example-image", archive], check=True, stdout=subprocess.DEVNULL)
    instance = Instance(work / "root", "--runtime", runtime)
    instance.ok("image", "load", "--input", archive)
    instance.ok("run", "--rm", IMAGE, "true")  # the first chooses the runtime and makes the bridge
    load = round(os.getloadavg()[0], 1)
    try:
        ran, took = many.run_at_once(instance, IMAGE, count, PATIENCE)
        result = {
            "count": count,
            "run": took,
            "faults": many.faults(instance, ran),
            "ps": many.time_of(instance, "ps"),
            "interpreter": many.time_of_interpreter(),
            "cpus": os.cpu_count(),
            "load": load,
        }
        began = time.monotonic()
        instance.ok("rm", "-f", "-t", 0, "--all", timeout=PATIENCE)
        return {**result, "rm": time.monotonic() - began}
    finally:
        end_instance(instance)


if __name__ == "__main__":
    sys.exit(main())
