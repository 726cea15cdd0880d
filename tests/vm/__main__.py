"""scripts/test-vm: the options, and one machine after the other."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.vm import host, hosttests, quickstart
from tests.vm.host import CODENAMES
from tests.vm.lifecycle import Lifecycle
from tests.vm.machine import GuestError, Machine
from tests.vm.results import Results
from tests.vm.root import Root, obtain
from tests.vm.steps import Failed, Story

PARTS = {"install": "quick start", "lifecycle": "the service's life", "tests": "host tests"}
ABOUT = """
. /etc/os-release
version() { systemctl --version | sed -n '1s/^systemd \\([0-9]*\\).*/\\1/p'; }
echo "Debian $VERSION_ID in a virtual machine ($(uname -r), systemd $(version), $(stat -fc %T /sys/fs/cgroup))"
"""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/test-vm",
        description="Boot a bare Debian in a throw-away virtual machine and do there what a user does: the README's "
        "commands, the host tests, and a service's life (restart, kill, hang, reboot, upgrade, removal). Exit code 0: "
        "all went well. Without KVM it takes hours; what runs here meanwhile makes it slower.",
    )
    parser.add_argument("--debian", choices=[*CODENAMES, "all"], default="all", help="which release [all]")
    parser.add_argument(
        "--only", action="append", choices=PARTS, help="this part only; may be said again [install, lifecycle, tests]"
    )
    parser.add_argument("-k", dest="expression", default="", metavar="EXPR", help="host tests to run, as pytest's -k")
    parser.add_argument("--shell", action="store_true", help="log in instead (root; exit ends the machine)")
    parser.add_argument("--keep", action="store_true", help="keep the disk; the next run with --reuse goes on with it")
    parser.add_argument(
        "--reuse",
        action="store_true",
        help="go on with the disk that --keep kept, and leave out the host tests that passed on it",
    )
    parser.add_argument("--accel", choices=["kvm", "tcg"], help="do not try, use this")
    parser.add_argument("--cpus", type=int, default=min(os.cpu_count() or 1, 4), metavar="N", help="[%(default)s]")
    parser.add_argument("--memory", type=int, default=4096, metavar="MIB", help="[%(default)s]")
    parser.add_argument("--mirror", metavar="URL", help="Debian's archive [as this machine's apt has it]")
    parser.add_argument("--security-mirror", metavar="URL", help="its security updates [as this machine's apt has it]")
    parser.add_argument("--cache", type=Path, default=default_cache(), metavar="DIR", help="[%(default)s]")
    return parser.parse_args()


def default_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reconciler-vm"


def main() -> int:
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    story = Story()
    releases = list(CODENAMES) if options.debian == "all" else [options.debian]
    if options.shell and len(releases) > 1:
        releases = releases[:1]
    settings = host.read(options.mirror, options.security_mirror)
    outcomes = {}
    for debian in releases:
        begun = time.monotonic()
        try:
            root = obtain(options.cache.absolute(), debian, settings, story.say)
            one = in_machine(root, debian, options)
        except GuestError as error:
            print(f"test-vm: {error}", file=sys.stderr)
            one = [f"the machine: {str(error).splitlines()[0]}"]
        outcomes[debian] = one
        if options.shell:
            return 0
        story.say(f"Debian {debian}: {'passed' if not one else 'FAILED'}; {(time.monotonic() - begun) / 60:.0f} min")
    for debian, failures in outcomes.items():
        for failure in failures:
            print(f"test-vm: Debian {debian}: failed: {failure}", file=sys.stderr)
    return 1 if any(outcomes.values()) else 0


def in_machine(root: Root, debian: str, options: argparse.Namespace) -> list[str]:
    """Boot, do the parts, end the machine; the sentences of the steps that failed."""
    story = Story()
    kept = root.directory.parent / f"kept-{debian}.qcow2"
    logs = root.directory.parent / f"logs-{debian}"
    logs.mkdir(exist_ok=True)
    if options.reuse and not kept.exists():
        raise GuestError(f"there is nothing to go on with: {kept} is not there (--keep makes it)")
    if options.keep and not options.reuse:
        kept.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="run-", dir=root.directory.parent) as work:
        disk = kept if options.keep or options.reuse else Path(work) / "disk.qcow2"
        try:
            with Machine(
                root, Path(work), story.say, disk=disk, memory=options.memory, cpus=options.cpus, accel=options.accel
            ) as vm:
                if options.shell:
                    vm.login("root")
                    return []
                try:
                    do_parts(vm, story, options, logs)
                finally:  # also when interrupted: the next run finds the disk whole
                    if options.keep or options.reuse:
                        vm.power_off()
        finally:
            for log in Path(work).glob("*.log"):
                shutil.copy(log, logs)
    return story.failures


def do_parts(vm: Machine, story: Story, options: argparse.Namespace, logs: Path) -> None:
    """Each part is tried although another failed: one run shall tell all that it can. The outcome is a row for the
    README's table, also of a run that is interrupted."""
    machine = vm.run(ABOUT).strip()
    story.say(machine)
    results = Results(logs / "host-tests.json", go_on=options.reuse)
    told = []
    try:
        for part in options.only or PARTS:
            story.say(f"part: {part}")
            begun = time.monotonic()
            outcome = "interrupted"
            try:
                do_part(part, vm, story, options, logs, results)
                outcome = "passed"
            except Failed:
                outcome = "FAILED"
            finally:
                minutes = f"{outcome}, {(time.monotonic() - begun) / 60:.0f} min"
                told.append(f"{PARTS[part]}: {results if part == 'tests' else minutes}")
    finally:
        print(f"| {machine}, {vm.accel} | `scripts/test-vm` | {time.strftime('%F')}: {'. '.join(told)} |", flush=True)


def do_part(part: str, vm: Machine, story: Story, options: argparse.Namespace, logs: Path, results: Results) -> None:
    if part == "install":
        quickstart.run(vm, story)
    elif part == "tests":
        log = logs / f"host-tests-{time.strftime('%Y%m%d-%H%M%S')}.log"
        hosttests.run(vm, story, options.expression, log, results)
    else:
        Lifecycle(vm, story).run()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print(file=sys.stderr)
        sys.exit(130)
