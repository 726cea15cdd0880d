"""What the options of run, create and pod create were given, as it was given: one class for each group (``groups``)."""

from __future__ import annotations

from dataclasses import dataclass

Texts = tuple[str, ...]

DETACH_KEYS = "ctrl-p,ctrl-q"


@dataclass(frozen=True, slots=True)
class MemberOptions:
    """What a container itself has, in whichever pod it is."""

    env: Texts = ()
    env_file: Texts = ()
    http_proxy: bool = True
    entrypoint: str | None = None
    user: str | None = None
    workdir: str | None = None
    group_add: Texts = ()
    interactive: bool = False
    tty: bool = False
    volume: Texts = ()
    tmpfs: Texts = ()
    mount: Texts = ()
    read_only: bool = False
    read_only_tmpfs: bool = True
    device: Texts = ()
    memory: str | None = None
    memory_reservation: str | None = None
    cpus: str | None = None
    cpu_shares: str | None = None
    pids_limit: str | None = None
    ulimit: Texts = ()
    privileged: bool = False
    cap_add: Texts = ()
    cap_drop: Texts = ()
    security_opt: Texts = ()
    pull: str | None = None
    restart: str | None = None
    stop_signal: str | None = None
    stop_timeout: str | None = None
    label: Texts = ()
    label_file: Texts = ()


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """What the infra container holds: a pod's, or that of a container which has a pod of its own."""

    publish: Texts = ()
    network: Texts = ()
    ip: str | None = None
    ip6: str | None = None
    mac_address: str | None = None
    hostname: str | None = None
    dns: Texts = ()
    dns_option: Texts = ()
    dns_search: Texts = ()
    add_host: Texts = ()
    no_hosts: bool = False
    pid: str | None = None
    ipc: str | None = None
    userns: str | None = None
    sysctl: Texts = ()
    shm_size: str | None = None
    cgroup_parent: str | None = None


@dataclass(frozen=True, slots=True)
class MakingOptions:
    """How run and create go about it. ``detach``, ``detach_keys`` and ``sig_proxy`` are run's alone."""

    name: str | None = None
    pod: str | None = None
    pod_id_file: str | None = None
    rm: bool = False
    replace: bool = False
    cidfile: str | None = None
    quiet: bool = False
    detach: bool = False
    detach_keys: str = DETACH_KEYS
    sig_proxy: bool = True


@dataclass(frozen=True, slots=True)
class PodOptions:
    """What pod create alone says. ``infra`` None: as ``share`` needs it."""

    name: str | None = None
    infra: bool | None = None
    infra_image: str | None = None
    infra_command: str | None = None
    infra_name: str | None = None
    share: str | None = None
    exit_policy: str | None = None
    restart: str | None = None
    volume: Texts = ()
    memory: str | None = None
    cpus: str | None = None
    cpu_shares: str | None = None
    label: Texts = ()
    label_file: Texts = ()
    pod_id_file: str | None = None
    replace: bool = False
