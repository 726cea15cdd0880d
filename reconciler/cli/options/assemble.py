"""From options to pods and containers: ``member_from`` makes a container, and the others the pod that it is in.

- ``run`` alone: ``own_pod``, a pod of its own, which has the container's name and ends with it.
- ``run --pod new:NAME``: ``new_pod``; ports, host name, network and users go to that pod.
- ``run --pod NAME``: ``stay_out_of_sandbox`` says what was fixed when the pod was made.
- ``pod create``: ``pod_from``; ``pod recreate``: ``recreated``.

Everything raises InvalidInput, one line each. Nothing is written anywhere.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace

from reconciler.cli.options.consistency import consistent, require_text
from reconciler.cli.options.values import MemberOptions, PodOptions, SandboxOptions
from reconciler.cli.options.world import World
from reconciler.flags import amounts, env, labels, life, mounts, names, ports, rights, sandbox
from reconciler.flags.mounts import Surroundings
from reconciler.flags.rights import Rights
from reconciler.model.errors import InvalidInput
from reconciler.model.key import Key
from reconciler.model.spec import (
    ContainerSpec,
    Dns,
    Mount,
    Pairs,
    PodSpec,
    PortBinding,
    RestartPolicy,
    SandboxSpec,
    VolumeKind,
)
from reconciler.model.words import clean_path, default_hostname

NAMESPACE = "default"
GRACE_SECONDS = 10
"""Podman's; a manifest's pod has 30."""


def member_from(
    wanted: MemberOptions,
    image: str,
    command: Sequence[str],
    *,
    name: str,
    world: World,
    pods: tuple[Mount, ...] = (),
) -> ContainerSpec:
    """The container that the options describe. ``pods``: what its pod gives to every member (PodSpec.mounts).

    Its restart policy is None where none was asked for: then it is its pod's.
    """
    policy, retries = life.restart(wanted.restart)
    found = ContainerSpec(
        name=names.checked(name, "the container"),
        image=image,
        pull_policy=life.pull(wanted.pull),
        command=life.command(wanted.entrypoint),
        args=tuple(command) or None,
        working_dir=life.working_directory(wanted.workdir),
        env=_variables(wanted, world),
        mounts=_mounts(wanted, world, pods),
        resources=amounts.resources(
            wanted.memory, wanted.memory_reservation, wanted.cpus, wanted.cpu_shares, wanted.pids_limit
        ),
        security=rights.security(_rights(wanted), world.directory),
        stdin=wanted.interactive,
        stdin_once=wanted.interactive and not wanted.tty,
        tty=wanted.tty,
        labels=_labels(wanted, world),
        restart=policy,
        retries=retries,
        grace=amounts.seconds(wanted.stop_timeout, "--stop-timeout") if wanted.stop_timeout else None,
        stop_signal=life.stop_signal(wanted.stop_signal),
        user=life.user(wanted.user),
        devices=rights.devices(wanted.device),
        ulimits=rights.ulimits(wanted.ulimit),
    )
    require_text(found)
    return found


def own_pod(member: ContainerSpec, box: SandboxOptions, world: World) -> PodSpec:
    """The pod of a container that is in none: it ends with it."""
    return replace(new_pod(member.name, box, world), containers=(member,), stop_when_done=True)


def new_pod(name: str, box: SandboxOptions, world: World) -> PodSpec:
    """The pod of ``--pod new:NAME``, without members yet."""
    return pod_from(PodOptions(), box, name=name, world=world)


def pod_from(wanted: PodOptions, box: SandboxOptions, *, name: str, world: World) -> PodSpec:
    """The pod that the options of pod create describe, without members."""
    policy, retries = life.restart(wanted.restart)
    if retries:
        why = "how often is said of each container"
        raise InvalidInput(f"cannot use --restart {wanted.restart!r} for a pod: {why}", hint="use --restart on-failure")
    spec = PodSpec(
        key=Key(NAMESPACE, names.checked(name, "the pod")),
        sandbox=_shared(_sandbox(box, name, world), wanted),
        labels=_labels(wanted, world),
        restart_policy=policy or RestartPolicy.NEVER,
        grace_period=GRACE_SECONDS,
        dns=_dns(box),
        host_aliases=sandbox.aliases(box.add_host),
        keep=True,
        stop_when_done=life.stops_when_done(wanted.exit_policy),
        limits=amounts.resources(wanted.memory, cpu=wanted.cpus, shares=wanted.cpu_shares),
        mounts=_existing(mounts.mounts(wanted.volume, here=_surroundings(world)), world),
    )
    if not spec.sandbox.infra:
        _require_nothing_for_infra(wanted, box)
    return consistent(spec)


def stay_out_of_sandbox(box: SandboxOptions, pod: str) -> None:
    """Refuse what only the infra container of an existing pod could have, and say how it comes to have it."""
    for option, value in given(box):
        again = f"reconciler pod recreate {pod} {option}{f' {shlex.quote(value)}' if value else ''}"
        if option == "-p":
            raise InvalidInput(
                f"cannot publish {value} in pod {pod}: ports belong to its infra container and were fixed at creation",
                hint=f"make the pod again with it, members and volumes included: {again}",
            )
        raise InvalidInput(
            f"cannot use {option}{' ' if value else ''}{value} in pod {pod}: "
            "that belongs to its infra container and was fixed at creation",
            hint=f"make the pod again with it, members and volumes included: {again}",
        )


def recreated(spec: PodSpec, box: SandboxOptions, world: World) -> PodSpec:
    """An existing pod as it is to be made again: ``-p`` adds ports, everything else that is given replaces what was."""
    words = {option for option, _ in given(box)}
    new, old = _sandbox(box, spec.key.name, world, published=spec.sandbox.ports), spec.sandbox
    own = replace(old, **{field: getattr(new, field) for word in words for field in _FIELDS.get(word, ())})
    called = own.hostname if "--hostname" in words or not own.host_network else ""
    own = replace(own, hostname=called if called or own.host_network else default_hostname(spec.key.name))
    found = replace(spec, sandbox=own)
    if words & {"--dns", "--dns-option", "--dns-search"}:
        found = replace(found, dns=_dns(box))
    if "--add-host" in words:
        found = replace(found, host_aliases=sandbox.aliases(box.add_host))
    return consistent(found)


_FIELDS = {
    "-p": ("ports",),
    "--network": ("network", "host_network", "ip", "ip6", "mac"),
    "--ip": ("ip",),
    "--ip6": ("ip6",),
    "--mac-address": ("mac",),
    "--hostname": ("hostname",),
    "--no-hosts": ("no_hosts",),
    "--pid": ("host_pid",),
    "--ipc": ("host_ipc",),
    "--userns": ("host_users",),
    "--sysctl": ("sysctls",),
    "--shm-size": ("shm_size",),
    "--cgroup-parent": ("cgroup_parent",),
}
"""What of the sandbox an option says."""


def given(box: SandboxOptions) -> Iterator[tuple[str, str]]:
    """The options that are not as by default, with each of their values ("" for a switch)."""
    for field in fields(box):
        value = getattr(box, field.name)
        option = "-p" if field.name == "publish" else f"--{field.name.replace('_', '-')}"
        if value is True:
            yield option, ""
        elif isinstance(value, tuple):
            yield from ((option, each) for each in value)
        elif value is not None and value is not False:
            yield option, value


# --- of a container --------------------------------------------------------------------------------------------


def _variables(wanted: MemberOptions, world: World) -> Pairs:
    files = ((path, world.read(path, "--env-file")) for path in wanted.env_file)
    proxies = env.proxies(world.environment) if wanted.http_proxy else {}
    return tuple(sorted((proxies | env.variables(wanted.env, files, world.environment)).items()))


def _labels(wanted: MemberOptions | PodOptions, world: World) -> Pairs:
    return labels.labels(wanted.label, ((path, world.read(path, "--label-file")) for path in wanted.label_file))


def _rights(wanted: MemberOptions) -> Rights:
    return Rights(
        wanted.cap_add,
        wanted.cap_drop,
        wanted.privileged,
        wanted.read_only,
        wanted.security_opt,
        wanted.group_add,
    )


def _mounts(wanted: MemberOptions, world: World, pods: tuple[Mount, ...]) -> tuple[Mount, ...]:
    own = mounts.mounts(wanted.volume, wanted.tmpfs, wanted.mount, here=_surroundings(world))
    found = mounts.merged(_existing(own, world), pods)
    return mounts.with_read_only_tmpfs(found) if wanted.read_only and wanted.read_only_tmpfs else found


def _existing(found: tuple[Mount, ...], world: World) -> tuple[Mount, ...]:
    """Podman makes nothing where a path of the host is not there, and neither do we."""
    for mount in found:
        path = mount.volume.host_path
        if mount.volume.kind is VolumeKind.HOST_PATH and not world.exists(path):
            raise InvalidInput(f"cannot mount {path} at {mount.path}: it does not exist", hint=f"mkdir -p {path}")
    return found


def _surroundings(world: World) -> Surroundings:
    return Surroundings(world.directory, world.new_name)


# --- of a pod --------------------------------------------------------------------------------------------------


def _sandbox(box: SandboxOptions, name: str, world: World, published: tuple[PortBinding, ...] = ()) -> SandboxSpec:
    """``published``: ports that are there already."""
    network = sandbox.network(box.network, box.ip, box.ip6, box.mac_address)
    called = sandbox.hostname(box.hostname)
    return SandboxSpec(
        hostname=called or ("" if network.host else default_hostname(name)),
        ports=world.free_ports(ports.together(published, ports.bindings(box.publish))),
        host_network=network.host,
        host_pid=sandbox.is_host(box.pid, "--pid"),
        host_ipc=sandbox.is_host(box.ipc, "--ipc"),
        network=network.name,
        sysctls=sandbox.sysctls(box.sysctl),
        host_users=sandbox.host_users(box.userns),
        cgroup_parent=_cgroup_parent(box.cgroup_parent),
        ip=network.ip,
        ip6=network.ip6,
        mac=network.mac,
        no_hosts=box.no_hosts,
        shm_size=amounts.size(box.shm_size, "--shm-size") if box.shm_size else None,
    )


def _cgroup_parent(text: str | None) -> str:
    if text and ".." in text.split("/"):
        raise InvalidInput(f"cannot use --cgroup-parent {text!r}: it must not contain ..")
    return clean_path(text) if text else ""


def _shared(box: SandboxSpec, wanted: PodOptions) -> SandboxSpec:
    """The sandbox with what members have in common, and with the infra container that holds it."""
    share = sandbox.share(wanted.share)
    infra = share.infra if wanted.infra is None else wanted.infra
    if not infra:
        return replace(box, infra=False, shared=())
    return replace(
        box,
        share_pid=share.pid,
        shared=share.shared,
        infra_image=wanted.infra_image or "",
        infra_command=life.command(wanted.infra_command, "--infra-command") or (),
        infra_name=names.checked(wanted.infra_name, "the infra container") if wanted.infra_name else "",
    )


def _require_nothing_for_infra(wanted: PodOptions, box: SandboxOptions) -> None:
    """A pod without infra container has nothing of what that would hold."""
    own = {
        "--share": wanted.share if wanted.share not in ("", "none") else None,
        "--infra-image": wanted.infra_image,
        "--infra-command": wanted.infra_command,
        "--infra-name": wanted.infra_name,
    }
    for option, value in (*((o, v) for o, v in own.items() if v), *given(box)):
        if option != "--cgroup-parent":
            words = f"{option}{' ' if value else ''}{value}"
            raise InvalidInput(f"cannot use {words}: a pod without infra container has nothing that could hold it")


def _dns(box: SandboxOptions) -> Dns:
    return sandbox.dns(box.dns, box.dns_option, box.dns_search)
