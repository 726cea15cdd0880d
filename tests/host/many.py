"""Many containers run at once, by a command for each, as the host test and the benchmark do it."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from reconciler.engine.store import addresses as leases
from tests.host.instance import Instance

_TIMED = """
import sys, time
began = time.perf_counter()
from reconciler.cli.app import run
code = run(sys.argv[1:])
print(time.process_time(), time.perf_counter() - began, file=sys.stderr)
sys.exit(code)
"""
"""The command line in a process of its own, which says how many seconds it took, imports and all: the processor's, and
those that passed."""


@dataclass(frozen=True, slots=True)
class Ran:
    """One command, when it had ended."""

    code: int
    out: str
    err: str


def run_at_once(instance: Instance, image: str, count: int, patience: float) -> tuple[list[Ran], float]:
    """``count`` times `run -d`, all begun before the first is waited for; and the seconds until the last had ended.
    ``patience``: seconds for each."""
    lines = [instance.command("run", "-d", "--name", f"many-{n}", image, "sleep", "1000") for n in range(count)]
    began = time.monotonic()
    commands = [subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for line in lines]
    try:
        told = [command.communicate(timeout=patience) for command in commands]
    finally:
        for command in commands:
            command.kill()
            command.wait()
    took = time.monotonic() - began
    return [Ran(c.returncode, out, err) for c, (out, err) in zip(commands, told, strict=True)], took


def faults(instance: Instance, ran: list[Ran]) -> list[str]:
    """What is not as it should be after ``run_at_once``: errors, containers and addresses that are missing or
    doubled."""
    found = [f"many-{n}: exit code {one.code}, {one.err}" for n, one in enumerate(ran) if one.code or one.err]
    ids, listed = [one.out.strip() for one in ran], instance.ok("ps", "-q", "--no-trunc").split()
    if sorted(ids) != sorted(listed):
        found.append(f"{len(ids)} were made, {len(listed)} are listed: {sorted({*ids} ^ {*listed})}")
    running = {f"many-{n}": instance.running(f"many-{n}") for n in range(len(ran))}
    found += [f"{name}: {sorted(one)} run" for name, one in running.items() if set(one) != {"infra", name}]
    inside = [ip for one in running.values() if "infra" in one for ip in addresses(one["infra"].pid)]
    found += [f"{times} have the address {ip}" for ip, times in Counter(inside).items() if times > 1]
    leased = [lease.ip for lease in leases.leases(instance.engine.context.store).values()]
    if len(inside) != len(ran) or sorted(inside) != sorted(leased):
        found.append(
            f"of {len(ran)}, {len(inside)} have addresses and {len(leased)} leases: {sorted({*inside} ^ {*leased})}"
        )
    return found + [f"{e.reason}: {e.message}" for e in instance.engine.events() if e.type == "Warning"]


def addresses(pid: int) -> list[str]:
    """The IPv4 addresses that the network namespace of a process has, as the kernel knows them, without loopback's."""
    local = re.findall(r"-- (\S+)\n\s+/32 host LOCAL", Path(f"/proc/{pid}/net/fib_trie").read_text())
    return sorted({address for address in local if not address.startswith("127.")})


def time_of(instance: Instance, *words: str, tries: int = 5) -> float:
    """Seconds that a command takes inside its interpreter, at best: what else is measured is who else was busy."""
    line = [sys.executable, "-c", _TIMED, "--root", str(instance.root), *words]
    said = [subprocess.run(line, capture_output=True, text=True, check=True, timeout=60).stderr for _ in range(tries)]
    return min(float(one.split()[-1]) for one in said)


def time_of_interpreter(tries: int = 5) -> float:
    """Seconds that a bare interpreter takes to start and end, at best."""
    took = []
    for _ in range(tries):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-I", "-S", "-c", ""], check=True, timeout=60)
        took.append(time.perf_counter() - began)
    return min(took)


def work_of(instance: Instance, *words: str, tries: int = 5) -> float:
    """Seconds of the processor that a command takes, interpreter and all, at best: how busy others are is no matter."""
    line = [sys.executable, "-c", _TIMED, "--root", str(instance.root), *words]
    said = [subprocess.run(line, capture_output=True, text=True, check=True, timeout=60).stderr for _ in range(tries)]
    return min(float(one.split()[-2]) for one in said)


def work_of_interpreter(tries: int = 5) -> float:
    """The same of a bare interpreter that starts and ends."""
    line = [sys.executable, "-I", "-S", "-c", "import time; print(time.process_time())"]
    said = [subprocess.run(line, capture_output=True, text=True, check=True, timeout=60).stdout for _ in range(tries)]
    return min(map(float, said))
