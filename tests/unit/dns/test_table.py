"""The name server's configuration files, as netavark writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.engine.dns import redirect, server, table
from reconciler.engine.dns.table import Entry
from reconciler.model.errors import TryLater
from reconciler.model.key import Key

HEAD = "10.101.0.1,fd00::1"
WEB = Entry(Key("default", "web"), ("10.101.0.2", "fd00::2"), ("web.default.svc", "web.default"))
API = Entry(Key("default", "api"), ("10.101.0.3",), ("api.default.svc",))
OTHER = Entry(Key("other", "web"), ("fd00::4",), ("web.other.svc",))

FILE = """\
10.101.0.1,fd00::1
default/api 10.101.0.3  api.default.svc
default/web 10.101.0.2 fd00::2 web.default.svc,web.default
other/web  fd00::4 web.other.svc
"""


def test_a_line_for_each_pod_with_what_it_has_of_each_family() -> None:
    assert table.make(HEAD, [OTHER, WEB, API]) == FILE


def test_the_same_comes_of_pods_one_by_one() -> None:
    text = f"{HEAD}\n"
    for entry in (WEB, OTHER, API):
        text = table.with_entry(text, HEAD, entry)
    assert text == FILE
    assert table.with_entry(text, HEAD, WEB) == FILE


def test_a_pod_that_moved_is_there_once() -> None:
    moved = Entry(WEB.key, ("10.101.0.9",), WEB.names)
    after = table.with_entry(FILE, HEAD, moved)
    assert "default/web 10.101.0.9  web.default.svc,web.default\n" in after
    assert after.count("default/web ") == 1
    assert table.keys(after) == {"default/web", "default/api", "other/web"}


def test_a_pod_that_went_takes_its_line_along_and_no_other() -> None:
    after = table.without(FILE, Key("default", "web"))
    assert table.keys(after) == {"default/api", "other/web"}
    assert table.without(after, Key("default", "we")) == after
    assert table.without("", WEB.key) == ""


@pytest.mark.parametrize(
    ("listen", "servers", "line"),
    [
        (["10.101.0.1"], [], "10.101.0.1"),
        (["10.101.0.1", "fd00::1"], ["192.0.2.1", "192.0.2.2"], "10.101.0.1,fd00::1 192.0.2.1,192.0.2.2"),
    ],
)
def test_the_first_line_says_where_it_listens_and_whom_it_asks(
    listen: list[str], servers: list[str], line: str
) -> None:
    assert table.head(listen, servers) == line
    assert table.listens_at(f"{line}\nx 10.0.0.1  y\n") == tuple(listen)
    assert table.listens_at("") == ()


def test_nothing_half_written_is_ever_in_the_directory(tmp_path: Path) -> None:
    """The server reads whatever lies there."""
    directory = tmp_path / "networks"
    directory.mkdir()
    table.write(directory / "rc-abcd", FILE)
    table.write(directory / "rc-abcd", FILE + "\n")
    assert [path.name for path in directory.iterdir()] == ["rc-abcd"]
    assert [path.name for path in tmp_path.iterdir()] == ["networks"]
    table.write(directory / "rc-abcd", "")
    assert list(directory.iterdir()) == []
    assert table.read(directory / "rc-abcd") == ""


def test_a_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(TryLater, match=r"cannot write .*rc-abcd: No such file"):
        table.write(tmp_path / "none" / "rc-abcd", FILE)


def test_a_pid_file_is_not_believed_alone(tmp_path: Path) -> None:
    """It may be stale, and name a process that is somebody else's by now: this test's own parent, here."""
    import os

    assert server.find(tmp_path) is None
    (tmp_path / table.PID_FILE).write_text(str(os.getpid()))
    assert server.find(tmp_path) is None
    (tmp_path / table.PID_FILE).write_text("")
    assert server.find(tmp_path) is None
    assert list(server.all_of(tmp_path)) == []


def test_port_53_is_led_on_for_both_families_and_protocols() -> None:
    rules = list(redirect.rules(["10.101.0.1", "fd00::1"], 1053))
    for chain in ("prerouting", "output"):
        here = [rule for where, rule in rules if where == chain]
        assert sum("dnat ip to 10.101.0.1:1053" in rule for rule in here) == 2
        assert sum("dnat ip6 to [fd00::1]:1053" in rule for rule in here) == 2
        assert sum("udp dport 53" in rule for rule in here) == sum("tcp dport 53" in rule for rule in here) == 2


def test_port_53_is_led_nowhere_where_the_server_has_it() -> None:
    assert list(redirect.rules(["10.101.0.1"], 53)) == []


def test_what_a_killed_writer_left_beside_is_written_over(tmp_path: Path) -> None:
    directory = tmp_path / "networks"
    directory.mkdir()
    (tmp_path / "networks.new").write_text("half")
    table.write(directory / "rc-abcd", "whole\n")
    assert [path.name for path in tmp_path.iterdir()] == ["networks"]
    assert (directory / "rc-abcd").read_text() == "whole\n"
