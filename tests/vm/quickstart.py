"""The README's commands on a bare system, as somebody types them who reads it for the first time."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.vm.guest import Guest
from tests.vm.machine import Machine
from tests.vm.steps import Story

CHECKOUT = Path(__file__).parents[2]
PLACE = "/home/user/reconciler"


def clone(vm: Machine, story: Story) -> None:
    """This checkout's HEAD, in the guest's user's home; one that is there, with commits of its own, is put right."""
    with story.step("the checkout is cloned"):
        bundle = subprocess.run(
            ["git", "bundle", "create", "-q", "-", "HEAD"], cwd=CHECKOUT, capture_output=True, check=True
        )
        vm.put(bundle.stdout, "/tmp/checkout.bundle", user="user")
        take = f"git -C {PLACE} fetch -q /tmp/checkout.bundle HEAD && git -C {PLACE} reset -q --hard FETCH_HEAD"
        new = f"git clone -q /tmp/checkout.bundle {PLACE}"
        vm.run(f"if test -d {PLACE}; then {take}; else {new}; fi && rm /tmp/checkout.bundle", user="user")


def run(vm: Machine, story: Story) -> None:
    """The section "Quick start", then a look around, then away with it."""
    clone(vm, story)
    guest = Guest(vm)
    command = f"sudo {PLACE}/.venv/bin/reconciler"
    with story.step("scripts/up installs what is missing and watches manifests/"):
        vm.run("cd reconciler; setsid nohup scripts/up >up.log 2>&1 </dev/null &", user="user")
        guest.until("grep -q 'controller starts' /home/user/reconciler/up.log", "the controller starts", patience=1800)
    with story.step("the examples run"):
        guest.until(
            f"{command} get pods web | grep -q ' 2/2 *Running ' && {command} get pods hello | grep -q ' 1/1 *Running '",
            "web and hello run",
        )
        guest.answers(8080, "written")
        assert "Hello from a folder" in vm.run(f"{command} logs --tail 1 hello", user="user")
        assert "index.html" in vm.run(f"{command} exec web/server -- ls /site", user="user")
    with story.step("an edit replaces that container only"):
        before = vm.run(f"{command} get pods web -o json")
        vm.run("sed -i 's/Hello from a folder/Goodbye/' reconciler/manifests/hello.yaml", user="user")
        guest.until(f"{command} logs --tail 1 hello | grep Goodbye", "the new greeting")
        assert vm.run(f"{command} get pods web -o json") == before
    with story.step("Ctrl-C ends the controller, pods go on"):
        vm.run("pkill -INT -f '[b]in/reconciler watch'")
        guest.until("! pgrep -f '[b]in/reconciler watch'", "the controller has ended")
        guest.answers(8080, "written")
    with story.step("system reset leaves nothing"):
        vm.run(f"{command} system check", user="user")
        vm.run(f"{command} system reset --yes", user="user")
        guest.expect_nothing()
        vm.run("cd reconciler && git checkout -q manifests && sudo rm -rf .venv *.egg-info up.log", user="user")
