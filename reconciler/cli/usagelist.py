"""What `stats` and `pod stats` tell of a container, as podman has it: columns, fields for templates, JSON. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from reconciler.cli.rows import ContainerRow
from reconciler.cli.units import binary_size, duration, percent, size
from reconciler.model.usage import Reading, Usage

NOTHING = Usage(0.0, Reading())
UNKNOWN = "--"
SHORTEST = 0.01
"""Seconds that a container has run at least: the kernel counts CPU time in such steps."""


@dataclass(frozen=True, slots=True)
class Measured:
    """``usage`` None: it does not run. ``cpu`` is how much of one CPU it used lately, in percent, ``average`` since its
    start; None where that is not known."""

    row: ContainerRow
    usage: Usage | None = None
    cpu: float | None = None
    average: float | None = None


class Meter:
    """Compares what was used with what it was at the time before."""

    def __init__(self) -> None:
        self._before: dict[str, Usage] = {}

    def measured(self, seen: Iterable[tuple[ContainerRow, Usage | None]], now: float) -> list[Measured]:
        """``now`` in seconds since 1970."""
        found = [self._measured(row, usage, now) for row, usage in seen]
        self._before = {one.row.id: one.usage for one in found if one.usage}
        return found

    def _measured(self, row: ContainerRow, usage: Usage | None, now: float) -> Measured:
        if usage is None or usage.own.cpu is None:
            return Measured(row, usage)
        average = 100 * usage.own.cpu / max(SHORTEST, now - row.started)
        return Measured(row, usage, _lately(self._before.get(row.id), usage, average), average)


def _lately(before: Usage | None, usage: Usage, otherwise: float) -> float:
    """A container that is new, or was started again since, has used all it did lately."""
    if before is None or before.own.cpu is None or usage.own.cpu is None:
        return otherwise
    spent, seconds = usage.own.cpu - before.own.cpu, usage.at - before.at
    return 100 * spent / seconds if spent >= 0 and seconds > 0 else otherwise


Fields = dict[str, Any]

HEADINGS = {
    "ID": "ID",
    "Name": "NAME",
    "CPUPerc": "CPU %",
    "MemUsage": "MEM USAGE / LIMIT",
    "MemUsageBytes": "MEM USAGE / LIMIT",
    "MemPerc": "MEM %",
    "NetIO": "NET IO",
    "BlockIO": "BLOCK IO",
    "PIDS": "PIDS",
    "UpTime": "CPU TIME",
    "AVGCPU": "AVG CPU %",
}
COLUMNS = ("ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDS", "UpTime", "AVGCPU")

POD_HEADINGS = {
    "Pod": "POD",
    "CID": "CID",
    "Name": "NAME",
    "CPU": "CPU %",
    "MemUsage": "MEM USAGE/ LIMIT",
    "MemUsageBytes": "MEM USAGE/ LIMIT",
    "Mem": "MEM %",
    "NetIO": "NET IO",
    "BlockIO": "BLOCK IO",
    "PIDS": "PIDS",
}
POD_COLUMNS = ("Pod", "CID", "Name", "CPU", "MemUsage", "Mem", "NetIO", "BlockIO", "PIDS")


def fields(measured: Measured, *, full: bool) -> Fields:
    """What templates of ``stats`` may ask for. Numbers are bytes and nanoseconds; what is not known is 0 there."""
    usage = measured.usage or NOTHING
    own, nanoseconds = usage.own, round((usage.own.cpu or 0) * 1e9)
    return {
        "ID": measured.row.id if full else measured.row.id[:12],
        "ContainerID": measured.row.id,
        "Name": measured.row.name,
        "CPUPerc": _percent(measured.cpu),
        "CPU": measured.cpu or 0.0,
        "CPUNano": nanoseconds,
        "Duration": nanoseconds,
        "UpTime": _said(duration, own.cpu),
        "AVGCPU": _percent(measured.average),
        "AvgCPU": measured.average or 0.0,
        "MemUsage": _pair(size, own.memory, own.limit),
        "MemUsageBytes": _pair(binary_size, own.memory, own.limit),
        "MemLimit": own.limit or 0,
        "MemPerc": _memory(measured),
        "NetIO": _pair(size, usage.received, usage.sent),
        "NetInput": usage.received or 0,
        "NetOutput": usage.sent or 0,
        "BlockIO": _pair(size, own.read, own.written),
        "BlockInput": own.read or 0,
        "BlockOutput": own.written or 0,
        "PIDS": _said(str, own.pids),
        "PIDs": own.pids or 0,
    }


def pod_fields(measured: Measured, *, full: bool) -> Fields:
    """The same of ``pod stats``, and its JSON."""
    known = fields(measured, full=full)
    return {
        "CPU": known["CPUPerc"],
        "MemUsage": known["MemUsage"],
        "MemUsageBytes": known["MemUsageBytes"],
        "Mem": known["MemPerc"],
        "NetIO": known["NetIO"],
        "BlockIO": known["BlockIO"],
        "PIDS": known["PIDS"],
        "Pod": measured.row.pod if full else measured.row.pod[:12],
        "CID": known["ID"],
        "Name": known["Name"],
    }


def as_json(known: Fields) -> dict[str, str]:
    """An object of ``stats --format json``."""
    return {
        "id": known["ID"],
        "name": known["Name"],
        "cpu_time": known["UpTime"],
        "cpu_percent": known["CPUPerc"],
        "avg_cpu": known["AVGCPU"],
        "mem_usage": known["MemUsage"],
        "mem_percent": known["MemPerc"],
        "net_io": known["NetIO"],
        "block_io": known["BlockIO"],
        "pids": known["PIDS"],
    }


def _memory(measured: Measured) -> str:
    own = (measured.usage or NOTHING).own
    return UNKNOWN if own.memory is None or not own.limit else percent(100 * own.memory / own.limit)


def _percent(value: float | None) -> str:
    return UNKNOWN if value is None else percent(value)


def _said(show: Callable[[Any], str], value: float | None) -> str:
    return UNKNOWN if value is None else show(value)


def _pair(show: Callable[[int], str], one: int | None, other: int | None) -> str:
    return f"{_said(show, one)} / {_said(show, other)}"
