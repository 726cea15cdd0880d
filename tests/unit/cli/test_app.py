from __future__ import annotations

import os
import subprocess
import sys

import click
import pytest

from reconciler import __version__
from reconciler.cli import app, pod
from reconciler.cli.exec import exec_
from reconciler.cli.lazy import LazyGroup
from reconciler.model.errors import NotFound

COMMANDS = [([name], short) for _, commands in app.SECTIONS for name, _, short in commands]
COMMANDS += [(["pod", name], short) for _, commands in pod.SECTIONS for name, _, short in commands]


@pytest.fixture
def command(monkeypatch):
    """Replace the tree's `info` by a function, and call it through the real entry."""

    def install(function, *arguments: str) -> int:
        replacement = click.Command("info", callback=function)
        monkeypatch.setattr(LazyGroup, "get_command", lambda self, ctx, name: replacement)
        return app.run([*arguments, "info"])

    return install


def raising(error):
    def function():
        raise error

    return function


@pytest.mark.parametrize(
    ("words", "short"), COMMANDS, ids=lambda value: "-".join(value) if isinstance(value, list) else ""
)
def test_each_command_has_the_short_help_of_the_table_an_example_and_fits_a_screen(words, short, capsys):
    loaded = app.tree
    for word in words:
        loaded = loaded.get_command(click.Context(loaded), word)
    assert (loaded.help or "").startswith(short.rstrip(".")), f"{words}: the table says {short!r}"
    assert app.run([*words, "--help"]) == 0  # podman's -h is --hostname in some
    shown = capsys.readouterr().out
    assert len(shown.splitlines()) <= 40
    if not isinstance(loaded, click.Group):
        assert "Example:" in shown


def test_h_works_without_a_command(capsys):
    assert app.run(["-h"]) == 0
    assert len(capsys.readouterr().out.splitlines()) <= 45


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["image", "--nonsense"], ["get", "nope"], ["--runtime", "docker", "ps"]]
)
def test_wrong_usage_is_2_with_one_line_and_a_hint(arguments, capsys):
    assert app.run(arguments) == 2
    error = capsys.readouterr().err.splitlines()
    assert error[0].startswith("reconciler: ")
    assert error[1].startswith("hint: see: reconciler")
    assert len(error) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        *(["ps", "--nonsense"], ["ps", "x"], ["pod", "nope"], ["pod", "ps", "-q", "--format=x"]),
        *(["logs"], ["exec", "app"], ["attach", "--nonsense", "app"]),
    ],
)
def test_wrong_usage_of_what_podman_has_is_125(arguments, capsys):
    assert app.run(arguments) == 125
    error = capsys.readouterr().err.splitlines()
    assert error[0].startswith("reconciler: ")
    assert error[1].startswith("hint: see: reconciler")


def test_an_alias_is_the_command(capsys):
    assert app.run(["pod", "ls", "-h"]) == 0
    assert "List pods." in capsys.readouterr().out


def test_an_error_of_ours_is_one_line_and_its_hint(command, capsys):
    assert command(raising(NotFound("cannot find it:\nnot here", hint="look there"))) == 1
    assert capsys.readouterr().err == "reconciler: cannot find it: not here\nhint: look there\n"


def test_a_mistake_shows_a_traceback_only_when_asked(command, capsys):
    assert command(raising(ValueError("oops"))) == 1
    quiet = capsys.readouterr().err
    assert "Traceback" not in quiet
    assert "ValueError: oops" in quiet
    assert command(raising(ValueError("oops")), "-v") == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_file_error_names_the_file(command, capsys):
    assert command(raising(PermissionError(13, "Permission denied", "/etc/x"))) == 1
    assert capsys.readouterr().err == "reconciler: cannot use /etc/x: Permission denied\n"


@pytest.mark.parametrize(("where", "doing"), [(("/x",), "use /x"), ((), "go on")], ids=["of a file", "of no file"])
def test_a_full_disk_is_no_mistake_of_ours(command, capsys, where, doing):
    """A write or a sync names no file."""
    assert command(raising(OSError(28, "No space left on device", *where))) == 1
    hint = "free some space on that file system"
    assert capsys.readouterr().err == f"reconciler: cannot {doing}: No space left on device\nhint: {hint}\n"


def test_the_exit_code_is_what_the_command_returns(command):
    assert command(lambda: 7) == 7
    assert command(lambda: None) == 0


def test_ctrl_c_is_130_without_a_word(command, capsys):
    assert command(raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr() == ("", "")


def test_without_root_the_error_says_so(monkeypatch, capsys):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert app.run(["get", "pods"]) == 1
    assert capsys.readouterr().err == "reconciler: cannot work on containers: this needs root\nhint: run it with sudo\n"


def test_an_error_of_what_podman_has_is_125(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert app.run(["ps"]) == 125
    assert app.run(["pod", "ps"]) == 125


def test_a_reader_that_goes_away_is_no_error():
    script = "import sys; from reconciler.__main__ import main; sys.argv = ['reconciler', '-h']; sys.exit(main())"
    done = subprocess.run(
        ["bash", "-c", 'exec 3> >(exec true); wait $!; "$0" -c "$1" >&3; echo $?', sys.executable, script],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout.strip() == "141"


def test_version_is_quick_and_imports_next_to_nothing():
    code = (
        "import sys; sys.argv = ['reconciler', '--version']; from reconciler.__main__ import main; main();"
        "print(*sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True).stdout
    version, modules = shown.split("\n", 1)
    assert version == f"reconciler {__version__}"
    assert not {"click", "msgspec", "yaml", "structlog", "jsonschema", "pyroute2", "sqlite3"} & set(modules.split())


def test_listings_load_little():
    """They answer for hundreds of containers in a quarter of a second; the measured value is half of that."""
    code = (
        "import sys; from reconciler.cli import gather, podps, ps; import reconciler.engine.engine;"
        "import reconciler.engine.observe; print(*sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True).stdout
    heavy = {"yaml", "structlog", "jsonschema", "pyroute2", "asyncio", "ctypes", "reconciler.cli.templates"}
    heavy |= {"reconciler.engine.images.images", "reconciler.engine.network.netlink", "reconciler.kube.load"}
    assert not heavy & set(shown.split())


def test_completion_knows_the_commands():
    done = subprocess.run(
        [sys.executable, "-m", "reconciler"],
        env={**os.environ, "_RECONCILER_COMPLETE": "bash_complete", "COMP_WORDS": "reconciler val", "COMP_CWORD": "1"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert "validate" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "name", "rest", "member"),
    [
        pytest.param(["web", "--", "ls", "-c", "x"], "web", ("ls", "-c", "x"), None, id="after two dashes"),
        pytest.param(["-c", "app", "web", "ls", "-c", "x"], "web", ("ls", "-c", "x"), "app", id="without two dashes"),
        pytest.param(["web", "-c", "app", "--", "ls"], "web", ("ls",), "app", id="an option after the name"),
        pytest.param(["web", "-c", "app", "ls", "-l"], "web", ("ls", "-l"), "app", id="an option between"),
        pytest.param(
            ["web", "sh", "-c", "a -- b", "--", "x"],
            "web",
            ("sh", "-c", "a -- b", "--", "x"),
            None,
            id="dashes of its own",
        ),
    ],
)
def test_exec_leaves_the_command_its_own_options(arguments, name, rest, member):
    ctx = exec_.make_context("exec", list(arguments))
    assert (ctx.params["name"], ctx.params["command"], ctx.params["member"]) == (name, rest, member)
