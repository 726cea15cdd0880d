"""Whatever is written, an option means something or is refused in one line: no parser fails otherwise."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reconciler.flags import amounts, env, labels, life, lists, mounts, names, ports, rights, sandbox
from reconciler.flags.mounts import Surroundings
from reconciler.flags.rights import Rights
from reconciler.model.errors import InvalidInput

HERE = Surroundings("/here", lambda: "new")

PARSERS: dict[str, Callable[[str], object]] = {
    "-p": lambda text: ports.bindings([text]),
    "-e": lambda text: env.variables([text], [], {"A": "1"}),
    "--env-file": lambda text: env.variables([], [("f", text)], {"A": "1"}),
    "--label": lambda text: labels.labels([text]),
    "--label-file": lambda text: labels.labels([], [("f", text)]),
    "--memory": amounts.memory,
    "--cpus": amounts.cpus,
    "--cpu-shares": amounts.cpu_shares,
    "--pids-limit": amounts.pids_limit,
    "--stop-timeout": lambda text: amounts.seconds(text, "--stop-timeout"),
    "-v": lambda text: mounts.mounts([text], here=HERE),
    "--tmpfs": lambda text: mounts.mounts(tmpfs=[text], here=HERE),
    "--mount": lambda text: mounts.mounts(others=[text], here=HERE),
    "--mount with a type": lambda text: mounts.mounts(others=[f"type=bind,{text}"], here=HERE),
    "--cap-add": lambda text: rights.security(Rights(cap_add=(text,)), "/here"),
    "--security-opt": lambda text: rights.security(Rights(security_opt=(text,)), "/here"),
    "--security-opt label": lambda text: rights.security(Rights(security_opt=(f"label={text}",)), "/here"),
    "--group-add": lambda text: rights.security(Rights(group_add=(text,)), "/here"),
    "--device": lambda text: rights.devices([text]),
    "--ulimit": lambda text: rights.ulimits([f"nofile={text}"]),
    "--restart": life.restart,
    "--pull": life.pull,
    "--exit-policy": life.stops_when_done,
    "--stop-signal": life.stop_signal,
    "--entrypoint": life.command,
    "--user": life.user,
    "--workdir": life.working_directory,
    "--network": lambda text: sandbox.network([text]),
    "--network with options": lambda text: sandbox.network([f"bridge:{text}"]),
    "--ip": lambda text: sandbox.network([], text),
    "--ip6": lambda text: sandbox.network([], None, text),
    "--mac-address": lambda text: sandbox.network([], None, None, text),
    "--share": sandbox.share,
    "--userns": sandbox.host_users,
    "--pid": lambda text: sandbox.is_host(text, "--pid"),
    "--hostname": sandbox.hostname,
    "--sysctl": lambda text: sandbox.sysctls([text]),
    "--dns": lambda text: sandbox.dns([text]),
    "--dns-option": lambda text: sandbox.dns([], [text]),
    "--dns-search": lambda text: sandbox.dns([], [], [text]),
    "--add-host": lambda text: sandbox.aliases([text]),
    "--name": lambda text: names.checked(text, "the pod"),
    "--pod": names.pod_choice,
    "a list": lists.split,
}

WORDS = st.sampled_from(
    [
        "",
        ":",
        "=",
        ",",
        "/",
        "-",
        "+",
        ".",
        "..",
        "[",
        "]",
        '"',
        "\n",
        "0",
        "80",
        "9" * 20,
        "m",
        "host",
        "new:",
        "ro",
        "/x",
    ]
)
TEXT = st.one_of(st.text(max_size=20), st.lists(WORDS, max_size=8).map("".join))


@pytest.mark.parametrize("option", PARSERS)
@given(text=TEXT)
@example(text="9" * 5000)
@example(text="[" * 50_000)
@example(text='["a", 1]')
@example(text="a\nb")
@example(text='"')
@example(text="²")
@example(text="\udcff")
def test_any_text_means_something_or_is_refused(option: str, text: str) -> None:
    try:
        PARSERS[option](text)
    except InvalidInput as refused:
        assert refused.message.startswith("cannot ")


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("", []),
        ("a", ["a"]),
        ("a,b", ["a", "b"]),
        ("a,", ["a", ""]),
        ('"a,b",c', ["a,b", "c"]),
        ('a,"say ""x"""', ["a", 'say "x"']),
        ("a\nb,c", ["a\nb", "c"]),
        ('"a\nb",c', ["a\nb", "c"]),
        ('"a",b"', ["a", 'b"']),
    ],
)
def test_lists(text: str, items: list[str]) -> None:
    assert lists.split(text) == items


@pytest.mark.parametrize("text", ['"a', '"a"b', 'a,"b'])
def test_a_list_whose_quotes_do_not_close_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="its quotes do not close"):
        lists.split(text)
