"""An image from a registry on loopback to layers that a container can start from: by reconciler, and by podman.

The image is made here, always the same: some 40,000 files in 220 MB, as distributions and applications have them (many
small texts and a few large binaries, in deep directories; links, whiteouts, replaced files), in gzip and zstd layers.
``pull`` is measured from the start of the command to its end, into an empty store each time. Ours has the image on
the disk by then (syncfs), podman's store is written back when the kernel likes; ``pull+sync`` counts that, too.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reconciler.linux.syscalls import KERNEL, MountFlag
from tests.host import imagelab as lab
from tests.host.imagelab import Entry, folder, hard, link

ROWS = ("pull", "pull+sync")


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench unpack", description="Pull and unpack, beside podman.")
    parser.add_argument("--runs", type=int, default=5, help="runs of each (default 5); medians are shown")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every single number there")
    options = parser.parse_args()
    KERNEL.mount("", "/", "", MountFlag.REC | MountFlag.PRIVATE)
    work = Path(tempfile.mkdtemp(prefix="reconciler-bench", dir="/tmp"))
    try:
        with lab.registry(work / "registry") as registry:
            os.environ["CONTAINERS_REGISTRIES_CONF"] = str(work / "registry/registries.conf")
            reference = push(work, registry)
            numbers = measure(work, reference, options.runs)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    result = {**facts(options.runs), "numbers": numbers}
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    show(numbers, options.runs)
    return 0


def push(work: Path, registry: lab.Registry) -> str:
    layout = lab.oci_layout(work / "oci", *layers())
    reference = f"{registry.address}/bench/image:1"
    argv = ["skopeo", "copy", "--quiet", "--dest-tls-verify=false", f"oci:{layout}", f"docker://{reference}"]
    subprocess.run(argv, check=True, timeout=300)
    shutil.rmtree(layout)
    return reference


def layers() -> tuple[list[bytes], list[str]]:
    """The plain layers, and how each is packed."""
    dice = random.Random(7)
    words = [bytes(dice.choices(b"etaoinshrdlucmfwyp", k=dice.randint(2, 9))) for _ in range(4000)]

    def text(size: int) -> bytes:
        return b" ".join(dice.choices(words, k=size // 6 + 1))[:size]

    def binary(size: int) -> bytes:
        return b"".join((dice.randbytes(2048), bytes(1024), text(1024)) * (size // 4096))

    def files(top: str, count: int, mean: int) -> Iterator[Entry]:
        places = {f"{top}/{n // 400:02d}/{n % 400 // 20:02d}" for n in range(count)}
        yield from map(folder, sorted(places | {place.rpartition("/")[0] for place in places}))
        for n in range(count):
            name = f"{top}/{n // 400:02d}/{n % 400 // 20:02d}/file-{n:05d}.txt"
            yield Entry(name, text(int(dice.expovariate(1 / mean))), mode=0o644 if n % 9 else 0o755)
            if n % 50 == 0:
                yield link(f"{name}.link", f"file-{n:05d}.txt")
            if n % 100 == 0:
                yield hard(f"{name}.same", name)

    base = lab.layer(*files("usr/share", 18_000, 3000), *(Entry(f"usr/lib{n}.so", binary(1 << 20)) for n in range(40)))
    application = lab.layer(*files("app/modules", 20_000, 1500))
    large = lab.layer(*(Entry(f"opt/model{n}.bin", binary(12 << 20)) for n in range(5)))
    change = lab.layer(*files("usr/share", 2_000, 3000), *(Entry(f"app/modules/0{n}/.wh.{n:02d}") for n in range(10)))
    return [base, application, large, change], ["gzip", "gzip", "zstd", "zstd"]


@contextmanager
def stop_watch(times: dict[str, list[float]], place: Path) -> Iterator[None]:
    os.sync()
    begun = time.monotonic()
    yield
    times["pull"].append(round(time.monotonic() - begun, 3))
    subprocess.run(["sync", "--file-system", place], check=True)
    times["pull+sync"].append(round(time.monotonic() - begun, 3))


def measure(work: Path, reference: str, runs: int) -> dict[str, dict[str, list[float]]]:
    numbers: dict[str, dict[str, list[float]]] = {n: {row: [] for row in ROWS} for n in ("reconciler", "podman")}
    for run in range(1, runs + 1):
        ours, theirs, runroot = work / "ours", work / "theirs", work / "r"
        pull = [sys.executable, "-m", "reconciler", "--root", ours, "image", "pull", "-q", reference]
        podman = ["podman", "--root", theirs, "--runroot", runroot, "--storage-driver", "overlay", "pull", "-q"]
        for name, place, argv in (("reconciler", ours, pull), ("podman", theirs, [*podman, reference])):
            with stop_watch(numbers[name], work):
                subprocess.run(argv, check=True, timeout=600, stdout=subprocess.DEVNULL)
            subprocess.run(["umount", "--quiet", theirs / "overlay"], check=False, stderr=subprocess.DEVNULL)
            shutil.rmtree(place)
        told = ", ".join(f"{name} {of['pull'][-1]:.1f} s" for name, of in numbers.items())
        print(f"run {run} of {runs}: {told}", file=sys.stderr)
    return numbers


def facts(runs: int) -> dict[str, object]:
    versions = {name: subprocess.check_output([name, "--version"], text=True).strip() for name in ("podman", "skopeo")}
    return {"runs": runs, **versions, "kernel": platform.release(), "cpus": os.cpu_count(), "load": os.getloadavg()[0]}


def show(numbers: dict[str, dict[str, list[float]]], runs: int) -> None:
    print(f"Pull and unpack into an empty store, medians of {runs} runs, seconds")
    print(f"{'':12}{'reconciler':>12}{'podman':>10}{'ratio':>8}")
    for row in ROWS:
        mine, podmans = (statistics.median(numbers[name][row]) for name in ("reconciler", "podman"))
        print(f"{row:12}{mine:12.2f}{podmans:10.2f}{mine / podmans:8.2f}")


if __name__ == "__main__":
    sys.exit(main())
