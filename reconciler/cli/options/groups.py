"""Every option of run, create and pod create that is about the pods and containers made, by group.

A command takes a whole group: ``@member_options`` gives its function ``member: MemberOptions``, the values as they were
given. What they mean is for ``assemble``. Words and letters are podman's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reconciler.cli import complete
from reconciler.cli.options.bundle import bundled
from reconciler.cli.options.command import Option, Switch, several
from reconciler.cli.options.values import DETACH_KEYS, MakingOptions, MemberOptions, PodOptions, SandboxOptions

RUN, PROCESS, FILES, LIMITS, RIGHTS = "Run", "Process", "Files", "Limits", "Rights"
NETWORK, NAMES, OTHER, POD = "Network", "Names", "Other", "Pod"
"""Headings in the help."""


def _option(section: str, *names: str, metavar: str, about: str, common: bool = False, **more: Any) -> Any:
    settings = {"help": about, "metavar": metavar, "section": section, "common": common, **more}
    return lambda f: _added(f, Option(names, **settings))


def _each(section: str, *names: str, metavar: str, about: str, common: bool = False) -> Any:
    """Given several times."""
    return _option(section, *names, metavar=metavar, about=about, common=common, multiple=True)


def _list(section: str, *names: str, metavar: str, about: str, common: bool = False) -> Any:
    """Given several times, or with commas between."""
    return _option(section, *names, metavar=metavar, about=about, common=common, multiple=True, callback=several)


def _switch(section: str, *names: str, about: str, common: bool = False, default: bool | None = False) -> Any:
    return lambda f: _added(f, Switch(names, help=about, section=section, common=common, default=default))


def _added(f: Callable[..., Any], option: Option) -> Callable[..., Any]:
    """As click's own decorators have it: a command reads the list from its end."""
    if not hasattr(f, "__click_params__"):
        f.__click_params__ = []  # type: ignore[attr-defined]
    f.__click_params__.append(option)  # type: ignore[attr-defined]
    return f


_LABELS = (
    _each(OTHER, "-l", "--label", metavar="KEY=VALUE", about="A word to know it by."),
    _list(OTHER, "--label-file", metavar="FILE", about="Labels, one to a line."),
)
_LIMITS = (
    _option(LIMITS, "-m", "--memory", metavar="SIZE", about="As much memory as this, as 512m."),
    _option(LIMITS, "--cpus", metavar="N", about="As much CPU as this many cores, as 1.5."),
    _option(LIMITS, "-c", "--cpu-shares", metavar="N", about="Its part where CPU is scarce; 1024: a core's."),
)
_VOLUME = {"metavar": "SRC:DST[:ro]", "about": "A path of the host, or a named volume."}

