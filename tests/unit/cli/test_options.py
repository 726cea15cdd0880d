"""Podman's options as words on a line: switches, lists, what belongs to the container; and the help."""

from __future__ import annotations

import re
from dataclasses import fields

import click
import pytest

from reconciler.cli.options.command import Option
from reconciler.cli.options.values import MakingOptions, MemberOptions, PodOptions, SandboxOptions
from reconciler.flags.podman import LEFT_OUT, TABLES, verdict
from tests.unit.cli.podmans import COMMANDS, OURS, create, given, pod_create, run


def test_nothing_given_is_every_default() -> None:
    assert given(run, "busybox") == {
        "image": "busybox",
        "command": (),
        "how": MakingOptions(),
        "member": MemberOptions(),
        "box": SandboxOptions(),
    }
    assert given(create, "busybox")["how"] == MakingOptions()
    assert given(pod_create) == {"name_": None, "pod": PodOptions(), "box": SandboxOptions()}


@pytest.mark.parametrize(
    ("words", "how"),
    [
        (["-d"], MakingOptions(detach=True)),
        (["--detach"], MakingOptions(detach=True)),
        (["--detach=true"], MakingOptions(detach=True)),
        (["-d=true"], MakingOptions(detach=True)),
        (["--detach=false"], MakingOptions()),
        (["--rm", "--rm=false"], MakingOptions()),
        (["--rm=0", "--rm"], MakingOptions(rm=True)),
        (["--sig-proxy=false"], MakingOptions(sig_proxy=False)),
        (["--sig-proxy"], MakingOptions()),
    ],
)
def test_switches(words: list[str], how: MakingOptions) -> None:
    assert given(run, *words, "busybox")["how"] == how


def test_letters_in_one_word_and_a_value_behind_them() -> None:
    seen = given(run, "-dit", "-eA=1", "-uroot", "-itw", "/srv", "busybox")
    assert seen["how"] == MakingOptions(detach=True)
    assert seen["member"] == MemberOptions(env=("A=1",), user="root", workdir="/srv", interactive=True, tty=True)


def test_a_value_that_looks_like_a_switch_is_a_value() -> None:
    seen = given(run, "-e", "--rm=false", "--name", "--tty", "--label=--rm", "busybox")
    assert seen["member"] == MemberOptions(env=("--rm=false",), label=("--rm",))
    assert seen["how"] == MakingOptions(name="--tty")


def test_what_follows_the_image_is_the_containers() -> None:
    seen = given(run, "busybox", "ls", "-d", "--rm=false", "--", "-x", "--help")
    assert (seen["image"], seen["command"]) == ("busybox", ("ls", "-d", "--rm=false", "--", "-x", "--help"))
    assert seen["how"] == MakingOptions()
    assert given(run, "--rm", "--", "busybox", "-d")["command"] == ("-d",)


def test_lists_may_be_written_with_commas_where_podman_has_it_so() -> None:
    seen = given(run, "--cap-add", "a,b", "--cap-add", "c", "-p", "80:80,81:81", "--dns=1.1.1.1,8.8.8.8", "busybox")
    assert seen["member"] == MemberOptions(cap_add=("a", "b", "c"))
    assert seen["box"] == SandboxOptions(publish=("80:80", "81:81"), dns=("1.1.1.1", "8.8.8.8"))
    whole = given(
        run, "-e", "A=1,2", "-l", "a=b,c", "--mount", "type=tmpfs,dst=/x", "--tmpfs", "/y:ro,size=1", "busybox"
    )
    expected = MemberOptions(env=("A=1,2",), label=("a=b,c",), mount=("type=tmpfs,dst=/x",), tmpfs=("/y:ro,size=1",))
    assert whole["member"] == expected


def test_h_is_the_host_name_and_docker_spellings_are_known() -> None:
    assert given(run, "-h", "web", "--net", "host", "--dns-opt", "a", "busybox")["box"] == SandboxOptions(
        hostname="web", network=("host",), dns_option=("a",)
    )


@pytest.mark.parametrize(("words", "infra"), [([], None), (["--infra"], True), (["--infra=false"], False)])
def test_infra_is_told_from_what_is_unsaid(words: list[str], infra: bool | None) -> None:
    assert given(pod_create, *words, "web")["pod"] == PodOptions(infra=infra)


@pytest.mark.parametrize(
    ("command", "words", "says"),
    [
        (run, ["--rm=maybe", "x"], "--rm is true or false, not 'maybe'"),
        (run, ["--init", "x"], "podman's --init is not here: a pod with --share +pid has an init"),
        (run, ["--health-cmd", "true", "x"], "podman's --health-cmd is not here: containers made by hand have no"),
        (run, ["-P", "x"], "No such option '-P'"),
        (create, ["--detach", "x"], "No such option '--detach'"),
        (pod_create, ["--security-opt=label=disable"], "podman's --security-opt is not here: give it to the members"),
        (pod_create, ["--ipc=host"], "No such option '--ipc'"),
        (run, ["--nonsense", "x"], "No such option '--nonsense'"),
        (run, ["-it"], "Missing argument 'IMAGE'"),
        (run, ["-e"], "Option '-e' requires an argument"),
    ],
)
def test_wrong_words(command: click.Command, words: list[str], says: str) -> None:
    with pytest.raises(click.UsageError) as refused:
        given(command, *words)
    assert says in refused.value.format_message()
    assert refused.value.ctx is not None


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_fits_a_screen_and_names_every_option(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = help_of(name, "--help", capsys)
    assert len(shown.splitlines()) <= 24
    assert max(map(len, shown.splitlines())) <= 80
    assert all(option in shown.split() or f"{option}[=false]" in shown for option in long_names(name))
    assert shown.splitlines()[-1].startswith("Example:")


@pytest.mark.parametrize("name", COMMANDS)
def test_all_help_explains_every_option_in_a_line_or_two(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = help_of(name, "--help-all", capsys)
    assert max(map(len, shown.splitlines())) <= 80
    lines = [line.strip() for line in shown.splitlines() if line.startswith("  ")]
    for option in long_names(name):
        assert len([line for line in lines if re.match(rf"(?:-\w, )?{option}(?=[\[ ,])", line)]) == 1, option
    assert len(lines) <= len(long_names(name)) + 8


def help_of(name: str, option: str, capsys: pytest.CaptureFixture[str]) -> str:
    command = COMMANDS[name]
    command.main([option], prog_name=f"reconciler {name}", standalone_mode=False, terminal_width=80)
    return capsys.readouterr().out


def long_names(name: str) -> list[str]:
    return [p.word for p in COMMANDS[name].params if isinstance(p, Option)]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_says_of_exactly_our_options_that_they_are_here(name: str) -> None:
    here = {option for option, (found, _) in TABLES[name].items() if found is not LEFT_OUT}
    assert here == set(long_names(name)) - OURS.get(name, set())


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_gives_a_reason_wherever_it_is_not_as_in_podman(name: str) -> None:
    for option, (found, note) in TABLES[name].items():
        assert option.startswith("--")
        assert bool(note) == (found.value != "same"), option
        assert "\n" not in note
    assert list(TABLES[name]) == sorted(TABLES[name])


def test_a_word_that_is_no_option_has_no_verdict() -> None:
    assert verdict("run", "--nonsense") is None
    assert verdict("nonsense", "--rm") is None


@pytest.mark.parametrize("kind", [MemberOptions, SandboxOptions, MakingOptions, PodOptions])
def test_every_value_belongs_to_an_option(kind: type) -> None:
    names = {p.name for command in COMMANDS.values() for p in command.params}
    assert {field.name for field in fields(kind)} <= names
