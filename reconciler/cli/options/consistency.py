"""What cannot be asked for together, of a whole pod. Pure."""

from __future__ import annotations

from dataclasses import fields, is_dataclass

from reconciler.model.errors import InvalidInput
from reconciler.model.spec import NO_NETWORK, Dns, PodSpec, SandboxSpec
from reconciler.model.words import sysctl_namespace


def consistent(spec: PodSpec) -> PodSpec:
    """The same. Raises InvalidInput for what contradicts itself, or cannot be written down."""
    _ports(spec.sandbox)
    _host(spec.sandbox)
    if spec.host_aliases and spec.sandbox.no_hosts:
        raise InvalidInput("cannot use --add-host with --no-hosts: the image's /etc/hosts is left alone")
    if spec.dns != Dns() and spec.sandbox.network == NO_NETWORK:
        raise InvalidInput("cannot use --dns, --dns-option or --dns-search with --network none: nobody can be asked")
    require_text(spec)
    return spec


def _ports(box: SandboxSpec) -> None:
    if not box.ports:
        return
    doing, hint = f"cannot publish {box.ports[0]}->{box.ports[0].container_port}", "leave -p away"
    if box.host_network:
        raise InvalidInput(f"{doing} with --network host: the pod's ports are the machine's", hint=hint)
    if box.network == NO_NETWORK:
        raise InvalidInput(f"{doing} with --network none: nothing gets there", hint=hint)
    if box.infra and "net" not in box.shared:
        raise InvalidInput(f"{doing}: the pod's members share no network", hint="add net to --share")


def _host(box: SandboxSpec) -> None:
    """What would be the machine's."""
    if (box.ip or box.ip6 or box.mac) and (box.host_network or box.network == NO_NETWORK):
        mode = "host" if box.host_network else NO_NETWORK
        raise InvalidInput(f"cannot give the pod an address with --network {mode}: it has no network of its own there")
    if box.shm_size is not None and box.host_ipc:
        raise InvalidInput("cannot use --shm-size with --ipc host: /dev/shm is the machine's there")
    if box.hostname and box.host_network:
        raise InvalidInput("cannot use --hostname with --network host: the pod has the machine's name there")
    namespaces = {"net": ("--network host", box.host_network), "ipc": ("--ipc host", box.host_ipc)}
    for name, _ in box.sysctls:
        option, host = namespaces.get(sysctl_namespace(name), ("", False))
        if host:
            raise InvalidInput(f"cannot set sysctl {name} with {option}: it would be set for the whole machine")
    for option, host in (*namespaces.values(), ("--pid host", box.host_pid)):
        if host and not box.host_users:
            raise InvalidInput(f"cannot use --userns auto with {option}: the pod's users are nobody there")


def require_text(value: object) -> None:
    """What is not UTF-8 cannot be written down. Raises InvalidInput."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            shown = value.encode(errors="surrogateescape").decode(errors="backslashreplace")
            raise InvalidInput(f"cannot use {shown!r}: it is not UTF-8 text") from None
    elif is_dataclass(value):
        for field in fields(value):
            require_text(getattr(value, field.name))
    elif isinstance(value, tuple):
        for item in value:
            require_text(item)
