"""Podman's options and ours: of each whether it is the same here, different (how), or left out (why).

docs/podman.md is made from this, a test holds it against the options that our commands have, another against what the
installed podman lists; and whoever types an option that is left out is told the reason. Options are podman 4.3's, and
those that came later as far as they are of interest.
"""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    SAME = "same"
    DIFFERENT = "different"
    LEFT_OUT = "left out"


SAME, DIFFERENT, LEFT_OUT = Verdict

Table = dict[str, tuple[Verdict, str]]
"""By option, in podman's order: the verdict, and for the other two than SAME how or why."""


def verdict(command: str, option: str) -> tuple[Verdict, str] | None:
    """Of an option (``--name``) of one of podman's commands (``run``, ``pod create``); None for none of its own."""
    return TABLES.get(command, {}).get(option)


def _same(names: str) -> Table:
    return {f"--{name}": (SAME, "") for name in names.split()}


def _different(**notes: str) -> Table:
    return {_option(name): (DIFFERENT, note) for name, note in notes.items()}


def _left_out(names: str, why: str) -> Table:
    return {f"--{name}": (LEFT_OUT, why) for name in names.split()}


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _sorted(*parts: Table) -> Table:
    return dict(sorted((option, found) for part in parts for option, found in part.items()))


_RESOURCES = {
    **_left_out("cpu-period cpu-quota", "--cpus says it in one number"),
    **_left_out("cpu-rt-period cpu-rt-runtime", "realtime scheduling by cgroup is gone from today's kernels"),
    **_left_out("cpuset-cpus cpuset-mems", "containers are not bound to processors"),
    **_left_out("memory-swap memory-swappiness", "swap is left to the machine"),
    **_left_out(
        "oom-kill-disable", "a container that hangs for want of memory helps nobody (and cgroup v2 has it not)"
    ),
    **_left_out("oom-score-adj", "it follows from what is reserved, as a kubelet has it"),
    **_left_out(
        "blkio-weight blkio-weight-device device-read-bps device-read-iops device-write-bps device-write-iops",
        "the use of disks is not limited",
    ),
    **_left_out("cgroup-conf rdt-class", "cgroups are ours to set up"),
}

_USERS = _left_out("gidmap uidmap subgidname subuidname", "ids are chosen by us: --userns=auto")

_SANDBOX = {
    **_same("ip ip6 mac-address no-hosts shm-size"),
    **_different(
        add_host="host-gateway is not taken; host.containers.internal is not added by itself",
        cgroup_parent="the pod's cgroup is made in it, and its containers' in that",
        dns="pods' names are not found then; none is not taken (the image's resolv.conf is never used)",
        dns_option="added to those that are there anyway (ndots:5)",
        dns_search="looked in after the domains in which pods are found; . is not taken",
        hostname="without it the name of the container or pod, not its id; not together with --network host, where the "
        "machine's name is used",
        network="one network: host, none, bridge or the name of one of ours, with ip=, ip6= and mac= behind a colon; "
        "not container:, ns:, slirp4netns, pasta, alias= or interface_name=, nor for a member of an existing pod; pods "
        "of different networks do not reach each other",
        publish="without an address on every one of IPv4 and IPv6, with 0.0.0.0 on those of IPv4; where the pod has no "
        "network of its own it is refused, not ignored; not on ::1",
        pid="host or private",
        sysctl="of a namespace that is the machine's it is refused, and so is one that has none",
        userns="host or auto, and auto without options (65536 ids)",
    ),
    **_left_out("network-alias", "pods are found by their own names"),
    **_left_out("uts", "host names are shared with --network host, and by --share"),
    **_left_out("no-hostname hosts-file", "files of /etc are the pod's; --no-hosts leaves the image's hosts"),
    **_left_out("shm-size-systemd", "there is no mode for systemd in containers"),
    **_USERS,
}

