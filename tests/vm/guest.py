"""The reconciler in the guest, as its owner sees it: commands, and what must not change while the controller does."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tests.vm.machine import GuestError, Machine

MANIFESTS = "/etc/reconciler/manifests"
SERVICE = "reconciler.service"
PATIENCE = 240.0
"""Seconds for whatever takes 5 on a real machine."""


@dataclass(frozen=True)
class Pod:
    """``containers``: id and start of each, so that one that was started anew is another."""

    ip: str
    containers: tuple[tuple[str, str, str], ...]


class Guest:
    def __init__(self, vm: Machine) -> None:
        self.vm = vm

    def pods(self) -> dict[str, Pod]:
        found = json.loads(self.vm.run("reconciler get pods -A -o json"))
        pods = {}
        for item in found["items"]:
            key = f"{item['metadata']['namespace']}/{item['metadata']['name']}"
            assert key not in pods, f"{key} is there twice"
            status = item["status"]
            states = [
                (c["name"], c.get("containerID", ""), json.dumps(c.get("state", {}), sort_keys=True))
                for c in status.get("containerStatuses", [])
            ]
            pods[key] = Pod(status.get("podIP", ""), tuple(sorted(states)))
        return pods

    def monitors(self) -> list[str]:
        return self.vm.run("ps -C conmon -o pid=,lstart= || true").splitlines()

    def everything(self) -> tuple[dict[str, Pod], list[str]]:
        return self.pods(), self.monitors()

    def expect_unchanged(self, before: tuple[dict[str, Pod], list[str]]) -> None:
        now = self.everything()
        assert now[0] == before[0], f"before: {before[0]}\nnow: {now[0]}"
        assert now[1] == before[1], f"monitors before: {before[1]}\nnow: {now[1]}"

    def unit(self, name: str) -> str:
        """One property of the service."""
        return self.vm.run(f"systemctl show --value -p {name} {SERVICE}").strip()

    def until(self, command: str, what: str, patience: float = PATIENCE) -> str:
        """Wait in the guest until a command succeeds; what it printed then."""
        give_up = f"((SECONDS < {patience:.0f})) || exit 1"
        loop = f'SECONDS=0; until out=$({command}); do {give_up}; sleep 0.5; done; echo "$out"'
        try:
            return self.vm.run(loop, timeout=patience + 120)
        except GuestError as error:
            last = self.vm.run(f"{command}; echo exit code $?", check=False)
            raise GuestError(f"after {patience:.0f} s still not: {what}\n{last[-3000:]}") from error

    def converged(self, folder: str = MANIFESTS) -> None:
        try:
            self.until(f"reconciler status {folder}", "all is as the manifests say")
        except GuestError as error:
            looks = ("journalctl -u reconciler -n 40 --no-pager", "reconciler get pods -A -o wide", "reconciler events")
            log = self.vm.run("; ".join(f"{look} 2>&1 | tail -40" for look in looks))
            raise GuestError(f"{error}\n{log}") from None

    def answers(self, port: int, word: str) -> None:
        """What is published on a port of the host answers a request."""
        request = r"GET / HTTP/1.0\r\n\r\n"
        ask = f'exec 3<>/dev/tcp/127.0.0.1/{port}; printf "{request}" >&3; timeout 20 cat <&3 | grep -q {word}'
        self.until(f"bash -c '{ask}' 2>&1", f"port {port} answers")

    def expect_nothing(self, *, installed: bool = True) -> None:
        """Nothing on this machine carries our name; ``installed`` False: nor is the program there."""
        looks = [
            "pgrep -a conmon",
            "ip -brief link | grep -v -e '^lo ' -e '^e'",
            "nft list tables | grep reconciler",
            "find /sys/fs/cgroup -name '*reconciler*'",
            "find /var/lib /run /var/log/pods /tmp -maxdepth 1 -name 'reconciler*'",
            "ls -A /var/log/pods",
            "grep reconciler /proc/self/mounts",
        ]
        if not installed:
            looks += [
                "systemctl list-unit-files --no-legend 'reconciler*'",
                "systemctl list-units --all --no-legend 'reconciler*'",
                "find /usr/local /etc /run -name '*reconciler*' ! -path '/etc/reconciler*'",
                "pgrep -af '[r]econciler'",  # not the shell that asks
            ]
        for look in looks:
            found = self.vm.run(f"{look} 2>/dev/null || true").strip()
            assert not found, f"{look}:\n{found}"
