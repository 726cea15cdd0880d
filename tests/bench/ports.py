"""TCP through a published port: from another machine (a network namespace behind a veth) and from the host itself, to a
pod of ours and to one of podman's with netavark, in turn in the same run; gigabits a second, medians. ``ratio`` is the
median of the runs' ratios: what else the machine does meanwhile slows both of a run.

Each pod's process only sleeps: the sink is started in its network namespace. ``direct`` is the same stream to a
namespace behind a veth with nothing in between: the limit.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.bench.marks import IMAGE
from tests.bench.place import Place, end_instance, remove_cgroups
from tests.host.instance import Instance
from tests.host.netlab import HOST_IP, HOST_IP6, OUTSIDE_IP, Lab

CHECKOUT = Path(__file__).resolve().parents[2]
INSIDE, OURS, PODMANS = 5201, 15201, 15202
CONTAINERS_CONF = """\
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
events_logger = "file"
[network]
network_backend = "netavark"
network_config_dir = "{networks}"
"""

Numbers = dict[str, dict[str, list[float]]]


class Sink:
    """In the network namespace of a process."""

    def __init__(self, pid: int) -> None:
        command = ["nsenter", f"--net=/proc/{pid}/ns/net", *_stream("sink", INSIDE)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT)
        assert self._process.stdout
        if self._process.stdout.readline() != "listening\n":
            raise RuntimeError("the sink does not start")

    def rate(self) -> float:
        """Gigabits a second of the next stream."""
        assert self._process.stdout
        return int(self._process.stdout.readline()) * 8 / 1e9

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()


def _stream(*words: object) -> list[str]:
    return [sys.executable, "-m", "tests.bench.stream", *map(str, words)]


def measure_one(sink: Sink, sender: int, ip: str, port: int, seconds: float) -> float:
    """``sender``: a process in the network namespace that the stream comes from, or 0 for the host."""
    enter = ["nsenter", f"--net=/proc/{sender}/ns/net"] if sender else []
    subprocess.run([*enter, *_stream("send", ip, port, seconds)], check=True, timeout=60, cwd=CHECKOUT)
    return sink.rate()


def ours(work: Path, archive: Path, stack: ExitStack) -> int:
    """A pod that publishes OURS; the pid of its infra process."""
    instance = Instance(work / "root")
    stack.callback(end_instance, instance)
    instance.ok("image", "load", "--input", archive)
    manifest = work / "pod.json"
    ports = [{"containerPort": INSIDE, "hostPort": OURS}]
    container = {"name": "a", "image": IMAGE, "command": ["sleep", "1000"], "ports": ports}
    manifest.write_text(
        json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [container]}})
    )
    instance.ok("apply", "--wait", manifest)
    return instance.running("a")["infra"].pid


def podmans(work: Path, archive: Path, stack: ExitStack) -> int:
    """A container that publishes PODMANS; the pid of its process."""
    (work / "networks").mkdir(parents=True)
    (work / "containers.conf").write_text(CONTAINERS_CONF.format(networks=work / "networks"))
    environment = {**os.environ, "CONTAINERS_CONF": str(work / "containers.conf")}
    place = Place()
    stack.callback(place.end)
    podman = ["podman", "--root", str(work / "root"), "--runroot", str(work / "runroot"), "--tmpdir", str(work / "tmp")]
    podman += ["--runtime", "runc", "--cgroup-manager", "cgroupfs"]

    def run(*words: str) -> str:
        return place.run(*podman, *words, environment=environment)

    run("load", "--quiet", "--input", str(archive))
    backend = run("info", "--format", "{{.Host.NetworkBackend}}").strip()
    if backend != "netavark":
        raise RuntimeError(f"podman uses {backend}, not netavark")
    run("run", "--detach", "--name", "bench", "--publish", f"{PODMANS}:{INSIDE}", IMAGE, "sleep", "1000")
    stack.callback(lambda: remove_cgroups("libpod_parent"))
    stack.callback(lambda: run("rm", "--force", "--time", "0", "bench"))
    return int(run("inspect", "--format", "{{.State.Pid}}", "bench"))


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench ports", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each stream")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there, too")
    options = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="reconciler-bench-", dir="/tmp"))
    try:
        with ExitStack() as stack:
            numbers = measure(work, options.runs, options.seconds, stack)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    result: dict[str, Any] = {"what": "TCP through a published port, Gbit/s", "runs": options.runs, "numbers": numbers}
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    show(numbers, options.runs)
    return 0


def measure(work: Path, runs: int, seconds: float, stack: ExitStack) -> Numbers:
    archive = work / "busybox.tar"
    subprocess.run([sys.executable, CHECKOUT / "scripts/example-image", archive], check=True, stdout=subprocess.DEVNULL)
    outside = Lab(stack).outside()
    sinks = {
        "reconciler": Sink(ours(work / "ours", archive, stack)),
        "podman": Sink(podmans(work / "podmans", archive, stack)),
    }
    host = Sink(outside.ref.pid)
    for sink in (*sinks.values(), host):
        stack.callback(sink.end)
    far = outside.ref.pid
    ways = {
        "from outside": [("reconciler", far, HOST_IP, OURS), ("podman", far, HOST_IP, PODMANS)],
        "from outside, IPv6": [("reconciler", far, HOST_IP6, OURS)],
        "from the host, its address": [("reconciler", 0, HOST_IP, OURS), ("podman", 0, HOST_IP, PODMANS)],
        "from the host, 127.0.0.1": [("reconciler", 0, "127.0.0.1", OURS), ("podman", 0, "127.0.0.1", PODMANS)],
    }
    numbers: Numbers = {way: {name: [] for name, *_ in some} for way, some in ways.items()}
    numbers["direct"] = {"nobody": []}
    for run in range(runs):
        for way, some in ways.items():
            # who comes first changes with each run
            for name, sender, ip, port in some if run % 2 else some[::-1]:
                numbers[way][name].append(measure_one(sinks[name], sender, ip, port, seconds))
        numbers["direct"]["nobody"].append(measure_one(host, 0, OUTSIDE_IP, INSIDE, seconds))
        print(f"run {run + 1} of {runs}", file=sys.stderr)
    return numbers


def show(numbers: Numbers, runs: int) -> None:
    print(f"TCP through a published port, medians of {runs} runs, Gbit/s;", end=" ")
    print(f"Linux {platform.release()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")
    print(f"{'':28}{'reconciler':>12}{'podman':>10}{'ratio':>8}")
    for way, of in numbers.items():
        medians = {name: statistics.median(rates) for name, rates in of.items()}
        if "nobody" in medians:
            print(f"{way:28}{medians['nobody']:12.1f}")
            continue
        line = f"{way:28}{medians['reconciler']:12.1f}"
        if "podman" in of:
            ratio = statistics.median(a / b for a, b in zip(of["reconciler"], of["podman"], strict=True))
            line += f"{medians['podman']:10.1f}{ratio:8.2f}"
        print(line)


if __name__ == "__main__":
    sys.exit(main())