_CONTAINER = {
    **_SANDBOX,
    **_RESOURCES,
    **_same(
        "cap-add cap-drop cidfile cpus entrypoint env env-file http-proxy interactive label label-file name pids-limit "
        "pod pod-id-file privileged quiet read-only read-only-tmpfs replace rm stop-signal stop-timeout tty ulimit "
        "user workdir"
    ),
    **_different(
        cpu_shares="without it the least weight beside those that asked for some (a kubelet's), not 1024",
        device="no devices by a vendor's name (CDI), no directories",
        group_add="by number; not keep-groups",
        ipc="host or private; in a pod by --share",
        memory="swap is not limited by it; less than a page is refused as a forgotten unit",
        memory_reservation="what is counted on: who uses more is killed earlier; nothing is held back for it",
        mount="bind, volume and tmpfs; not glob, image, devpts, ramfs, nor subpath, idmap, chown",
        pull="always starts the image that is here, with a warning, where the registry cannot be asked, as newer does",
        restart="the same words; started again after growing pauses of up to five minutes, not at once",
        security_opt="label, seccomp, apparmor, no-new-privileges (not with --privileged) and unmask=ALL; not mask, "
        "proc-opts, single paths to unmask, label=nested and label=filetype",
        tmpfs="programs may be executed there, which is what podman does and not what its documentation says",
        volume="z and Z mean nothing (without a label containers are not confined by SELinux); not U, O and idmap",
    ),
    **_left_out("annotation", "labels do it; annotations are manifests' and belong to pods"),
    **_left_out("arch os platform variant", "images are for this machine; image pull finds them"),
    **_left_out("attach", "run shows both outputs, and reads with -i"),
    **_left_out(
        "authfile creds cert-dir tls-verify decryption-key retry retry-delay", "image pull has it, or registries.conf"
    ),
    **_left_out("cgroupns cgroups", "each container has a cgroup in its pod's; --share cgroup shares the namespace"),
    **_left_out("chrootdirs", "files of /etc are put where the image's root is"),
    **_left_out("conmon-pidfile pidfile sdnotify", "the service is ours, not the container's: inspect has the pid"),
    **_left_out("device-cgroup-rule gpus", "devices are named one by one: --device"),
    **_left_out("disable-content-trust", "it means nothing in podman either"),
    **_left_out("env-host", "say which: -e NAME, or -e '*' for all"),
    **_left_out("env-merge unsetenv unsetenv-all", "the image's variables are overridden by -e, not removed"),
    **_left_out("expose publish-all", "ports are published by name: -p PORT takes any free one of the host"),
    **_left_out(
        "health-cmd health-interval health-log-destination health-max-log-count health-max-log-size health-on-failure "
        "health-retries health-start-period health-startup-cmd health-startup-interval health-startup-retries "
        "health-startup-success health-startup-timeout health-timeout no-healthcheck",
        "containers made by hand have no probes yet",
    ),
    **_left_out("hostuser group-entry passwd passwd-entry", "the image's users are left as they are"),
    **_left_out("image-volume", "an image's volumes are directories of the container's own layer, kept with it"),
    **_left_out("init init-path", "a pod with --share +pid has an init; or use an image that has one"),
    **_left_out("link-local-ip", "addresses are given by --ip and --ip6"),
    **_left_out("log-driver log-opt", "logs are kept and rotated as config.toml says"),
    **_left_out("personality", "containers run as the machine does"),
    **_left_out("requires", "containers that belong together are a pod"),
    **_left_out("rootfs", "containers come from images: image load"),
    **_left_out("seccomp-policy", "--security-opt seccomp= names the profile"),
    **_left_out("secret", "hand it in as a file: -v, or as a variable: -e"),
    **_left_out("systemd", "there is no mode for systemd in containers"),
    **_left_out("timeout", "run timeout(1) in it"),
    **_left_out("tz", "set it by -e TZ=…"),
    **_left_out("umask", "it is 0022"),
    **_left_out("volumes-from", "name the volumes: -v"),
}

_RUN = {
    **_same("detach detach-keys sig-proxy"),
    **_left_out("preserve-fds preserve-fd", "a container keeps running when its caller's files are gone"),
    **_left_out("rmi", "image rm removes images, image prune those that nobody uses"),
}

_CREATE = _left_out("init-ctr", "run what comes before in a container of its own")

_POD_CREATE = {
    **_SANDBOX,
    **{option: found for option, found in _RESOURCES.items() if option in ("--cpuset-cpus", "--cpuset-mems")},
    **_left_out("blkio-weight blkio-weight-device device-read-bps device-write-bps", "the use of disks is not limited"),
    **_left_out("memory-swap", "swap is left to the machine"),
    **_same(
        "cpu-shares cpus exit-policy infra infra-command infra-image infra-name label label-file memory name "
        "pod-id-file replace"
    ),
    **_different(
        restart="for members that have none of their own; on-failure without a number",
        share="cgroup needs no --share-parent=false",
        volume="for members that are added from then on; options as run has them",
    ),
    **_left_out("device gpus", "give it to the member that needs it: run --device"),
    **_left_out("infra-conmon-pidfile", "inspect has the pid"),
    **_left_out("security-opt", "give it to the members: run --security-opt"),
    **_left_out("share-parent", "members are always in the pod's cgroup"),
    **_left_out("volumes-from", "name the volumes: -v"),
}

TABLES: dict[str, Table] = {
    "run": _sorted(_CONTAINER, _RUN),
    "create": _sorted(_CONTAINER, _CREATE),
    "pod create": _sorted(_POD_CREATE),
}
"""By podman's command."""
