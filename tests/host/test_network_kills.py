"""Killed at any point of setting up a pod's network, the next try finishes it: SIGKILL before and after each effect."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.engine import effects
from reconciler.engine.network import bridge, ipv6, pod, portmap, ports, sysctls  # noqa: F401 (they register their effects)
from reconciler.engine.network.portmap import Published
from reconciler.model.spec import PortBinding
from tests.host.netlab import Lab, Node, ask, bridged, lab, serve

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

LINK = ("link.create", "link.configure", "link.finish")
SET_UP = ("bridge.create", "bridge.address", "sysctl.set", *LINK, "nft.declare")
TAKE_DOWN = ("nft.remove", "bridge.remove")
BINDING = PortBinding(8080, 80)


@pytest.fixture
def bare() -> Iterator[Lab]:
    with lab() as made:
        yield made


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("point", SET_UP)
def test_setting_up_is_finished_by_the_next_try(bare: Lab, point: str, moment: str) -> None:
    assert point in effects.points()
    node = bare.node()
    node.ip = "10.101.0.2"
    killed = _work(node, "up", f"{point}:{moment}")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    done = _work(node, "up")
    assert done.returncode == 0, done.stderr
    serve(bare, node, "web", socket.SOCK_STREAM, 80)
    assert ask(None, socket.SOCK_STREAM, "127.0.0.1", 8080)[0] == "web"
    assert ask(node, socket.SOCK_STREAM, "10.101.0.1", 8080)[0] == "web"
    assert pod.leaked_links("tst2", [node.id], 0.05) == ()
    assert portmap.current("tst2") == set(portmap.elements(Published(node.id, node.ip, (BINDING,))))


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("point", TAKE_DOWN)
def test_taking_down_is_finished_by_the_next_try(point: str, moment: str) -> None:
    with bridged() as made:
        node = made.pod("10.101.0.2")
        assert _work(node, "up").returncode == 0
        assert _work(node, "down", f"{point}:{moment}").returncode == -signal.SIGKILL
        done = _work(node, "down")
        assert done.returncode == 0, done.stderr
        assert bridge.find_network("rc-tst2") is None
        assert portmap.current("tst2") == frozenset()
        assert pod.links("tst2") == ()


CONF = Path("/proc/sys/net/ipv6/conf")


def test_a_host_that_begins_to_forward_closes_what_was_closed(tmp_path: Path) -> None:
    """SIGKILL after each sysctl of it: the next one finishes, and closes nothing that its owner opened meanwhile."""
    killed = 0
    while True:
        with lab() as made:
            for link in ("up0", "up9"):
                made.machine(link, f"2001:db8:{link[2:]}::1", f"2001:db8:{link[2:]}::2")
            memory = tmp_path / "forwarding"
            again = _forward(memory, f"sysctl.set:after:{killed + 1}")
            if again.returncode == 0:
                break
            assert again.returncode == -signal.SIGKILL, again.stderr
            killed += 1
            done = _forward(memory)
            assert done.returncode == 0, done.stderr
            assert (CONF / "all/forwarding").read_text() == "1\n"
            assert ipv6.closed() == ("up0", "up9")
            assert [(CONF / link / "accept_ra").read_text() for link in ("up0", "up9")] == ["2\n", "2\n"]
            assert (CONF / "default/forwarding").read_text() == "0\n"
            assert not memory.exists()
            (CONF / "up0/forwarding").write_text("1")
            assert _forward(memory).returncode == 0
            assert ipv6.closed() == ("up9",)
    assert killed >= 6, "two to hear routers, one to forward, three to close"


def _forward(memory: Path, fault: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, __file__, "forward", str(memory)],
        cwd=Path(__file__).parents[2],
        env=os.environ | ({effects.FAULT: fault} if fault else {}) | {"PYTHONPATH": "."},
        capture_output=True,
        text=True,
        timeout=30,
    )


def _work(node: Node, what: str, fault: str = "") -> subprocess.CompletedProcess[str]:
    """What a process of ours does, in the network namespace of the test."""
    environment = os.environ | ({effects.FAULT: fault} if fault else {})
    return subprocess.run(
        [sys.executable, __file__, what, node.id, str(node.ref.pid), str(node.ref.start), node.ip],
        cwd=Path(__file__).parents[2],
        env=environment | {"PYTHONPATH": "."},
        capture_output=True,
        text=True,
        timeout=30,
    )


def _main(what: str, pod_id: str, pid: str, start: str, ip: str) -> None:
    from reconciler.model.key import PodId
    from reconciler.model.observed import PidRef
    from tests.host.netlab import NETWORK, NETWORK6

    config = bridge.BridgeConfig("tst2", NETWORK, 1400, NETWORK6)
    identity = PodId(pod_id)
    if what == "up":
        bridge.ensure_bridge(config)
        pod.attach(config, identity, PidRef(int(pid), int(start)), ip)
        portmap.declare("tst2", [config], [Published(identity, ip, (BINDING,))])
    else:
        portmap.declare("tst2", [config], [])
        pod.detach("tst2", identity)
        portmap.remove_table("tst2")
        bridge.remove_bridge("rc-tst2")


if __name__ == "__main__":
    if sys.argv[1] == "forward":
        ipv6.forward(Path(sys.argv[2]))
    else:
        _main(*sys.argv[1:])
