"""`stats` and `pod stats`: what is measured between two looks, and how it is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.cli import app, stats, usagelist
from reconciler.cli.resolve import named_pod
from reconciler.cli.rows import ContainerRow
from reconciler.cli.usagelist import Measured, Meter
from reconciler.model.observed import ContainerState, Observed
from reconciler.model.usage import Reading, Usage
from tests.unit.cli.pods import container, pod

ROW = ContainerRow(id="ab" * 32, name="web/app", member="app", state="running", started=1000.0, pod="cd" * 32)
READING = Reading(cpu=2.5, memory=7_000_000, limit=1 << 26, read=4196, written=20_971_521, pids=4)
USAGE = Usage(50.0, READING, 1_234_577, 76_546)


def used(at: float, cpu: float | None) -> Usage:
    return Usage(at, Reading(cpu=cpu))


@pytest.mark.parametrize(
    ("before", "after", "lately"),
    [
        pytest.param(used(10, 2.0), used(14, 3.0), 25.0, id="between two looks"),
        pytest.param(used(10, 2.0), used(14, 14.0), 300.0, id="of several CPUs"),
        pytest.param(used(10, 2.0), used(14, 2.0), 0.0, id="nothing"),
        pytest.param(None, used(14, 3.0), 30.0, id="new: all that it ever used"),
        pytest.param(used(10, 5.0), used(14, 3.0), 30.0, id="started again: the same"),
        pytest.param(used(10, None), used(14, 3.0), 30.0, id="not counted before"),
        pytest.param(used(14, 3.0), used(14, 3.0), 30.0, id="twice at one instant"),
        pytest.param(used(10, 2.0), used(14, None), None, id="not counted"),
    ],
)
def test_cpu_is_what_was_used_lately(before: Usage | None, after: Usage, lately: float | None) -> None:
    meter = Meter()
    meter.measured([(ROW, before)], 1006.0)
    (measured,) = meter.measured([(ROW, after)], 1010.0)
    assert measured.cpu == (None if lately is None else pytest.approx(lately))
    assert measured.average == (None if lately is None else pytest.approx(after.own.cpu * 10))


def test_a_container_that_did_not_run_in_between_begins_anew() -> None:
    meter = Meter()
    for usage in (used(10, 2.0), None, used(14, 3.0)):
        (measured,) = meter.measured([(ROW, usage)], 1010.0)
    assert measured.cpu == pytest.approx(30.0)


MEASURED = Measured(ROW, USAGE, 12.345, 6.789)


def test_a_container_in_podmans_words() -> None:
    known = usagelist.fields(MEASURED, full=False)
    assert usagelist.as_json(known) == {
        "id": "ab" * 6,
        "name": "web/app",
        "cpu_time": "2.5s",
        "cpu_percent": "12.35%",
        "avg_cpu": "6.79%",
        "mem_usage": "7MB / 67.11MB",
        "mem_percent": "10.43%",
        "net_io": "1.235MB / 76.55kB",
        "block_io": "4.196kB / 20.97MB",
        "pids": "4",
    }
    numbers = {name: value for name, value in known.items() if isinstance(value, (int, float))}
    assert numbers == {
        "CPU": 12.345,
        "CPUNano": 2_500_000_000,
        "Duration": 2_500_000_000,
        "AvgCPU": 6.789,
        "MemLimit": 1 << 26,
        "NetInput": 1_234_577,
        "NetOutput": 76_546,
        "BlockInput": 4196,
        "BlockOutput": 20_971_521,
        "PIDs": 4,
    }
    assert known["MemUsageBytes"] == "6.676MiB / 64MiB"
    assert usagelist.fields(MEASURED, full=True)["ID"] == ROW.id
    assert set(usagelist.COLUMNS) <= set(usagelist.HEADINGS) <= set(known)


def test_a_container_of_a_pod_in_podmans_words() -> None:
    assert usagelist.pod_fields(MEASURED, full=False) == {
        "CPU": "12.35%",
        "MemUsage": "7MB / 67.11MB",
        "MemUsageBytes": "6.676MiB / 64MiB",
        "Mem": "10.43%",
        "NetIO": "1.235MB / 76.55kB",
        "BlockIO": "4.196kB / 20.97MB",
        "PIDS": "4",
        "Pod": "cd" * 6,
        "CID": "ab" * 6,
        "Name": "web/app",
    }
    assert set(usagelist.POD_COLUMNS) <= set(usagelist.POD_HEADINGS) <= set(usagelist.pod_fields(MEASURED, full=True))


@pytest.mark.parametrize("measured", [Measured(ROW), Measured(ROW, Usage(1.0, Reading()))])
def test_what_is_not_known_is_not_zero(measured: Measured) -> None:
    known = usagelist.as_json(usagelist.fields(measured, full=False))
    assert {known[name] for name in known.keys() - {"id", "name"}} == {"--", "-- / --"}


class Engine:
    """Two pods, of which one container does not run; whoever runs uses one CPU, and ends when ``gone`` says so."""

    def __init__(self, hand: Path) -> None:
        self.layout = self
        self.hand = hand
        self.looks = 0
        self.gone = False
        idle = container("web", "idle", state=ContainerState.EXITED)
        self.pods = {p.key: p for p in (pod("web", container("web", "app"), idle), pod("db", container("db", "main")))}

    def keys(self):
        return tuple(self.pods)

    def names(self):
        return tuple(map(named_pod, self.pods.values()))

    def look(self, key):
        there = self.pods[key]
        return Observed(key) if self.gone else there

    def infra_id(self, name):
        return next(p.sandbox.infra.id for k, p in self.pods.items() if k.name == name)

    def usage(self, there):
        self.looks += 1
        running = [c for c in (*there.containers, there.sandbox.infra) if c.state is ContainerState.RUNNING]
        own = replace(READING, cpu=float(self.looks))
        return {c.id: replace(USAGE, at=float(self.looks), own=own) for c in running}


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    made = Engine(tmp_path)
    monkeypatch.setattr("reconciler.cli.settings.Options.engine", lambda self: made)
    monkeypatch.setattr(stats, "FIRST", 0.0)
    return made


def said(capsys: pytest.CaptureFixture[str], *words: str) -> list[list[str]]:
    assert app.run([*words, "--no-stream"]) == 0
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def infra(engine: Engine, name: str) -> str:
    return next(f"{p.sandbox.id[:12]}-infra" for k, p in engine.pods.items() if k.name == name)


def test_those_that_run_are_shown_or_all_or_those_that_are_named(engine: Engine, capsys) -> None:
    shown = said(capsys, "stats")
    assert " ".join(shown[0]) == ("ID NAME CPU % MEM USAGE / LIMIT MEM % NET IO BLOCK IO PIDS CPU TIME AVG CPU %")
    assert [row[1] for row in shown[1:]] == ["db/main", infra(engine, "db"), "web/app", infra(engine, "web")]
    assert shown[1][2] == "100.00%"
    everyone = said(capsys, "stats", "--all")[1:]
    assert [row[1] for row in everyone] == [
        "db/main",
        infra(engine, "db"),
        "web/app",
        "web/idle",
        infra(engine, "web"),
    ]
    assert everyone[3][2] == "--"
    assert [row[1] for row in said(capsys, "stats", "web/idle", "db")[1:]] == ["db/main", "web/idle"]
    assert [row[1] for row in said(capsys, "stats", "-N", "other")[1:]] == []
    assert len(said(capsys, "stats", "--latest")) == 2
    assert [row[1] for row in said(capsys, "stats", engine.infra_id("web"))[1:]] == [infra(engine, "web")]


def test_pods_are_shown_with_the_containers_that_run(engine: Engine, capsys) -> None:
    shown = said(capsys, "pod", "stats", "web")
    assert " ".join(shown[0]) == "POD CID NAME CPU % MEM USAGE/ LIMIT MEM % NET IO BLOCK IO PIDS"
    assert [row[2] for row in shown[1:]] == ["web/app", infra(engine, "web")]
    assert [row[2] for row in said(capsys, "pod", "stats")[1:]] == [
        "db/main",
        infra(engine, "db"),
        "web/app",
        infra(engine, "web"),
    ]
    assert len(said(capsys, "pod", "stats", "--all")) == 1 + 5
    assert len(said(capsys, "pod", "stats", "-l")) == 1 + 2
    assert said(capsys, "pod", "stats", "-N", "other")[1:] == [["--"] * 9], "as podman shows that there is none"


def test_a_pod_for_one_container_only_is_not_shown_as_a_pod(engine: Engine, capsys) -> None:
    file = engine.hand / "default" / "web.json"
    file.parent.mkdir()
    file.write_text('{"members": [], "solo": true}')
    assert [row[1] for row in said(capsys, "stats")[1:]] == ["db/main", infra(engine, "db"), "web/app"]
    for words in ((), ("--latest",)):
        assert [row[2] for row in said(capsys, "pod", "stats", *words)[1:]] == ["db/main", infra(engine, "db")]


def test_formats(engine: Engine, capsys) -> None:
    def text(*words: str) -> str:
        assert app.run([*words, "--no-stream"]) == 0
        return capsys.readouterr().out

    assert [one["name"] for one in json.loads(text("stats", "--format", "json", "web/app"))] == ["web/app"]
    of_pod = json.loads(text("pod", "stats", "--format", "json", "db"))
    assert [one["Name"] for one in of_pod] == ["db/main", infra(engine, "db")]
    assert text("stats", "--format", "{{.Name}} {{.CPUPerc}} {{.PIDs}}", "web/app") == "web/app 100.00% 4\n"
    assert text("stats", "--format", "table {{.Name}} {{.MemUsage}}", "web/app") == (
        "NAME     MEM USAGE / LIMIT\nweb/app  7MB / 67.11MB\n"
    )
    assert text("stats", "--format", "table", "web/app").startswith("ID ")
    assert text("pod", "stats", "--format", "{{.Pod}}", "-N", "other") == ""
    whole = text("stats", "--no-trunc", "--format", "{{.ID}}", "web/app").strip()
    assert len(whole) == 64


def test_it_goes_on_until_none_of_those_that_were_named_is_left(engine: Engine, capsys, monkeypatch) -> None:
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        engine.gone = len(pauses) == 4

    monkeypatch.setattr(stats.time, "sleep", pause)
    assert app.run(["stats", "-i", "7", "--format", "{{.Name}} {{.CPUPerc}}", "web/app"]) == 0
    assert capsys.readouterr().out == "web/app 100.00%\n" * 3
    assert pauses == [0.0, 7.0, 7.0, 7.0]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("stats", "--all", "web/app"), "names, --all and --latest cannot be used together"),
        (("stats", "--all", "--latest"), "names, --all and --latest cannot be used together"),
        (("stats", "-i", "0"), "-i"),
        (("stats", "nobody"), 'cannot find container "nobody"'),
        (("stats", "--no-stream", "--format", "{{.Nix}}"), "can't evaluate field Nix"),
        (("pod", "stats", "nobody"), 'cannot find pod "nobody"'),
        (("pod", "stats", "-l", "web"), "names, --all and --latest cannot be used together"),
    ],
)
def test_what_cannot_be_shown(words: tuple[str, ...], error: str, engine: Engine, capsys) -> None:
    assert app.run(words) == 125
    assert error in capsys.readouterr().err
