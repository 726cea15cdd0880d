"""Podman's options and ours: of each whether it is the same here, different (how), or left out (why).

docs/podman.md is made from this, a test holds it against the options that our commands have, another against what the
installed podman lists; and whoever types an option that is left out is told the reason. Options are podman 4.3's, and
those that came later as far as they are of interest.
"""

from __future__ import annotations

from reconciler.flags import podman_pods
from reconciler.flags.verdicts import DIFFERENT, LEFT_OUT, SAME, Table, Verdict, different, left_out, same, table

__all__ = ["DIFFERENT", "LEFT_OUT", "SAME", "TABLES", "Table", "Verdict", "verdict"]


def verdict(command: str, option: str) -> tuple[Verdict, str] | None:
    """Of an option (``--name``) of one of podman's commands (``run``, ``pod create``); None for none of its own."""
    return TABLES.get(command, {}).get(option)


_RESOURCES = {
    **left_out("cpu-period cpu-quota", "--cpus says it in one number"),
    **left_out("cpu-rt-period cpu-rt-runtime", "realtime scheduling by cgroup is gone from today's kernels"),
    **left_out("cpuset-cpus cpuset-mems", "containers are not bound to processors"),
    **left_out("memory-swap memory-swappiness", "swap is left to the machine"),
    **left_out("oom-kill-disable", "a container that hangs for want of memory helps nobody (and cgroup v2 has it not)"),
    **left_out("oom-score-adj", "it is 0, which is podman's own; containers of manifests have the kubelet's"),
    **left_out(
        "blkio-weight blkio-weight-device device-read-bps device-read-iops device-write-bps device-write-iops",
        "the use of disks is not limited",
    ),
    **left_out("cgroup-conf rdt-class", "cgroups are ours to set up"),
}

_USERS = left_out("gidmap uidmap subgidname subuidname", "ids are chosen by us: --userns=auto")