_MAKING = (
    _switch(RUN, "--rm", common=True, about="Remove it when it has ended."),
    _option(RUN, "--name", common=True, metavar="NAME", about="What it is called. [a name is made up]"),
    _option(
        RUN,
        "--pod",
        common=True,
        metavar="POD|new:POD",
        about="The pod it joins; new: makes one.",
        shell_complete=complete.pods,
    ),
    _option(RUN, "--pod-id-file", metavar="FILE", about="The pod it joins, by the id in a file."),
    _switch(RUN, "--replace", about="Put it in the place of one that has its name."),
    _option(RUN, "--cidfile", metavar="FILE", about="Write its id into a new file."),
    _switch(RUN, "-q", "--quiet", about="Say nothing of the image's pull."),
)
_RUNNING = (
    _switch(RUN, "-d", "--detach", common=True, about="Leave it running, and print its id."),
    *_MAKING,
    _option(RUN, "--detach-keys", metavar="KEYS", default=DETACH_KEYS, about="Typed in a row, they detach."),
    _switch(RUN, "--sig-proxy", default=True, about="Hand signals on to it."),
)
_MEMBER = (
    _switch(PROCESS, "-i", "--interactive", common=True, about="Keep its input open."),
    _switch(PROCESS, "-t", "--tty", common=True, about="Give it a terminal."),
    _each(PROCESS, "-e", "--env", common=True, metavar="NAME[=VALUE]", about="Set a variable, or hand ours on."),
    _list(PROCESS, "--env-file", metavar="FILE", about="Variables, one to a line."),
    _switch(PROCESS, "--http-proxy", default=True, about="Hand our http_proxy and the like on."),
    _option(PROCESS, "--entrypoint", metavar="CMD", about="Run this, not the image's; a JSON array for words."),
    _option(PROCESS, "-u", "--user", metavar="USER[:GROUP]", about="As whom, by names or numbers."),
    _list(PROCESS, "--group-add", metavar="GID", about="Be in this group, too."),
    _option(PROCESS, "-w", "--workdir", metavar="DIR", about="Where it starts."),
    _each(FILES, "-v", "--volume", common=True, **_VOLUME),
    _each(FILES, "--tmpfs", metavar="DST[:OPTIONS]", about="A place in memory, of its own."),
    _each(FILES, "--mount", metavar="type=bind,src=…,dst=…", about="The same in words: bind, volume, tmpfs."),
    _switch(FILES, "--read-only", about="It cannot write into its root."),
    _switch(FILES, "--read-only-tmpfs", default=True, about="But into /run, /tmp and /var/tmp."),
    _list(FILES, "--device", metavar="SRC[:DST][:rwm]", about="Let it use a device of the host."),
    *_LIMITS,
    _option(LIMITS, "--memory-reservation", metavar="SIZE", about="What it counts on; nothing is held back for it."),
    _option(LIMITS, "--pids-limit", metavar="N", about="So many processes and threads."),
    _switch(RIGHTS, "--privileged", about="Every right, and every device."),
    _list(RIGHTS, "--cap-add", metavar="NAME", about="One capability more, or ALL."),
    _list(RIGHTS, "--cap-drop", metavar="NAME", about="One capability less, or ALL."),
    _each(RIGHTS, "--security-opt", metavar="OPT", about="no-new-privileges, seccomp=, apparmor=, label=…"),
    _list(RIGHTS, "--ulimit", metavar="NAME=SOFT[:HARD]", about="A limit of setrlimit(2), as nofile=1024."),
    _option(OTHER, "--pull", metavar="WHEN", about="always, missing, never or newer. [missing]"),
    _option(OTHER, "--restart", metavar="WHEN", about="no, on-failure[:N] or always. [no, or the pod's]"),
    _option(OTHER, "--stop-signal", metavar="SIGNAL", about="What asks it to end. [the image's, or TERM]"),
    _option(OTHER, "--stop-timeout", metavar="SECONDS", about="How long it may take to. [10]"),
    *_LABELS,
)
_IPC = (_option(NETWORK, "--ipc", metavar="host|private", about="Have the host's shared memory. [private]"),)
_SANDBOX = (
    _list(NETWORK, "-p", "--publish", common=True, metavar="[IP:][HOST:]PORT", about="Reach it by a port of the host."),
    _each(NETWORK, "--network", "--net", metavar="NAME", about="One of ours, host or none. [bridge: our own]"),
    _option(NETWORK, "--ip", metavar="IP", about="Its IPv4 address. [a free one]"),
    _option(NETWORK, "--ip6", metavar="IP", about="Its IPv6 address. [a free one]"),
    _option(NETWORK, "--mac-address", metavar="MAC", about="Its hardware address."),
    _option(NETWORK, "--pid", metavar="host|private", about="See the host's processes. [private]"),
    _option(RIGHTS, "--userns", metavar="host|auto", about="auto: users of its own. [host]"),
    _option(FILES, "--shm-size", metavar="SIZE", about="The size of /dev/shm; 0: no limit. [64m]"),
    _option(LIMITS, "--cgroup-parent", metavar="PATH", about="The cgroup that it is made in."),
    _option(NAMES, "-h", "--hostname", metavar="NAME", about="Its host name. [its name]"),
    _list(NAMES, "--add-host", metavar="NAME:IP", about="A line of /etc/hosts."),
    _switch(NAMES, "--no-hosts", about="Leave the image's /etc/hosts alone."),
    _list(NAMES, "--dns", metavar="IP", about="Ask this name server, and ours no more."),
    _list(NAMES, "--dns-option", "--dns-opt", metavar="OPT", about="For resolv.conf, as ndots:2."),
    _list(NAMES, "--dns-search", metavar="DOMAIN", about="Look for names in this domain, too."),
    _list(NETWORK, "--sysctl", metavar="NAME=VALUE", about="A setting of its network, or of IPC."),
)
_POD = (
    _option(POD, "-n", "--name", common=True, metavar="NAME", about="What it is called. [a name is made up]"),
    _switch(POD, "--replace", common=True, about="Put it in the place of one of this name."),
    _option(POD, "--share", common=True, metavar="LIST", about="What members share. [ipc,net,uts; +pid adds]"),
    _switch(POD, "--infra", default=None, common=True, about="With an infra container, to hold that."),
    _option(POD, "--infra-image", metavar="IMAGE", about="The infra container's. [none: our own program]"),
    _option(POD, "--infra-command", metavar="CMD", about="What it runs."),
    _option(POD, "--infra-name", metavar="NAME", about="What it is called. [<id>-infra]"),
    _option(POD, "--exit-policy", metavar="POLICY", about="When no member runs: continue, stop. [continue]"),
    _option(POD, "--pod-id-file", metavar="FILE", about="Write its id into a file."),
    _option(OTHER, "--restart", metavar="WHEN", about="Members: no, on-failure or always. [no]"),
    _each(FILES, "-v", "--volume", common=True, **_VOLUME),
    *_LIMITS,
    *_LABELS,
)

run_options = bundled("how", MakingOptions, _RUNNING)
create_options = bundled("how", MakingOptions, _MAKING)
member_options = bundled("member", MemberOptions, _MEMBER)
sandbox_options = bundled("box", SandboxOptions, (*_SANDBOX, *_IPC))
pod_sandbox_options = bundled("box", SandboxOptions, _SANDBOX)
"""The same for pod create: podman's has no --ipc."""
pod_options = bundled("pod", PodOptions, _POD)
