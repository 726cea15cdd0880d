"""The grammar is GLib's; the expected words were taken from the C conmon."""

from __future__ import annotations

import pytest

from conmon import lifecycle
from conmon.options import TABLE, Options, parse, usage, version
from conmon.say import Fail

GRAMMAR = {
    "a long option takes the next word": (["--cid", "a"], {"cid": "a"}),
    "a long option takes what follows an equals sign": (["--cid=a=b"], {"cid": "a=b"}),
    "a value may be empty": (["--exit-command-arg", "", "--cid="], {"exit_command_arg": [""], "cid": ""}),
    "a value may look like an option": (
        ["--runtime-arg", "--log", "--exit-command-arg", "--root", "-c", "--"],
        {"runtime_arg": ["--log"], "exit_command_arg": ["--root"], "cid": "--"},
    ),
    "the last string wins": (["-c", "a", "--cid", "b"], {"cid": "b"}),
    "arrays collect, under each of their names": (
        ["--runtime-opt", "a", "--restore-arg=b"],
        {"runtime_opt": ["a", "b"]},
    ),
    "the old name of the pid file": (["--pidfile", "x"], {"container_pidfile": "x"}),
    "api-version is a flag, and the word after it is left over": (
        ["--api-version", "1", "-c", "x"],
        {"api_version": True, "cid": "x"},
    ),
    "a flag with a value is a flag": (["--terminal=no"], {"terminal": True}),
    "a digit can be a short option": (["-0", "/p"], {"persist_dir": "/p"}),
    "a cluster of flags": (["-tis"], {"terminal": True, "stdin": True, "systemd_cgroup": True}),
    "a cluster in which one takes the next word": (["-bt", "/b"], {"bundle": "/b", "terminal": True}),
    "two dashes end the options": (["-c", "a", "--", "-c", "b"], {"cid": "a"}),
    "a single dash is left over": (["-", "-c", "a"], {"cid": "a"}),
    "a decimal number": (["-T", "10"], {"timeout": 10}),
    "a negative number": (["--log-size-max", "-2"], {"log_size_max": -2}),
    "a hexadecimal number": (["--timeout", "0x10"], {"timeout": 16}),
    "an octal number": (["--timeout=010"], {"timeout": 8}),
    "a number with a sign and blanks before it": (["--timeout", " +7"], {"timeout": 7}),
}

REFUSED = {
    "an unknown long option": (["--foo"], "Unknown option --foo"),
    "an abbreviation": (["--termina"], "Unknown option --termina"),
    "an unknown short option": (["-X"], "Unknown option -X"),
    "an unknown letter in a cluster": (["-tX"], "Unknown option -tX"),
    "a value glued to a short option": (["-b/x"], "Missing argument for -b"),
    "two letters of a cluster that take a word": (["-bc", "1", "2"], "Error parsing option -c"),
    "no word after a long option": (["--timeout"], "Missing argument for --timeout"),
    "a word where a number belongs": (["--timeout", "abc"], "Cannot parse integer value “abc” for --timeout"),
    "an empty number": (["--timeout="], "Cannot parse integer value “” for --timeout"),
    "a number with a tail": (["--log-size-max", "1x"], "Cannot parse integer value “1x” for --log-size-max"),
    "a number with underscores": (["-T", "1_0"], "Cannot parse integer value “1_0” for -T"),
    "more than 32 bits": (["--timeout", "99999999999"], "Integer value “99999999999” for --timeout out of range"),
    "more than 64 bits": (
        ["--log-size-max", "99999999999999999999"],
        "Integer value “99999999999999999999” for --log-size-max out of range",
    ),
}


@pytest.mark.parametrize(("argv", "expected"), GRAMMAR.values(), ids=GRAMMAR)
def test_grammar(argv: list[str], expected: dict[str, object]) -> None:
    got, default = vars(parse(argv)), vars(Options())
    assert {name: value for name, value in got.items() if value != default[name]} == expected


@pytest.mark.parametrize(("argv", "words"), REFUSED.values(), ids=REFUSED)
def test_refused(argv: list[str], words: str) -> None:
    with pytest.raises(Fail) as fail:
        parse(argv)
    assert fail.value.text == f"option parsing failed: {words}"


def test_every_row_of_the_table_names_a_field() -> None:
    assert {option.attribute for option in TABLE} | {"help"} == set(vars(Options()))


def test_help_wins_over_what_follows(capfd: pytest.CaptureFixture[str]) -> None:
    assert lifecycle.main(["--help", "--nonsense"]) == 0
    assert capfd.readouterr().out == usage()
    assert "--cid" in usage() and "--restore-arg" not in usage()


def test_version_is_as_podman_reads_it(capfd: pytest.CaptureFixture[str]) -> None:
    assert lifecycle.main(["--version"]) == 0
    assert capfd.readouterr().out == version()
    first, second = version().splitlines()
    assert [int(part) for part in first.removeprefix("conmon version ").split(".")] >= [2, 0, 1]
    assert second.startswith("commit: ")