_SANDBOX = {
    **same("ip ip6 mac-address no-hosts shm-size"),
    **different(
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
    **left_out("network-alias", "pods are found by their own names"),
    **left_out("uts", "host names are shared with --network host, and by --share"),
    **left_out("no-hostname hosts-file", "files of /etc are the pod's; --no-hosts leaves the image's hosts"),
    **left_out("shm-size-systemd", "there is no mode for systemd in containers"),
    **_USERS,
}

_CONTAINER = {
    **_SANDBOX,
    **_RESOURCES,
    **same(
        "cap-add cap-drop cidfile cpu-shares cpus entrypoint env env-file http-proxy interactive label label-file name "
        "pids-limit pod pod-id-file privileged quiet read-only read-only-tmpfs replace rm stop-signal stop-timeout tty "
        "ulimit user workdir"
    ),
    **different(
        device="no devices by a vendor's name (CDI), no directories",
        group_add="by number; not keep-groups",
        ipc="host or private; in a pod by --share",
        memory="swap is not limited by it; less than a page is refused as a forgotten unit",
        memory_reservation="written down, and a manifest made of the pod requests it; nothing is held back for it",
        mount="bind, volume and tmpfs; not glob, image, devpts, ramfs, nor subpath, idmap, chown",
        pull="always starts the image that is here, with a warning, where the registry cannot be asked, as newer does",
        restart="the same words; started again after growing pauses of up to five minutes, not at once",
        security_opt="label, seccomp, apparmor, no-new-privileges (not with --privileged) and unmask=ALL; not mask, "
        "proc-opts, single paths to unmask, label=nested and label=filetype",
        tmpfs="programs may be executed there, which is what podman does and not what its documentation says",
        volume="z and Z mean nothing (without a label containers are not confined by SELinux); not U, O and idmap",
    ),
    **left_out("annotation", "labels do it; annotations are manifests' and belong to pods"),
    **left_out("arch os platform variant", "images are for this machine; image pull finds them"),
    **left_out("attach", "run shows both outputs, and reads with -i"),
    **left_out(
        "authfile creds cert-dir tls-verify decryption-key retry retry-delay", "image pull has it, or registries.conf"
    ),
    **left_out("cgroupns cgroups", "each container has a cgroup in its pod's; --share cgroup shares the namespace"),
    **left_out("chrootdirs", "files of /etc are put where the image's root is"),
    **left_out("conmon-pidfile pidfile sdnotify", "the service is ours, not the container's: inspect has the pid"),
    **left_out("device-cgroup-rule gpus", "devices are named one by one: --device"),
    **left_out("disable-content-trust", "it means nothing in podman either"),
    **left_out("env-host", "say which: -e NAME, or -e '*' for all"),
    **left_out("env-merge unsetenv unsetenv-all", "the image's variables are overridden by -e, not removed"),
    **left_out("expose publish-all", "ports are published by name: -p PORT takes any free one of the host"),
    **left_out(
        "health-cmd health-interval health-log-destination health-max-log-count health-max-log-size health-on-failure "
        "health-retries health-start-period health-startup-cmd health-startup-interval health-startup-retries "
        "health-startup-success health-startup-timeout health-timeout no-healthcheck",
        "containers made by hand have no probes yet",
    ),
    **left_out("hostuser group-entry passwd passwd-entry", "the image's users are left as they are"),
    **left_out("image-volume", "an image's volumes are directories of the container's own layer, kept with it"),
    **left_out("init init-path", "a pod with --share +pid has an init; or use an image that has one"),
    **left_out("link-local-ip", "addresses are given by --ip and --ip6"),
    **left_out("log-driver log-opt", "logs are kept and rotated as config.toml says"),
    **left_out("personality", "containers run as the machine does"),
    **left_out("requires", "containers that belong together are a pod"),
    **left_out("rootfs", "containers come from images: image load"),
    **left_out("seccomp-policy", "--security-opt seccomp= names the profile"),
    **left_out("secret", "hand it in as a file: -v, or as a variable: -e"),
    **left_out("systemd", "there is no mode for systemd in containers"),
    **left_out("timeout", "run timeout(1) in it"),
    **left_out("tz", "set it by -e TZ=…"),
    **left_out("umask", "it is 0022"),
    **left_out("volumes-from", "name the volumes: -v"),
}

_RUN = {
    **same("detach detach-keys sig-proxy"),
    **left_out("preserve-fds preserve-fd", "a container keeps running when its caller's files are gone"),
    **left_out("rmi", "image rm removes images, image prune those that nobody uses"),
}

_CREATE = left_out("init-ctr", "run what comes before in a container of its own")

_POD_CREATE = {
    **_SANDBOX,
    **{option: found for option, found in _RESOURCES.items() if option in ("--cpuset-cpus", "--cpuset-mems")},
    **left_out("blkio-weight blkio-weight-device device-read-bps device-write-bps", "the use of disks is not limited"),
    **left_out("memory-swap", "swap is left to the machine"),
    **same("cpu-shares cpus exit-policy infra-image infra-name label label-file memory name pod-id-file replace"),
    **different(
        infra="without one a process that shares nothing keeps the pod's place; it is not shown",
        infra_command="one of --infra-image's; our own infra container has /pause only",
        restart="for members that have none of their own; on-failure without a number",
        share="cgroup needs no --share-parent=false",
        volume="for members that are added from then on; options as run has them",
    ),
    **left_out("device gpus", "give it to the member that needs it: run --device"),
    **left_out("infra-conmon-pidfile", "inspect has the pid"),
    **left_out("security-opt", "give it to the members: run --security-opt"),
    **left_out("share-parent", "members are always in the pod's cgroup"),
    **left_out("volumes-from", "name the volumes: -v"),
}

TABLES: dict[str, Table] = {
    "run": table(_CONTAINER, _RUN),
    "create": table(_CONTAINER, _CREATE),
    "pod create": table(_POD_CREATE),
    **podman_pods.TABLES,
}
"""By podman's command."""
