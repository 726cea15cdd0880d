"""What `top` shows of a process, descriptor by descriptor."""

from __future__ import annotations

import os
import pwd
import time
from dataclasses import replace

import pytest

from reconciler.cli.descriptors import CODES, DEFAULT, DESCRIPTORS, Shown, cells, chosen, headings
from reconciler.engine.inside import CAPABILITIES, Ids, Inside, Process
from reconciler.engine.oci.capabilities import NAMES
from reconciler.model.errors import InvalidInput

PROCESS = Process(
    pid=7,
    parent=1,
    group=6,
    host_pid=4242,
    users=Ids(0, 33),
    groups=Ids(0, 44, (33, 7)),
    host_users=Ids(165536, os.getuid()),
    host_groups=Ids(165536, 165580, (165569,)),
    name="sleep",
    command="sleep 1000",
    state="S",
    nice=2,
    tty="pts/0",
    size=2 << 20,
    resident=1 << 20,
    cpu=3.2,
    elapsed=3725.5,
    seccomp=2,
    label="",
    capabilities=dict.fromkeys(CAPABILITIES, 0),
)
INSIDE = Inside((PROCESS,), {0: "root", 33: "www-data"}, {33: "www-data"})


def shown(name: str, process: Process = PROCESS) -> object:
    return cells([name], Shown(process, INSIDE, "app"))[0]


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("user", "www-data"),
        ("ruser", "root"),
        ("uid", 33),
        ("group", "44"),
        ("rgroup", "0"),
        ("groups", "www-data,7"),
        ("huser", pwd.getpwuid(os.getuid()).pw_name),
        ("huid", os.getuid()),
        ("hgroup", "165580"),
        ("hgroups", "165569"),
        ("pid", 7),
        ("hpid", 4242),
        ("ppid", 1),
        ("pgid", 6),
        ("pcpu", "0.086"),
        ("etime", "1h2m5.5s"),
        ("time", "3.2s"),
        ("tty", "pts/0"),
        ("args", "sleep 1000"),
        ("comm", "sleep"),
        ("container", "app"),
        ("nice", 2),
        ("vsz", 2048),
        ("rss", 1024),
        ("state", "S"),
        ("label", "?"),
        ("seccomp", "filter"),
        ("capeff", "none"),
    ],
)
def test_each_descriptor(name: str, cell: object) -> None:
    assert shown(name) == cell


def test_capabilities_have_names() -> None:
    def with_bits(bits: int) -> Process:
        return replace(PROCESS, capabilities={**PROCESS.capabilities, "CapBnd": bits})

    assert shown("capbnd", with_bits(0b100001)) == "CHOWN,KILL"
    assert shown("capbnd", with_bits((1 << len(NAMES)) - 1)) == "full"


def test_a_start_is_a_moment_here() -> None:
    begun = time.strptime(str(shown("stime")).rsplit(" ", 2)[0], "%Y-%m-%d %H:%M:%S")
    assert abs(time.time() - PROCESS.elapsed - time.mktime(begun)) < 5


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ([], DEFAULT),
        (["pid", "user"], ("pid", "user")),
        (["pid,user", " args"], ("pid", "user", "args")),
        (["%p", "%C"], ("pid", "pcpu")),
    ],
)
def test_descriptors_are_asked_for_one_by_one_or_together(words: list[str], names: tuple[str, ...]) -> None:
    assert chosen(words) == names


def test_the_usual_ones_have_podmans_headings() -> None:
    assert headings(DEFAULT) == ["USER", "PID", "PPID", "%CPU", "ELAPSED", "TTY", "TIME", "COMMAND"]


def test_an_unknown_one_is_told_what_there_is() -> None:
    with pytest.raises(InvalidInput, match=r'cannot show "nix": there are args, capamb, .*, vsz$') as caught:
        chosen(["pid", "nix"])
    assert caught.value.hint == ""
    with pytest.raises(InvalidInput) as caught:
        chosen(["-eo", "pid"])
    assert "exec CONTAINER -- ps" in caught.value.hint


def test_every_code_means_a_descriptor_and_every_one_is_in_the_help() -> None:
    from reconciler.cli.top import pod_top, top

    assert set(CODES.values()) <= set(DESCRIPTORS)
    for command in (top, pod_top):
        assert set(DESCRIPTORS) <= set((command.help or "").split())
