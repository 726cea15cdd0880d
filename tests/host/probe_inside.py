"""Run inside a container: what its confinement looks like from there, as JSON.

    python3 -I -S probe_inside.py FILE STATUS

STATUS is /proc/self/status of a process that is not Python (which changes its own signals). Standard library only, and
nothing that it tries does harm where it should succeed.
"""

import ctypes
import errno
import json
import os
import stat
import sys
from pathlib import Path

STATUS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Uid", "Gid", "Groups", "Umask")
SIGNALS = ("SigBlk", "SigIgn")

HIDDEN = (
    *("/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi"),
    *("/proc/timer_list", "/proc/timer_stats", "/proc/interrupts", "/sys/firmware", "/sys/fs/selinux"),
    *("/sys/dev/block", "/sys/devices/virtual/powercap", "/proc/kmsg", "/proc/config.gz", "/proc/modules"),
    *("/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", "/proc/mounts"),
    *("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/panic", "/proc/sys/vm/swappiness", "/proc/1/environ"),
    *("/proc/sys/net/ipv4/ip_forward", "/proc/sys/kernel/domainname", "/sys/kernel/mm", "/sys/class/net"),
    *("/sys/power", "/sys/kernel/security", "/sys/kernel/debug", "/sys/fs/cgroup"),
)

SYSCTLS = (
    *("net/ipv4/ping_group_range", "net/ipv4/ip_unprivileged_port_start", "net/ipv4/tcp_syncookies"),
    *("net/ipv4/ip_local_port_range", "net/ipv4/ip_forward", "net/ipv4/tcp_keepalive_time", "net/core/somaxconn"),
    *("kernel/shm_rmid_forced", "kernel/shmmax", "kernel/shmall", "kernel/shmmni", "kernel/msgmax", "kernel/msgmnb"),
    *("kernel/msgmni", "kernel/sem", "fs/mqueue/queues_max", "fs/mqueue/msg_max", "kernel/cap_last_cap"),
)

NODES = {
    "null": (1, 3),
    "zero": (1, 5),
    "tty0": (4, 0),
    "mem": (1, 1),
    "port": (1, 4),
    "kmsg": (1, 11),
    "tun": (10, 200),
    "fuse": (10, 229),
    "loop-control": (10, 237),
    "sda": (8, 0),
    "vda": (254, 0),
}

SYSCALLS = {
    "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161, "reboot": 169, "swapon": 167, "swapoff": 168,
    "sethostname": 170, "setdomainname": 171, "iopl": 172, "ioperm": 173, "init_module": 175, "delete_module": 176,
    "finit_module": 313, "quotactl": 179, "nfsservctl": 180, "acct": 163, "settimeofday": 164, "adjtimex": 159,
    "clock_settime": 227, "clock_adjtime": 305, "syslog": 103, "ptrace": 101, "process_vm_readv": 310,
    "process_vm_writev": 311, "kcmp": 312, "add_key": 248, "request_key": 249, "keyctl": 250, "setns": 308,
    "unshare": 272, "perf_event_open": 298, "bpf": 321, "userfaultfd": 323, "kexec_load": 246, "kexec_file_load": 320,
    "open_by_handle_at": 304, "name_to_handle_at": 303, "lookup_dcookie": 212, "fanotify_init": 300,
    "mount_setattr": 442, "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432,
    "fspick": 433, "pidfd_open": 434, "clone3": 435, "close_range": 436, "openat2": 437, "pidfd_getfd": 438,
    "faccessat2": 439, "process_madvise": 440, "epoll_pwait2": 441, "quotactl_fd": 443, "landlock_create_ruleset": 444,
    "memfd_secret": 447, "process_mrelease": 448, "futex_waitv": 449, "set_mempolicy_home_node": 450,
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "mbind": 237, "set_mempolicy": 238,
    "get_mempolicy": 239, "migrate_pages": 256, "move_pages": 279, "vhangup": 153, "personality": 135, "uselib": 134,
    "ustat": 136, "sysfs": 139, "_sysctl": 156, "modify_ldt": 154, "create_module": 174, "get_kernel_syms": 177,
    "query_module": 178, "afs_syscall": 183, "tuxcall": 184, "security": 185, "vserver": 236, "remap_file_pages": 216,
    "rseq": 334, "statx": 332, "membarrier": 324, "pkey_alloc": 330, "no such syscall": 5000,
}  # fmt: skip
"""x86-64 numbers. Called with arguments that no kernel takes, so that none of them does anything."""

