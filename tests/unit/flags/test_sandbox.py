"""Networks, shared namespaces, names and sysctls of a pod."""

from __future__ import annotations

import pytest

from reconciler.flags import sandbox
from reconciler.flags.sandbox import Network, Share
from reconciler.model.errors import InvalidInput
from reconciler.model.spec import SHARED, Dns, DnsPolicy, HostAlias


@pytest.mark.parametrize(
    ("modes", "found"),
    [
        ([], Network()),
        (["bridge"], Network()),
        (["private"], Network()),
        (["default"], Network()),
        (["backend"], Network("backend")),
        (["host"], Network(host=True)),
        (["none"], Network("none")),
        (["bridge:ip=10.88.0.10,mac=44-33-22-11-00-99"], Network("", False, "10.88.0.10", "", "44:33:22:11:00:99")),
        (["backend:ip6=FD00::0:9"], Network("backend", ip6="fd00::9")),
    ],
)
def test_network(modes: list[str], found: Network) -> None:
    assert sandbox.network(modes) == found


def test_addresses_by_options_of_their_own() -> None:
    found = sandbox.network(["backend"], "10.0.0.5", "fd00::5", "92:D0:C6:0A:29:33")
    assert found == Network("backend", False, "10.0.0.5", "fd00::5", "92:d0:c6:0a:29:33")


@pytest.mark.parametrize(
    ("modes", "addresses", "says"),
    [
        (["a", "b"], (), "a pod is in one network"),
        (["a,b"], (), "a pod is in one network"),
        (["container:x"], (), "as a member of their pod"),
        (["ns:/run/netns/x"], (), "are not joined"),
        (["slirp4netns"], (), "containers without root"),
        (["pasta:-T,5201"], (), "containers without root"),
        (["-x"], (), "must be letters, digits"),
        (["host:ip=10.0.0.1"], (), "host takes no options"),
        (["a:alias=x"], (), "there is no option 'alias' of networks"),
        (["a:ip=x"], (), "'x' is not an IP address"),
        (["a:ip=10.0.0.1"], ("10.0.0.2",), "another address of this kind is given"),
        ([], ("fd00::1",), "cannot use --ip 'fd00::1': that is an IPv6 address"),
        ([], (None, "10.0.0.1"), "cannot use --ip6 '10.0.0.1': that is an IPv4 address"),
        ([], (None, "fe80::1%eth0"), "no address for a pod"),
        ([], ("127.0.0.1",), "no address for a pod"),
        ([], ("224.0.0.1",), "no address for a pod"),
        ([], (None, None, "x"), "'x' is not a hardware address"),
        ([], (None, None, "33:33:00:00:00:01"), "a group's address"),
        (["host"], ("10.0.0.1",), "with --network host it has no network of its own"),
        (["none"], (None, None, "92:d0:c6:0a:29:33"), "with --network none"),
    ],
)
def test_no_network(modes: list[str], addresses: tuple[str | None, ...], says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        sandbox.network(modes, *addresses)
    assert says in refused.value.message


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, Share(SHARED)),
        ("none", Share((), infra=False)),
        ("", Share((), infra=False)),
        ("net", Share(("net",))),
        ("pid,net", Share(("net",), pid=True)),
        ("cgroup,ipc,net,uts", Share(("cgroup", "ipc", "net", "uts"))),
        ("+pid", Share(SHARED, pid=True)),
        ("+cgroup,pid", Share(("cgroup", *SHARED), pid=True)),
        ("pid", Share((), pid=True)),
    ],
)
def test_share(text: str | None, found: Share) -> None:
    assert sandbox.share(text) == found


@pytest.mark.parametrize(
    ("text", "says"),
    [("nte", "did you mean net?"), ("user", "members always have the pod's users"), ("net,", "no namespace ''")],
)
def test_no_share(text: str, says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        sandbox.share(text)
    assert says in refused.value.message


def test_users() -> None:
    assert [sandbox.host_users(text) for text in (None, "", "host", "auto")] == [True, True, True, False]
    for text, says in (("auto:size=100", "65536 ids"), ("keep-id", "without root"), ("atuo", "did you mean auto?")):
        with pytest.raises(InvalidInput) as refused:
            sandbox.host_users(text)
        assert says in refused.value.message


def test_namespaces_of_the_machine() -> None:
    assert [sandbox.is_host(text, "--pid") for text in (None, "private", "host")] == [False, False, True]
    with pytest.raises(InvalidInput, match="cannot use --pid 'container:x'"):
        sandbox.is_host("container:x", "--pid")


def test_hostname() -> None:
    assert [sandbox.hostname(text) for text in (None, "web", "Web_1.example.org")] == ["", "web", "Web_1.example.org"]
    for text in ("-a", "a-", "a b", "ä", "a" * 64, "a/b"):
        with pytest.raises(InvalidInput, match="cannot use --hostname"):
            sandbox.hostname(text)


def test_sysctls() -> None:
    assert sandbox.sysctls(["net/core/somaxconn=1", "net.core.somaxconn=2", "kernel.shmmax=3"]) == (
        ("kernel.shmmax", "3"),
        ("net.core.somaxconn", "2"),
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("net.x", "it is not a sysctl"),
        ("=1", "it is not a sysctl"),
        ("NET.x=1", "it is not a sysctl"),
        ("vm.swappiness=1", "for the whole machine"),
    ],
)
def test_no_sysctls(text: str, says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        sandbox.sysctls([text])
    assert says in refused.value.message


def test_dns() -> None:
    assert sandbox.dns([]) == Dns()
    assert sandbox.dns(["9.9.9.9", "FD00::53", "9.9.9.9"]) == Dns(DnsPolicy.NONE, ("9.9.9.9", "fd00::53"))
    found = sandbox.dns([], ["ndots:2"], ["example.org.", "example.org"])
    assert found == Dns(searches=("example.org",), options=("ndots:2",))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ((["resolver"],), "cannot use --dns 'resolver': it is not an IP address"),
        ((["none"],), "the image's resolv.conf is not used"),
        ((["1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4"],), "programs ask 3 at most"),
        (([], ["a b"]), "cannot use --dns-option 'a b'"),
        (([], [], ["."]), "cannot use --dns-search '.'"),
        (([], [], ["a b"]), "it is not a domain"),
        (([], [], [f"d{n}" for n in range(33)]), "32 at most"),
    ],
)
def test_no_dns(values: tuple[list[str], ...], says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        sandbox.dns(*values)
    assert says in refused.value.message


def test_hosts() -> None:
    assert sandbox.aliases(["db:10.0.0.5", "a;b.c:[fd00::5]", "x:fd00::6", "db:10.0.0.5"]) == (
        HostAlias("10.0.0.5", ("db",)),
        HostAlias("fd00::5", ("a", "b.c")),
        HostAlias("fd00::6", ("x",)),
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("db", "it is not NAME:IP"),
        (":10.0.0.5", "it is not NAME:IP"),
        ("a;;b:10.0.0.5", "it is not NAME:IP"),
        ("a b:10.0.0.5", "it is not NAME:IP"),
        ("db:ten", "'ten' is not an IP address"),
        ("db:host-gateway", "host-gateway is not supported"),
    ],
)
def test_no_hosts(text: str, says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        sandbox.aliases([text])
    assert says in refused.value.message
