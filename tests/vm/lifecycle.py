"""The service's life: installed, restarted, killed, hanging, rebooted, upgraded, removed.

Pods do not notice, except for the reboot, after which they are back as they were.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.vm.guest import MANIFESTS, SERVICE, Guest
from tests.vm.machine import Machine
from tests.vm.quickstart import PLACE, clone
from tests.vm.steps import Failed, Story

IMAGE = "localhost/reconciler/busybox:1"
WATCHDOG = 60

MORE = f"""
apiVersion: v1
kind: Pod
metadata: {{name: farewell}}
spec:
  terminationGracePeriodSeconds: 20
  containers:
    - name: one
      image: {IMAGE}
      command: ["sh", "-c", "trap 'sleep 1; echo bye >>/data/bye; exit 0' TERM; while :; do sleep 1000 & wait $!; done"]
      volumeMounts: [{{name: data, mountPath: /data}}]
  volumes: [{{name: data, hostPath: {{path: /srv/farewell, type: DirectoryOrCreate}}}}]
---
apiVersion: v1
kind: Pod
metadata: {{name: udp}}
spec:
  containers:
    - name: one
      image: {IMAGE}
      command: ["sh", "-c", "trap exit TERM; while :; do sleep 1000 & wait $!; done"]
      ports: [{{containerPort: 53, hostPort: 5353, protocol: UDP}}]
