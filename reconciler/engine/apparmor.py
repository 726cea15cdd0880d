"""AppArmor: whether this machine has it, and the profile that confines containers which name none.

Podman's rule: where the kernel has it off, or apparmor_parser is not installed, containers run without. The default
profile is loaded into the kernel by whoever first needs it; a reboot forgets it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from reconciler.engine import children
from reconciler.engine.effects import effect
from reconciler.model.errors import HostUnfit

LOCALHOST = "localhost/"
ENABLED = Path("/sys/module/apparmor/parameters/enabled")
LOADED = Path("/sys/kernel/security/apparmor/profiles")
DEFAULT = "reconciler-default"
STACKED, STACKED_LAST = f"{DEFAULT}//&**", f"**//&{DEFAULT}"
"""The kernel's names for our profile and others at once: with no_new_privs, a process that a confined runtime becomes
keeps the runtime's profile as well (``crun//&reconciler-default`` on Debian 13)."""

PROFILE = f"""\
abi <abi/3.0>,
include <tunables/global>

profile {DEFAULT} flags=(attach_disconnected, mediate_deleted) {{
  include <abstractions/base>

  capability,
  file,
  network,
  umount,

  # Signals come from outside (Debian 13 gives the runtimes profiles that confine nothing), and go between processes
  # of containers.
  signal (receive) peer={{unconfined,crun,runc}},
  signal (send, receive) peer={DEFAULT},
  signal (send, receive) peer={STACKED},
  signal (send, receive) peer={STACKED_LAST},

  # Tracing stays between processes of containers.
  ptrace (trace, read, tracedby, readby) peer={DEFAULT},
  ptrace (trace, read, tracedby, readby) peer={STACKED},
  ptrace (trace, read, tracedby, readby) peer={STACKED_LAST},

  deny mount,

  # What the runtime hides or makes read-only stays so, should its mounts be undone.
  deny @{{PROC}}/* w,
  deny @{{PROC}}/sys/fs/** wklx,
  deny @{{PROC}}/sys/kernel/[^smn]** wklx,
  deny @{{PROC}}/sysrq-trigger rwklx,
  deny @{{PROC}}/kcore rwklx,
  deny @{{PROC}}/mem rwklx,
  deny /sys/[^f]*/** wklx,
  deny /sys/f[^s]*/** wklx,
  deny /sys/fs/[^c]*/** wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/kernel/security/** rwklx,
}}
"""


def default_profile() -> str | None:
    """The name of the default profile, loaded now or before; None where AppArmor is off.

    Raises HostUnfit when the profile cannot be loaded.
    """
    parser = _parser()
    if parser is None or not _enabled():
        return None
    if DEFAULT not in _loaded():
        load(parser)
    return DEFAULT


def missing(name: str) -> str:
    """Why a container cannot be confined by the profile ``name``; "" where it can."""
    if not _enabled():
        return f"cannot use AppArmor profile {name}: this machine has no AppArmor"
    return "" if name in _loaded() else f"cannot use AppArmor profile {name}: it is not loaded"


@effect("apparmor.load")
def load(parser: str, *options: str) -> None:
    """Replace the profile in the kernel. Raises HostUnfit."""
    done = children.run([parser, "--replace", *options], timeout=60, given=PROFILE.encode())
    if done.returncode:
        said = (done.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
        raise HostUnfit(f"cannot load AppArmor profile {DEFAULT}: {said}")


def _parser() -> str | None:
    return shutil.which("apparmor_parser", path="/usr/sbin:/sbin:/usr/bin")


def _enabled() -> bool:
    try:
        return ENABLED.read_text().strip() == "Y" and LOADED.exists()
    except OSError:
        return False


def _loaded() -> frozenset[str]:
    """Lines of the kernel's are ``NAME (MODE)``."""
    try:
        return frozenset(line.rpartition(" (")[0] for line in LOADED.read_text().splitlines())
    except OSError:
        return frozenset()
