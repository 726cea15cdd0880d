"""The log drivers: the file, none, the caller's own streams, the journal."""

from __future__ import annotations

import re

import pytest

from tests.host.conformance.bench import Bench, joined, records

pytestmark = pytest.mark.host
NINE = "for i in 1 2 3 4 5 6 7 8 9; do echo line $i; sleep 0.01; done"


def without_log(bench: Bench) -> list[str]:
    words = bench.words()
    at = words.index("--log-path")
    return words[:at] + words[at + 2 :]


def test_a_line_of_the_file(bench: Bench) -> None:
    bench.launch(container="echo one; echo; echo err >&2; printf rest", env={"TZ": "Asia/Kathmandu"}).done()
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}\+05:45"
    lines = bench.log.read_text().splitlines()
    assert all(re.match(rf"^{stamp} (stdout|stderr) [FP] ", line) for line in lines)
    assert sorted(line.split(" ", 1)[1] for line in lines) == [
        "stderr F err",
        "stdout F ",
        "stdout F one",
        "stdout P rest",
    ]


def test_utc_has_a_numeric_offset(bench: Bench) -> None:
    bench.launch(container="echo one", env={"TZ": "UTC"}).done()
    assert "+00:00 stdout F one" in bench.log.read_text()


def test_it_is_appended_to(bench: Bench) -> None:
    bench.log.write_text("before\n")
    bench.launch(container="echo after").done()
    assert [line.split()[-1] for line in bench.log.read_text().splitlines()] == ["before", "after"]


@pytest.mark.since("2.1.13")
def test_its_group_may_read_it(bench: Bench) -> None:
    bench.launch().done()
    assert bench.log.stat().st_mode & 0o777 == 0o640


def test_a_long_line_comes_in_pieces(bench: Bench) -> None:
    bench.launch(container="head -c 20000 /dev/zero | tr '\\0' x; echo").done()
    lines = [line.split(" ", 3) for line in bench.log.read_text().splitlines()]
    assert {tag for _, _, tag, _ in lines[:-1]} == {"P"}
    assert lines[-1][2] == "F"
    assert bench.output() == "x" * 20000 + "\n"


@pytest.mark.parametrize("name", ["{}", ":{}", "k8s-file:{}"])
def test_ways_to_name_the_file(bench: Bench, name: str) -> None:
    bench.launch("-l", name.format(bench.log), words=without_log(bench), container="echo x").done()
    assert bench.output() == "x\n"


def test_a_file_may_have_the_name_of_a_driver(bench: Bench) -> None:
    bench.launch("-l", ":journald", words=without_log(bench), container="echo x").done()
    assert (bench.directory / "journald").read_text().endswith("stdout F x\n")


@pytest.mark.parametrize("name", ["none", "off", "null", "none:"])
def test_output_that_nobody_keeps_still_reaches_clients(bench: Bench, name: str) -> None:
    launched = bench.launch("-l", name, words=without_log(bench), container="echo x")
    launched.created()
    client = bench.connect()
    bench.start()
    assert joined(records(client)) == b"x\n"
    launched.done()
    assert not bench.log.exists()


def test_two_files(bench: Bench) -> None:
    second = bench.directory / "second"
    bench.launch("-l", str(second), container="echo x").done()
    assert any(path.exists() and path.read_text().endswith("stdout F x\n") for path in (bench.log, second))


def test_a_size_limit_discards(bench: Bench) -> None:
    bench.launch("--log-size-max", "300", container=NINE).done()
    assert bench.log.stat().st_size <= 300
    assert bench.output().endswith("line 9\n")
    assert "line 1\n" not in bench.output()
    assert {path.name for path in bench.directory.glob("log*")} == {"log"}


@pytest.mark.since("2.2.0")
def test_a_size_limit_rotates(bench: Bench) -> None:
    bench.launch("--log-size-max", "300", "--log-rotate", "--log-max-files", "2", container=NINE).done()
    assert {path.name for path in bench.directory.glob("log*")} == {"log", "log.1"}


def test_all_output_has_a_limit(bench: Bench) -> None:
    bench.launch("--log-global-size-max", "120", container=NINE).done()
    assert bench.output().startswith("line 1\n")
    assert "line 4" not in bench.output()