"""


class Lifecycle:
    def __init__(self, vm: Machine, story: Story) -> None:
        self.vm, self.story, self.guest = vm, story, Guest(vm)

    def run(self) -> None:
        """Without the service and its pods nothing can be told of them; the other parts stand for themselves."""
        clone(self.vm, self.story)
        self.install()
        self.converge()
        failed = False
        for part in (
            self.journal,
            self.restart,
            self.killed,
            self.hangs,
            self.stopped,
            self.firewall,
            self.reboot,
            self.upgrade,
            self.uninstall,
        ):
            try:
                part()
            except Failed:
                failed = True
        if failed:
            raise Failed("the service's life")

    def untouched(self, sentence: str, what: Callable[[], None]) -> None:
        """A step after which every pod and monitor is the one that it was."""
        with self.story.step(sentence):
            before = self.guest.everything()
            what()
            self.guest.expect_unchanged(before)

    def install(self) -> None:
        with self.story.step("scripts/install: the service runs, and will after a boot"):
            self.vm.run("cd reconciler && scripts/install", user="user", timeout=2400)
            assert self.vm.run(f"systemctl is-active {SERVICE}; systemctl is-enabled {SERVICE}").split() == [
                "active",
                "enabled",
            ]
            assert self.vm.run("reconciler --version", user="user").startswith("reconciler ")
        with self.story.step("again: nothing is done, the controller is not restarted"):
            pid = self.guest.unit("MainPID")
            assert "nothing to do" in self.vm.run("cd reconciler && scripts/install", user="user")
            assert self.guest.unit("MainPID") == pid

    def converge(self) -> None:
        with self.story.step("manifests that appear in /etc/reconciler/manifests become pods"):
            self.vm.run(
                f"{PLACE}/scripts/example-image /tmp/i.tar && reconciler image load -i /tmp/i.tar && rm /tmp/i.tar"
            )
            self.vm.run(f"cp {PLACE}/manifests/*.yaml {MANIFESTS}")
            self.vm.put(MORE.encode(), f"{MANIFESTS}/more.yaml")
            self.guest.converged()
            self.guest.answers(8080, "written")
            assert sorted(self.guest.pods()) == [
                f"default/{n}" for n in ("count", "farewell", "hello", "stubborn", "udp", "web")
            ]
            self.vm.run("reconciler system check")

    def journal(self) -> None:
        with self.story.step("systemctl status and the journal tell what goes on"):
            self.guest.until(f"systemctl status {SERVICE} | grep '6 pods, 6 as wanted'", "the status line")
            self.vm.run(f"echo 'kind: Nonsense' >{MANIFESTS}/broken.yaml")
            self.guest.until(
                "journalctl -u reconciler -p warning -o cat | grep 'broken.yaml'", "a warning in the journal"
            )
            self.vm.run(f"rm {MANIFESTS}/broken.yaml")
            self.guest.converged()
            records = self.vm.run("journalctl -u reconciler -o json --output-fields=PRIORITY,MESSAGE").splitlines()
            created = [r for r in map(json.loads, records) if "pod created" in str(r["MESSAGE"])]
            assert created, records[-5:]
            assert {r["PRIORITY"] for r in created} == {"6"}
            assert "timestamp=" not in str(created[0]["MESSAGE"])

    def restart(self) -> None:
        self.untouched("systemctl restart touches no pod", lambda: self._anew(f"systemctl restart {SERVICE}"))

        def reload() -> None:
            pid = self.guest.unit("MainPID")
            self.vm.run(f"systemctl reload {SERVICE}")
            assert self.guest.unit("MainPID") == pid

        self.untouched("systemctl reload touches no pod", reload)

    def killed(self) -> None:
        self.untouched(
            "a controller that is killed is started again, pods go on",
            lambda: self._anew(f"systemctl kill -s KILL --kill-who=main {SERVICE}"),
        )

    def hangs(self) -> None:
        def hang() -> None:
            self._anew(f"kill -STOP $(systemctl show --value -p MainPID {SERVICE})", patience=WATCHDOG + 120)
            assert "watchdog" in self.vm.run("journalctl -u reconciler --since -10min -o cat").lower()

        self.untouched("the watchdog ends a controller that hangs, pods go on", hang)

    def stopped(self) -> None:
        def stop() -> None:
            monitors = self.guest.monitors()
            self.vm.run(f"systemctl stop {SERVICE}")
            left = self.vm.run(f"systemctl show --value -p ControlGroup {SERVICE}").strip()
            assert not left or self.vm.code(f"test -s /sys/fs/cgroup{left}/cgroup.procs"), (
                "processes are left in the unit"
            )
            assert self.guest.monitors() == monitors
            self.guest.answers(8080, "written")
            lines = self.vm.run("reconciler logs hello | wc -l")
            self.guest.until(f"test $(reconciler logs hello | wc -l) -gt {lines.strip()}", "the log grows")
            self.vm.run(f"systemctl start {SERVICE}")
            self.guest.converged()

        self.untouched("while the service is stopped pods run, answer and write their logs", stop)

    def firewall(self) -> None:
        def flush() -> None:
            self.vm.run("systemctl enable --now nftables && systemctl reload nftables")
            self.guest.answers(8080, "written")

        self.untouched("nftables.service flushes all rules: ports are published again", flush)

    def reboot(self) -> None:
        with self.story.step("pods are back after a reboot, each once, with its address"):
            before = {key: pod.ip for key, pod in self.guest.pods().items()}
            self.vm.run("rm -f /srv/farewell/bye")
            self.vm.reboot()
            self.guest.until(f"systemctl is-active {SERVICE}", "the service runs")
            self.guest.converged()
            after = self.guest.pods()
            assert {key: pod.ip for key, pod in after.items()} == before
            addresses = [pod.ip for pod in after.values() if pod.ip]
            assert len(set(addresses)) == len(addresses), addresses
            self.guest.answers(8080, "written")
            self.vm.run("reconciler system check")
            running = [name for one in json.loads(self.vm.run("reconciler ps --format json")) for name in one["Names"]]
            for name in ("hello/greeter", "web/server", "web/writer", "farewell/one", "udp/one"):
                assert running.count(name) == 1, f"{name} runs {running.count(name)} times: {running}"
        with self.story.step("at the shutdown containers were asked to end, and had the time to"):
            assert self.vm.run("cat /srv/farewell/bye").split() == ["bye"]

    def upgrade(self) -> None:
        with self.story.step("a new version is committed, with another default and a field that was not there"):
            model = "reconciler/model/spec.py"
            edit = [
                f"cd {PLACE}",
                """sed -i 's/^__version__ = .*/__version__ = "9.9.9"/' reconciler/__init__.py""",
                f"sed -i 's/\\(grace_period: int = costs(Cost.RECORD,\\) 30)/\\1 9)/' {model}",
                f"""sed -i 's/^    working_dir: .*/&\\n    novelty: str = costs(Cost.CONTAINER, "new")/' {model}""",
                "git -c user.name=a -c user.email=a@localhost commit -qam 'Another version'",
                "git show --format= --stat HEAD",
            ]
            assert "2 files changed, 3 insertions(+), 2 deletions(-)" in self.vm.run(" && ".join(edit), user="user")

        def upgrade() -> None:
            self._anew(f"cd {PLACE} && scripts/install", patience=2400)
            assert self.vm.run("reconciler --version").strip() == "reconciler 9.9.9"
            self.guest.converged()
            executed = self.vm.run(f"tr '\\0' ' ' </proc/{self.guest.unit('MainPID')}/cmdline")
            assert "current/bin/reconciler" in executed, executed

        self.untouched("the upgrade touches no pod", upgrade)
        with self.story.step("with the version before gone, its monitors still do their work"):
            self.vm.run("cd /usr/local/lib/reconciler && ls -d */ | grep -v -e current -e 9.9.9 | xargs -r rm -rf")
            lines = self.vm.run("reconciler logs hello | wc -l").strip()
            self.guest.until(f"test $(reconciler logs hello | wc -l) -gt {lines}", "the log grows")
            self.vm.run(f"sed -i 's/Hello from a folder/Goodbye/' {MANIFESTS}/hello.yaml")
            self.guest.until("reconciler logs --tail 1 hello | grep Goodbye", "the container is replaced")
            self.guest.converged()
            self.vm.run("reconciler system check")

    def uninstall(self) -> None:
        with self.story.step("uninstalled, nothing is left but the manifests"):
            self.vm.run("/usr/local/lib/reconciler/uninstall --yes", user="user", timeout=600)
            self.guest.expect_nothing(installed=False)
            left = self.vm.run("find /etc/reconciler -type f | sort").split()
            assert left == [f"{MANIFESTS}/{n}.yaml" for n in ("batch", "hello", "more", "web")], left
            self.vm.run("rm -rf /etc/reconciler /srv/farewell")

    def _anew(self, command: str, patience: float = 120) -> None:
        """After ``command`` another controller runs, and is ready."""
        pid = self.guest.unit("MainPID")
        self.vm.run(command, timeout=max(patience, 900))
        new = f"systemctl is-active {SERVICE} && test $(systemctl show --value -p MainPID {SERVICE}) != {pid}"
        self.guest.until(new, "another controller runs", patience)