BAD = 0xDEAD0000DEAD


def main(file, status):
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    found = {
        "status": {name: fields[name].split() for name in STATUS if name in fields},
        "signals": {name: fields[name].strip() for name in SIGNALS},
        "limits": limits(),
        "label": answer(lambda: Path("/proc/self/attr/current").read_text().strip("\n\0")),
        "mounts": mounts(),
        "read": {path: answer(lambda path=path: look(path)) for path in HIDDEN},
        "write": {path: answer(lambda path=path: try_write(path)) for path in HIDDEN},
        "devices": devices(),
        "nodes": {name: answer(lambda numbers=numbers: node(*numbers)) for name, numbers in NODES.items()},
        "sysctls": {name: answer(lambda name=name: Path("/proc/sys", name).read_text().split()) for name in SYSCTLS},
        "oom_score_adj": int(Path("/proc/self/oom_score_adj").read_text()),
        "environment": dict(os.environ),
        "directory": str(Path.cwd()),
        "hostname": os.uname().nodename,
        "namespaces": {path.name: str(path.readlink()) for path in Path("/proc/self/ns").iterdir()},
        "descriptors": sorted(int(path.name) for path in Path("/proc/self/fd").iterdir())[:-1],
        "root is writable": answer(lambda: Path("/probe").touch()),
        "syscalls": {name: call(number) for name, number in SYSCALLS.items()},
        "pid_of_init": Path("/proc/1/comm").read_text().strip(),
    }
    beside = Path(file + ".tmp")
    beside.write_text(json.dumps(found))
    beside.rename(file)


def answer(question):
    """What it says, or the name of the error."""
    try:
        return question()
    except OSError as e:
        return errno.errorcode[e.errno]


def limits():
    lines = Path("/proc/self/limits").read_text().splitlines()[1:]
    return {line[:25].strip(): line[25:].split()[:2] for line in lines}


def mounts():
    found = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        place, options, *shared = before.split()[4:]
        kind, _, over = after.split()
        mine = [o for o in over.split(",") if o.partition("=")[0] in ("ro", "rw", "size", "mode", "gid", "ptmxmode")]
        found[place] = [kind, sorted(options.split(",")), sorted(mine), [s.partition(":")[0] for s in shared]]
    return found


def look(path):
    if Path(path).is_dir():
        return "listed" if any(Path(path).iterdir()) else "empty"
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return "read" if os.read(fd, 1) else "empty"
    finally:
        os.close(fd)


def try_write(path):
    """Opened and closed again: nothing is written."""
    if Path(path).is_dir():
        made = Path(path, "probe")
        made.mkdir()
        made.rmdir()
    else:
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
    return "writable"


def devices():
    found = {}
    for directory, names, files in os.walk("/dev"):
        for name in names + files:
            path = Path(directory, name)
            info = path.lstat()
            if stat.S_ISLNK(info.st_mode):
                found[str(path)] = str(path.readlink())
            else:
                numbers = f"{os.major(info.st_rdev)}:{os.minor(info.st_rdev)}"
                found[str(path)] = f"{stat.filemode(info.st_mode)} {info.st_uid}:{info.st_gid} {numbers}"
    return found


def node(major, minor):
    """Whether the device cgroup lets it be made and opened."""
    path = f"/dev/probe-{major}-{minor}"
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(major, minor))
    try:
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY))
        return "opened"
    finally:
        Path(path).unlink()


def call(number):
    """In a child of its own, which a wrong guess may kill."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.syscall.restype = ctypes.c_long
        bad = [ctypes.c_ulong(BAD)] * 6
        result = libc.syscall(ctypes.c_long(number), *bad)
        os.write(writing, (errno.errorcode.get(ctypes.get_errno(), "?") if result < 0 else "done").encode())
        os._exit(0)
    os.close(writing)
    said = os.read(reading, 100).decode()
    os.close(reading)
    _, end = os.waitpid(child, 0)
    return said or f"ended with {end}"


if __name__ == "__main__":
    main(*sys.argv[1:])
