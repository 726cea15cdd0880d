"""Pods that are stopped, fall over or lose their machine, and are started again as the same ones."""

from __future__ import annotations

import os
import signal
import socket
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.engine import portfacts, processes, recorded
from reconciler.engine.dns import table
from reconciler.engine.network import names
from reconciler.engine.network.sockets import Owners
from reconciler.model.actions import RenewSandbox, StartContainer
from reconciler.model.errors import PortTaken
from reconciler.model.key import Key
from reconciler.model.observed import ContainerState
from reconciler.model.spec import PortBinding
from tests.host.handmade import ASKED, ByHand, member
from tests.host.instance import Instance, checked, until
from tests.host.lives import end, zygote_of
from tests.slowness import seconds

pytestmark = [pytest.mark.host, pytest.mark.timeout(600)]

PORT = PortBinding(18320, 80)
SERVE = "mkdir -p /site; echo kept >> /site/index.html; exec httpd -f -p 80 -h /site"
"""Serves a page with a line for each of its lives."""
C, R, E = ContainerState.CREATED, ContainerState.RUNNING, ContainerState.EXITED


@pytest.fixture(params=["crun", "runc"])
def instance(root: Path, request: pytest.FixtureRequest) -> Iterator[Instance]:
    yield from checked(Instance(root, "--runtime", request.param))


@pytest.fixture
def pod(instance: Instance, image: str) -> ByHand:
    """One that serves a host port, and runs."""
    pod = ByHand.of(instance, member("one", image, SERVE), ports=(PORT,))
    pod.create()
    pod.set_up()
    pod.add("one")
    until(_ask, "it answers")
    return pod


