"""Reading /proc for whose socket it is."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.engine.network import ports
from reconciler.engine.network.sockets import Line, Owners, in_the_way, parse
from reconciler.model.errors import InvalidInput, TryLater
from reconciler.model.spec import PortBinding, Protocol
from tests.fakes.linux import RecordingKernel

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def row(address: str, state: str, inode: int) -> str:
    idle = "00000000:00000000 00:00000000 00000000"
    return f"   0: {address} 00000000:0000 {state} {idle}     0        0 {inode} 1 0 100 0\n"


@pytest.mark.parametrize(
    ("address", "ip", "port"),
    [
        pytest.param("0100007F:1F90", "127.0.0.1", 8080, id="an IPv4 address is in host byte order"),
        pytest.param("00000000:0050", "0.0.0.0", 80, id="every IPv4 address"),
        pytest.param("0" * 32 + ":0050", "::", 80, id="every address"),
        pytest.param("0000000000000000FFFF00000100007F:0050", "127.0.0.1", 80, id="a mapped IPv4 address"),
        pytest.param("00000000000000000000000001000000:0050", "::1", 80, id="an IPv6 address"),
    ],
)
@pytest.mark.skipif(sys.byteorder != "little", reason="the table was taken from such a machine")
def test_a_line_of_proc_net_is_read(address: str, ip: str, port: int) -> None:
    assert list(parse(HEAD + row(address, "0A", 4711))) == [Line(ip, port, 0x0A, 4711)]


def test_a_line_that_is_cut_short_is_passed_over() -> None:
    assert list(parse(HEAD + "   0: 0100007F:1F90\n")) == []


@pytest.mark.parametrize(
    ("held", "wanted", "conflict"),
    [
        ("", "", True),
        ("", "127.0.0.1", True),
        ("127.0.0.1", "", True),
        ("127.0.0.1", "0.0.0.0", True),
        ("::", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("::1", "127.0.0.1", False),
        ("0.0.0.0", "::1", False),
        ("::", "fd00::1", True),
    ],
)
def test_addresses_that_stand_in_each_others_way(held: str, wanted: str, conflict: bool) -> None:
    assert in_the_way(held, wanted) is conflict


@pytest.fixture
def proc(tmp_path: Path) -> Iterator[Path]:
    net = tmp_path / "thread-self/net"
    net.mkdir(parents=True)
    (net / "tcp").write_text(HEAD + row("0100007F:1F90", "01", 1001) + row("00000000:1F90", "0A", 1002))
    (net / "udp").write_text(HEAD + row("0100007F:0035", "07", 1003))
    for pid, fd, target in ((41, 3, 1001), (42, 7, 1002), (43, 5, 1003)):
        directory = tmp_path / str(pid) / "fd"
        directory.mkdir(parents=True)
        (directory / str(fd)).symlink_to(f"socket:[{target}]")
        (directory / "0").symlink_to("/dev/null")
    (tmp_path / "not-a-pid").mkdir()
    yield tmp_path


def test_the_listener_is_named_before_a_connection(proc: Path) -> None:
    assert Owners(proc, RecordingKernel()).of(PortBinding(8080, 80)) == 42


def test_protocols_are_not_mixed_up(proc: Path) -> None:
    owners = Owners(proc, RecordingKernel())
    assert owners.of(PortBinding(53, 53, Protocol.UDP)) == 43
    assert owners.of(PortBinding(53, 53, Protocol.TCP)) == 0


def test_another_address_is_nobodys_business(proc: Path) -> None:
    assert Owners(proc, RecordingKernel()).of(PortBinding(53, 53, Protocol.UDP, "10.0.0.1")) == 0


def test_only_sockets_in_no_list_are_asked_for_their_address(proc: Path) -> None:
    """A kernel that refuses is no error: the holder stays unknown."""
    fd = proc / str(os.getpid()) / "fd"
    fd.mkdir(parents=True)
    (fd / "9").symlink_to("socket:[2001]")
    kernel = RecordingKernel(refuse={"pidfd_getfd": errno.EPERM})
    assert Owners(proc, kernel).of(PortBinding(9999, 80)) == 0
    assert [call[2] for call in kernel.calls] == [9]


def test_our_own_socket_that_does_not_listen_is_found() -> None:
    with socket.socket() as mine:
        mine.bind(("127.0.0.1", 0))
        port = mine.getsockname()[1]
        (holder,) = ports.holders([PortBinding(port, 80)])
        assert (holder.pid, holder.binding.host_port) == (os.getpid(), port)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_too_many_open_files_pass(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others close theirs: nothing has to be edited."""

    def full(_binding: PortBinding, _ipv6: bool) -> socket.socket:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(ports, "_bound", full)
    with pytest.raises(TryLater, match=r"cannot publish port 8080/tcp: Too many open files") as refused:
        ports.hold([PortBinding(8080, 80)])
    assert refused.value.hint == "raise the limit of open files"


def test_held_ports_leave_the_low_numbers_to_others() -> None:
    """select(2), by which libnftables waits, knows none above 1023; and the soft limit is no obstacle."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1024), hard))
    held = ports.hold([PortBinding(port, 80, host_ip="127.0.0.1") for port in range(31500, 31520)])
    try:
        assert min(one.fileno() for one in held) >= 1024
        assert [one.getsockname()[1] for one in held] == list(range(31500, 31520))
        assert not any(os.get_inheritable(one.fileno()) for one in held)
    finally:
        for one in held:
            one.close()


def test_who_gives_way_is_no_holder() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mine:
        mine.bind(("127.0.0.1", 0))
        wanted = [PortBinding(mine.getsockname()[1], 53, Protocol.UDP)]
        assert ports.holders(wanted, gives_way=os.getpid) == ()
        (holder,) = ports.holders(wanted, gives_way=lambda: 1)
        assert holder.pid == os.getpid()


def stolen(port: int) -> bool:
    """Whether anybody else may bind it, in either family and by whatever option."""
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        for option in (None, socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            with socket.socket(family) as thief:
                if option:
                    thief.setsockopt(socket.SOL_SOCKET, option, 1)
                with contextlib.suppress(OSError):
                    thief.bind((address, port))
                    return True
    return False


def test_a_port_that_was_found_free_is_ours_from_then_on() -> None:
    named = PortBinding(8080, 79)
    found = {p.container_port: p for p in ports.reserve([named, PortBinding(0, 80), PortBinding(0, 81)])}
    one, other = found[80], found[81]
    assert (found[79], one.host_port == other.host_port) == (named, False)
    assert not stolen(one.host_port)
    assert ports.holders([one, other]) == (), "we ourselves stand in nobody's way"
    held = ports.hold([one, other])
    assert not stolen(one.host_port)
    assert [holder.pid for holder in ports.holders([one])] == [os.getpid()]
    for socket_ in held:
        socket_.close()
    assert stolen(one.host_port)


def test_an_address_of_another_machine_has_no_free_port() -> None:
    with pytest.raises(InvalidInput, match=r"cannot publish port 80/tcp on 192\.0\.2\.1: "):
        ports.reserve([PortBinding(0, 80, Protocol.TCP, "192.0.2.1")])
