"""From options to pods and containers, as run, create and pod create give them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from reconciler.cli.options import assemble
from reconciler.cli.options.assemble import member_from, new_pod, own_pod, pod_from, recreated, stay_out_of_sandbox
from reconciler.cli.options.values import MemberOptions, PodOptions, SandboxOptions
from reconciler.cli.options.world import World, here, text_of
from reconciler.model.errors import InvalidInput
from reconciler.model.key import Key
from reconciler.model.spec import (
    SHARED,
    ContainerSpec,
    Device,
    Dns,
    DnsPolicy,
    HostAlias,
    Mount,
    PodSpec,
    PortBinding,
    PullPolicy,
    Resources,
    RestartPolicy,
    SandboxSpec,
    Security,
    Volume,
    VolumeKind,
)

FILES = {"vars": "A=file\nB=2\n", "words": "tier=back\n"}
THERE = {"/srv", "/etc"}


def _read(path: str, option: str) -> str:
    return FILES[path]


def _no_ports(bindings: tuple[PortBinding, ...]) -> tuple[PortBinding, ...]:
    return tuple(sorted(b if b.host_port else replace(b, host_port=40000 + b.container_port) for b in bindings))


WORLD = World(
    {"HOME": "/root", "http_proxy": "http://p"}, "/srv", _read, THERE.__contains__, lambda: "f" * 64, _no_ports
)
QUIET = replace(WORLD, environment={})


def member(*command: str, world: World = QUIET, **wanted: Any) -> ContainerSpec:
    return member_from(MemberOptions(**wanted), "busybox", command, name="web", world=world)


def pod(wanted: PodOptions | None = None, **box: Any) -> PodSpec:
    return pod_from(wanted or PodOptions(), SandboxOptions(**box), name="web", world=QUIET)


def test_a_container_of_which_nothing_is_said() -> None:
    assert member() == ContainerSpec("web", "busybox")


def test_a_container_of_which_everything_is_said() -> None:
    found = member(
        "sh",
        "-c",
        "true",
        world=WORLD,
        env=("A=1", "HOME"),
        env_file=("vars",),
        entrypoint="/init",
        user="1000:1000",
        workdir="/data/",
        group_add=("5",),
        interactive=True,
        volume=("/srv:/data:ro", "logs:/logs", "/anonymous"),
        tmpfs=("/tmp",),
        mount=("type=bind,src=.,dst=/here",),
        device=("/dev/fuse",),
        memory="64m",
        cpus="0.5",
        pids_limit="10",
        ulimit=("nofile=10",),
        cap_add=("net_admin",),
        cap_drop=("ALL",),
        security_opt=("no-new-privileges",),
        pull="always",
        restart="on-failure:3",
        stop_signal="INT",
        stop_timeout="3",
        label=("app=shop",),
        label_file=("words",),
    )
    tmpfs = Volume("tmpfs:/tmp", VolumeKind.TMPFS)
    assert found == ContainerSpec(
        name="web",
        image="busybox",
        pull_policy=PullPolicy.ALWAYS,
        command=("/init",),
        args=("sh", "-c", "true"),
        working_dir="/data",
        env=(("A", "1"), ("B", "2"), ("HOME", "/root"), ("http_proxy", "http://p")),
        mounts=(
            Mount("/anonymous", Volume("f" * 64, VolumeKind.NAMED, anonymous=True)),
            Mount("/data", Volume("/srv", VolumeKind.HOST_PATH, "/srv"), read_only=True),
            Mount("/here", Volume("/srv", VolumeKind.HOST_PATH, "/srv")),
            Mount("/logs", Volume("logs", VolumeKind.NAMED)),
            Mount("/tmp", tmpfs, options=("nodev", "nosuid", "tmpcopyup")),
        ),
        resources=Resources(cpu_limit=500, memory_limit=64 << 20, pids_limit=10),
        security=Security(cap_add=("CAP_NET_ADMIN",), cap_drop=("ALL",), allow_privilege_escalation=False, groups=(5,)),
        stdin=True,
        stdin_once=True,
        labels=(("app", "shop"), ("tier", "back")),
        restart=RestartPolicy.ON_FAILURE,
        retries=3,
        grace=3,
        stop_signal="SIGINT",
        user="1000:1000",
        devices=(Device("/dev/fuse", "/dev/fuse"),),
        ulimits=(("nofile", "10:10"),),
    )


def test_proxies_are_handed_on_unless_told_otherwise_and_a_variable_wins() -> None:
    assert member(world=WORLD).env == (("http_proxy", "http://p"),)
    assert member(world=WORLD, http_proxy=False).env == ()
    assert member(world=WORLD, env=("http_proxy=",)).env == (("http_proxy", ""),)


def test_an_empty_entrypoint_is_none() -> None:
    assert (member("ls", entrypoint="").command, member("ls", entrypoint="").args) == ((), ("ls",))
    assert (member().command, member().args) == (None, None)


def test_a_terminal_has_no_end_of_input() -> None:
    found = member(interactive=True, tty=True)
    assert (found.stdin, found.stdin_once, found.tty) == (True, False, True)


def test_a_read_only_container_has_memory_where_programs_write() -> None:
    found = member(read_only=True, volume=("/srv:/tmp",))
    assert found.security.read_only_root
    assert [m.path for m in found.mounts] == ["/run", "/tmp", "/var/tmp"]
    assert [m.path for m in member(read_only=True, read_only_tmpfs=False).mounts] == []


def test_a_pods_mounts_are_its_members_and_their_own_win() -> None:
    shared = pod(PodOptions(volume=("/srv:/data", "/etc:/conf"))).mounts
    found = member_from(MemberOptions(volume=("/etc:/data",)), "busybox", (), name="web", world=QUIET, pods=shared)
    assert [(m.path, m.volume.host_path) for m in found.mounts] == [("/conf", "/etc"), ("/data", "/etc")]


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"volume": ("/nowhere:/x",)}, "cannot mount /nowhere at /x: it does not exist"),
        ({"volume": ("./gone:/x",)}, "cannot mount /srv/gone at /x: it does not exist"),
        ({"env": ("A=\udcff",)}, "cannot use '\\\\xff': it is not UTF-8 text"),
        ({"stop_timeout": "soon"}, "cannot use --stop-timeout 'soon'"),
        ({"memory": "5"}, "less than a page"),
    ],
)
def test_what_no_container_can_be_made_of(wanted: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        member(**wanted)
    assert says in refused.value.message


def test_a_container_alone_has_a_pod_of_its_name_that_ends_with_it() -> None:
    found = own_pod(member(), SandboxOptions(publish=("8080:80",)), QUIET)
    assert found == PodSpec(
        key=Key("default", "web"),
        sandbox=SandboxSpec(hostname="web", ports=(PortBinding(8080, 80),)),
        containers=(member(),),
        restart_policy=RestartPolicy.NEVER,
        grace_period=10,
        keep=True,
        stop_when_done=True,
    )


def test_a_new_pod_has_what_the_container_asked_of_its_surroundings() -> None:
    box = SandboxOptions(publish=("80",), hostname="h", network=("backend",), userns="auto", add_host=("db:10.0.0.5",))
    found = new_pod("shop", box, QUIET)
    assert found == PodSpec(
        key=Key("default", "shop"),
        sandbox=SandboxSpec(hostname="h", ports=(PortBinding(40080, 80),), network="backend", host_users=False),
        restart_policy=RestartPolicy.NEVER,
        grace_period=10,
        host_aliases=(HostAlias("10.0.0.5", ("db",)),),
        keep=True,
    )


def test_a_pod_of_which_everything_is_said() -> None:
    wanted = PodOptions(
        infra_image="pause:3",
        infra_command="/pause",
        infra_name="holder",
        share="+pid,cgroup",
        exit_policy="stop",
        restart="always",
        volume=("logs:/logs",),
        memory="1g",
        cpus="2",
        cpu_shares="512",
        label=("a=b",),
    )
    found = pod(
        wanted,
        ip="10.0.0.9",
        ip6="fd00::9",
        mac_address="92:d0:c6:0a:29:33",
        no_hosts=True,
        pid="private",
        sysctl=("net.core.somaxconn=9",),
        shm_size="1m",
        cgroup_parent="/mine/",
        dns=("9.9.9.9",),
    )
    assert found == PodSpec(
        key=Key("default", "web"),
        sandbox=SandboxSpec(
            hostname="web",
            share_pid=True,
            sysctls=(("net.core.somaxconn", "9"),),
            infra_image="pause:3",
            infra_command=("/pause",),
            infra_name="holder",
            cgroup_parent="/mine",
            shared=("cgroup", *SHARED),
            ip="10.0.0.9",
            ip6="fd00::9",
            mac="92:d0:c6:0a:29:33",
            no_hosts=True,
            shm_size=1 << 20,
        ),
        labels=(("a", "b"),),
        restart_policy=RestartPolicy.ALWAYS,
        grace_period=10,
        dns=Dns(DnsPolicy.NONE, ("9.9.9.9",)),
        keep=True,
        stop_when_done=True,
        limits=Resources(500, 2000, None, 1 << 30),
        mounts=(Mount("/logs", Volume("logs", VolumeKind.NAMED)),),
    )


def test_on_the_machines_network_the_machines_name_is_used() -> None:
    box = pod(network=("host",)).sandbox
    assert (box.host_network, box.hostname) == (True, "")


def test_a_name_that_is_long_is_cut_for_the_host_name() -> None:
    assert new_pod("a" * 70, SandboxOptions(), QUIET).sandbox.hostname == "a" * 63


@pytest.mark.parametrize("wanted", [PodOptions(infra=False), PodOptions(share="none"), PodOptions(share="")])
def test_a_pod_that_shares_nothing_has_no_infra_container(wanted: PodOptions) -> None:
    assert (pod(wanted).sandbox.infra, pod(wanted).sandbox.shared) == (False, ())


def test_unless_one_is_asked_for() -> None:
    box = pod(PodOptions(share="none", infra=True)).sandbox
    assert (box.infra, box.shared) == (True, ())


@pytest.mark.parametrize(
    ("wanted", "box", "says"),
    [
        ({"infra": False}, {"publish": ("80:80",)}, "cannot use -p 80:80: a pod without infra container"),
        ({"infra": False}, {"no_hosts": True}, "cannot use --no-hosts: a pod without infra container"),
        ({"infra": False, "share": "net"}, {}, "cannot use --share net: a pod without infra container"),
        ({"share": "none", "infra_name": "x"}, {}, "cannot use --infra-name x: a pod without infra container"),
        ({"share": "ipc"}, {"publish": ("80:80",)}, "cannot publish 80/tcp->80: the pod's members share no network"),
        ({"restart": "on-failure:3"}, {}, "how often is said of each container"),
        ({"exit_policy": "halt"}, {}, "there is no such policy"),
        ({}, {"network": ("host",), "publish": ("80:80",)}, "with --network host: the pod's ports are the machine's"),
        ({}, {"network": ("none",), "publish": ("80:80",)}, "with --network none: nothing gets there"),
        ({}, {"network": ("none",), "dns": ("9.9.9.9",)}, "with --network none: nobody can be asked"),
        ({}, {"network": ("host",), "hostname": "x"}, "cannot use --hostname with --network host"),
        ({}, {"network": ("host",), "userns": "auto"}, "cannot use --userns auto with --network host"),
        ({}, {"pid": "host", "userns": "auto"}, "cannot use --userns auto with --pid host"),
        ({}, {"network": ("host",), "sysctl": ("net.core.somaxconn=1",)}, "with --network host: it would be set for"),
        ({}, {"ipc": "host", "sysctl": ("kernel.shmmax=1",)}, "with --ipc host: it would be set for"),
        ({}, {"ipc": "host", "shm_size": "1m"}, "cannot use --shm-size with --ipc host"),
        ({}, {"no_hosts": True, "add_host": ("a:10.0.0.1",)}, "cannot use --add-host with --no-hosts"),
        ({}, {"cgroup_parent": "/a/../b"}, "must not contain .."),
    ],
)
def test_what_no_pod_can_be_made_of(wanted: dict[str, Any], box: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        pod(PodOptions(**wanted), **box)
    assert says in refused.value.message
    assert "\n" not in refused.value.message


def test_ports_in_an_existing_pod_are_refused_with_the_command_that_gives_them() -> None:
    with pytest.raises(InvalidInput) as refused:
        stay_out_of_sandbox(SandboxOptions(publish=("8080:80",)), "web")
    assert refused.value.message == (
        "cannot publish 8080:80 in pod web: ports belong to its infra container and were fixed at creation"
    )
    assert refused.value.hint.endswith(": reconciler pod recreate web -p 8080:80")


@pytest.mark.parametrize(
    ("box", "words"),
    [
        (SandboxOptions(hostname="x"), "--hostname x"),
        (SandboxOptions(network=("host",)), "--network host"),
        (SandboxOptions(no_hosts=True), "--no-hosts"),
        (SandboxOptions(sysctl=("kernel.sem=1 2 3 4",)), "--sysctl 'kernel.sem=1 2 3 4'"),
    ],
)
def test_so_is_all_that_the_infra_container_holds(box: SandboxOptions, words: str) -> None:
    with pytest.raises(InvalidInput, match="belongs to its infra container and was fixed at creation") as refused:
        stay_out_of_sandbox(box, "web")
    assert refused.value.hint.endswith(f"reconciler pod recreate web {words}")


def test_what_is_not_said_may_join_any_pod() -> None:
    stay_out_of_sandbox(SandboxOptions(), "web")


BEFORE = pod(publish=("8080:80",), hostname="h", dns_search=("example.org",))


@pytest.mark.parametrize(
    ("box", "changed"),
    [
        pytest.param(SandboxOptions(), {}, id="nothing"),
        pytest.param(
            SandboxOptions(publish=("81:81",)),
            {"ports": (PortBinding(81, 81), PortBinding(8080, 80))},
            id="a port more",
        ),
        pytest.param(SandboxOptions(hostname="x"), {"hostname": "x"}, id="another name"),
        pytest.param(SandboxOptions(network=("backend",)), {"network": "backend"}, id="another network"),
        pytest.param(SandboxOptions(shm_size="0"), {"shm_size": 0}, id="another size"),
    ],
)
def test_a_pod_is_made_again_with_what_is_said_and_all_else_as_it_was(
    box: SandboxOptions, changed: dict[str, Any]
) -> None:
    assert recreated(BEFORE, box, QUIET) == replace(BEFORE, sandbox=replace(BEFORE.sandbox, **changed))


def test_made_again_its_files_of_etc_follow_too() -> None:
    found = recreated(BEFORE, SandboxOptions(dns=("9.9.9.9",), add_host=("a:10.0.0.1",)), QUIET)
    assert (found.dns, found.host_aliases) == (Dns(DnsPolicy.NONE, ("9.9.9.9",)), (HostAlias("10.0.0.1", ("a",)),))


def test_made_again_on_the_machines_network_and_back() -> None:
    there = recreated(pod(), SandboxOptions(network=("host",)), QUIET)
    assert (there.sandbox.host_network, there.sandbox.hostname) == (True, "")
    assert recreated(there, SandboxOptions(network=("bridge",)), QUIET) == pod()


def test_made_again_it_must_not_contradict_itself() -> None:
    with pytest.raises(InvalidInput, match="with --network host: the pod's ports"):
        recreated(BEFORE, SandboxOptions(network=("host",)), QUIET)
    with pytest.raises(InvalidInput, match="that is one host port"):
        recreated(BEFORE, SandboxOptions(publish=("8080:81",)), QUIET)


def test_every_option_of_the_sandbox_is_seen_when_it_is_given_and_known_when_a_pod_is_made_again() -> None:
    given = {option for option, _ in assemble.given(SandboxOptions(**dict.fromkeys(SandboxOptions.__slots__, ("x",))))}
    assert len(given) == len(SandboxOptions.__slots__)
    assert given - assemble._FIELDS.keys() == {"--dns", "--dns-option", "--dns-search", "--add-host"}


# --- the world -------------------------------------------------------------------------------------------------


def test_here_is_where_we_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vars").write_text("A=1\n")
    world = here(SimpleNamespace(reserve_ports=lambda bindings: bindings))
    assert world.free_ports((PortBinding(8080, 80),)) == (PortBinding(8080, 80),)
    assert (world.directory, world.exists("vars"), world.exists("gone")) == (str(tmp_path), True, False)
    assert world.read("vars", "--env-file") == "A=1\n"
    assert world.environment is os.environ
    assert len({world.new_name(), world.new_name()}) == 2


def test_files_that_cannot_be_read_are_told_with_their_option(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name, says in (("gone", "No such file or directory"), (".", "Is a directory"), ("binary", "not UTF-8 text")):
        with pytest.raises(InvalidInput) as refused:
            text_of(f"{tmp_path}/{name}", "--env-file")
        assert refused.value.message.startswith(f"cannot read --env-file {tmp_path}/{name}: ")
        assert says in refused.value.message