def _ask() -> str:
    """The page that the published port leads to; "" where nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT.host_port}/", timeout=5) as page:
            text: bytes = page.read()
    except OSError:
        return ""
    return text.decode()


def _is_free(port: int) -> bool:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True


def _names(pod: ByHand) -> set[str]:
    """The pods that the name server knows."""
    layout = pod.engine.layout
    found = (table.keys(table.read(file)) for file in layout.dns_tables.iterdir() if file.name != table.PID_FILE)
    return {str(key) for keys in found for key in keys}


def _address(pod: ByHand) -> tuple[str, str]:
    """Its address and MAC, as the kernel of its namespace has them."""
    infra = pod.infra
    assert infra.pid is not None
    words = Path(f"/proc/{infra.pid.pid}/net/arp").read_text()
    assert "IP address" in words
    return pod.sandbox.ip, names.mac_of(pod.sandbox.ip)


def _identity(pod: ByHand) -> tuple[str, ...]:
    sandbox = pod.sandbox
    return (sandbox.id, sandbox.uid, sandbox.ip, sandbox.ip6, pod.infra.id, pod.member("one").id)


def test_a_stopped_pod_is_started_again_as_the_same_one(pod: ByHand) -> None:
    before, infra = _identity(pod), pod.infra
    assert "default/box" in _names(pod)
    pod.stop()
    assert (pod.infra.state, pod.member("one").state) == (E, E)
    assert _is_free(PORT.host_port)
    assert "default/box" not in _names(pod)
    assert pod.instance.leaks() == ()
    pod.revive()
    assert (pod.infra.state, pod.sandbox.networked, pod.infra.stopping) == (R, False, None)
    assert pod.infra.pid != infra.pid
    assert not _is_free(PORT.host_port)
    pod.set_up()
    pod.again("one")
    until(lambda: _ask() == "kept\nkept\n", "it answers with what it wrote in both of its lives")
    assert _identity(pod) == before
    assert "default/box" in _names(pod)
    assert pod.instance.leaks() == ()


def test_renewed_and_not_started_it_holds_its_ports_and_waits(pod: ByHand) -> None:
    pod.stop()
    pod.revive(start=False)
    assert (pod.infra.state, pod.sandbox.networked) == (C, False)
    assert not _is_free(PORT.host_port)
    waiting = pod.again("one", start=False)
    assert waiting.state is C
    before = pod.infra.pid
    pod.set_up()
    assert (pod.infra.state, pod.infra.pid) == (R, before)
    pod.perform(StartContainer(waiting.id, "one", ASKED))
    until(lambda: _ask() == "kept\nkept\n", "it answers")


def test_ports_of_a_stopped_pod_are_anybody_s(pod: ByHand, image: str) -> None:
    """Somebody else has one of them: the pod stays stopped, and nothing of it has changed."""
    pod.stop()
    other = ByHand.of(pod.instance, member("two", image), name="other", ports=(PORT,))
    assert pod.engine.host_facts(other.spec.key, other.spec).port_holders == ()
    other.create()
    other.set_up()
    record = recorded.record_of_pod(pod.engine.context, pod.sandbox.id)
    with pytest.raises(PortTaken, match="18320"):
        pod.revive()
    assert recorded.record_of_pod(pod.engine.context, pod.sandbox.id) == record
    assert pod.infra.state is E
    assert [str(h) for h in pod.engine.host_facts(pod.spec.key, pod.spec).port_holders] == ["pod default/other"]
    assert pod.instance.leaks() == ()
    other.stop()
    pod.revive()
    pod.set_up()
    assert pod.instance.leaks() == ()


def test_an_infra_container_that_is_killed_takes_its_ports_along_when_that_is_seen(pod: ByHand) -> None:
    infra = pod.infra
    assert infra.pid is not None
    end([infra.pid])
    pod.await_end(infra)
    pod.kill(pod.member("one"))
    assert not _ask()
    assert _is_free(PORT.host_port)
    pod.revive()
    pod.set_up()
    pod.again("one")
    until(lambda: _ask() == "kept\nkept\n", "it answers again")


def test_a_pod_is_renewed_by_another_spec(pod: ByHand) -> None:
    """Its ports and its host name are fixed in the infra container, which is another one now."""
    pod.stop()
    moved = replace(pod.spec.sandbox, ports=(PortBinding(18321, 80),), hostname="moved")
    pod.spec = replace(pod.spec, sandbox=moved)
    before = _identity(pod)
    pod.revive()
    pod.set_up()
    pod.again("one")
    assert _identity(pod) == before
    assert pod.sandbox.applied.sandbox.hostname == "moved"
    one = pod.member("one")
    assert one.pid is not None
    assert Path(f"/proc/{one.pid.pid}/root/etc/hostname").read_text() == "moved\n"
    assert _is_free(PORT.host_port)
    assert not _is_free(18321)
    assert pod.instance.leaks() == ()


def test_members_of_a_user_namespace_keep_their_files(instance: Instance, image: str) -> None:
    """Files over the layers belong to ids of the machine, which the pod keeps."""
    pod = ByHand.of(instance, member("one", image, "id -u >> /who; stat -c %u /who; exec sleep 1000"), host_users=False)
    pod.create()
    pod.set_up()
    first = pod.add("one")
    until(lambda: pod.log(first) == "0\n", "it runs")
    ids = recorded.require_pod(instance.engine.context, pod.sandbox.id).ids
    pod.stop()
    pod.revive()
    pod.set_up()
    again = pod.again("one")
    until(lambda: pod.log(again) == "0\n0\n", "it owns what it wrote before")
    assert recorded.require_pod(instance.engine.context, pod.sandbox.id).ids == ids
    assert again.pid is not None
    assert Path(f"/proc/{again.pid.pid}/uid_map").read_text().split() == ["0", str(ids), "65536"]


def test_a_reboot_is_an_end_like_another(pod: ByHand, reboot: Callable[[], None]) -> None:
    before = _identity(pod)
    reboot()
    other = ByHand.of(pod.instance, name="other", ports=(PORT,))
    assert pod.engine.host_facts(other.spec.key, other.spec).port_holders == (), "nobody has it since the reboot"
    one, infra = pod.member("one"), pod.infra
    assert (one.state, infra.state) == (E, E)
    assert one.exit is not None
    assert one.exit.code == -1
    pod.revive()
    pod.set_up()
    pod.again("one")
    until(lambda: _ask() == "kept\nkept\n", "it answers with what it wrote before the reboot")
    assert _identity(pod) == before
    assert pod.instance.leaks() == ()


def test_another_pod_takes_the_ports_after_a_reboot(pod: ByHand, image: str, reboot: Callable[[], None]) -> None:
    """The index knew the first one as their holder; nothing leads to it any more."""
    reboot()
    other = ByHand.of(pod.instance, member("one", image, SERVE.replace("kept", "other")), name="other", ports=(PORT,))
    other.create()
    other.set_up()
    other.add("one")
    until(lambda: _ask() == "other\n", "the other one answers")
    with pytest.raises(PortTaken):
        pod.revive()
    assert pod.instance.leaks() == ()


def test_killed_at_any_effect_it_has_ended_and_is_renewed(pod: ByHand, tmp_path: Path) -> None:
    before = _identity(pod)
    pod.stop()
    renewal = RenewSandbox(pod.sandbox.id, pod.spec, ASKED)
    faults = pod.effects(renewal, tmp_path / "trace")
    assert {"monitor.create:after:1", "gate.open:after:1"} <= set(faults)
    for fault in faults:
        pod.stop()
        assert pod.die(renewal, fault), fault
        infra = pod.infra
        assert infra.state in (E, C, R), fault
        if infra.state is E:
            assert infra.exit is not None, fault
            # the zygote has copies of the sockets until it has reaped who watched that life
            until(lambda: _is_free(PORT.host_port), f"the port is free after {fault}")
            assert not pod.sandbox.networked, fault
        else:
            pod.kill(infra)
        pod.revive()
        pod.set_up()
        one = pod.again("one")
        until(lambda: _ask().endswith("kept\n"), f"it answers after {fault}")
        assert one.pid is not None
        assert processes.alive(one.pid), fault
        assert _identity(pod) == before, fault
        pod.engine.tidy()
        assert pod.instance.leaks() == (), fault
    assert pod.engine.keys() == (Key("default", "box"),)


def test_it_waits_for_ports_that_the_zygote_still_has(
    pod: ByHand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has copies of what a monitor holds, until it has reaped it."""
    monkeypatch.setattr(portfacts, "LETS_GO", seconds(30))
    pod.stop()
    assert pod.die(RenewSandbox(pod.sandbox.id, pod.spec, ASKED), "monitor.create:after:1")
    zygote = zygote_of(pod.instance).pid
    with ThreadPoolExecutor(1) as another:
        os.kill(zygote, signal.SIGSTOP)
        revived = another.submit(pod.revive)
        until(lambda: revived.done() or Owners().all_of(PORT) == (zygote,), "it alone has the port")
        assert not revived.done()
        os.kill(zygote, signal.SIGCONT)
        revived.result(seconds(60))
    assert pod.infra.state is R
    assert not _is_free(PORT.host_port)
