"""Services give names to the ready pods that they select: through a real name server, in the worker's namespace."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from reconciler.model.key import Key
from tests.host.dnslab import AAAA, resolve
from tests.host.instance import Instance, until
from tests.host.manifests import Manifest, container, pod, put

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

ONE, TWO, OTHER, ASKER = Key("default", "one"), Key("default", "two"), Key("other", "one"), Key("default", "asker")

SHOP = "shop.default.svc.cluster.local"
"""Where there is no such Service, a name without a domain is one that only others could know: some servers wait."""


def labelled(key: Key, image: str, **labels: str) -> Manifest:
    manifest = pod(key.name, container("app", image), restartPolicy="Never")
    manifest["metadata"] |= {"namespace": key.namespace, "labels": labels}
    return manifest


def service(name: str, **spec: Any) -> Manifest:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def ip_of(instance: Instance, key: Key, attribute: str = "ip") -> str:
    sandbox = instance.engine.observe(key, None).sandbox
    assert sandbox is not None
    return str(getattr(sandbox, attribute))


def leads(instance: Instance, name: str, *to: str, kind: int = 1) -> None:
    until(lambda: resolve(instance, ASKER, name, kind) == set(to), f"{name} leads to {to}")


def test_its_name_leads_to_the_pods_that_it_selects(instance: Instance, image: str, folder: Path) -> None:
    put(folder / "a.yaml", service("shop", selector={"app": "shop"}, clusterIP="None"))
    for number, manifest in enumerate(
        [
            labelled(ONE, image, app="shop"),
            labelled(TWO, image, app="shop", tier="back"),
            labelled(OTHER, image, app="shop"),
            labelled(ASKER, image, app="asker"),
        ]
    ):
        put(folder / f"{number}.yaml", manifest)
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    one, two = ip_of(instance, ONE), ip_of(instance, TWO)
    for name in ("shop", "shop.default", "shop.default.svc.cluster.local"):
        leads(instance, name, one, two)
    leads(instance, "shop", ip_of(instance, ONE, "ip6"), ip_of(instance, TWO, "ip6"), kind=AAAA)
    before = instance.running("one"), instance.running("two")
    again = instance.ok("apply", "--wait", folder)
    assert "nothing" in again or "unchanged" in again, again
    put(folder / "a.yaml", service("shop", selector={"tier": "back"}))
    instance.ok("apply", "--wait", folder)
    leads(instance, "shop", two)
    (folder / "a.yaml").unlink()
    instance.ok("apply", "--wait", folder)
    leads(instance, SHOP)
    assert (instance.running("one"), instance.running("two")) == before, "pods are as they were"
    assert "clean" in instance.ok("system", "check")


def test_it_leads_to_none_that_is_not_ready(instance: Instance, image: str, folder: Path) -> None:
    """But where it says so; and a file with a Service alone is heard of by pods that run."""
    for number, manifest in enumerate(
        [labelled(ONE, image, app="shop"), labelled(TWO, image, app="shop"), labelled(ASKER, image)]
    ):
        put(folder / f"{number}.yaml", manifest)
    instance.watch(folder)
    until(lambda: all("app" in instance.running(key.name) for key in (ONE, TWO, ASKER)), "the pods run")
    put(folder / "later.yaml", service("shop", selector={"app": "shop"}))
    put(folder / "every.yaml", service("every", selector={"app": "shop"}, publishNotReadyAddresses=True))
    one, two = ip_of(instance, ONE), ip_of(instance, TWO)
    leads(instance, SHOP, one, two)
    os.kill(instance.running("two")["app"].pid, signal.SIGKILL)
    leads(instance, SHOP, one)
    leads(instance, "every", one, two)
    (folder / "1.yaml").unlink()
    until(lambda: instance.engine.observe(TWO, None).sandbox is None, "it goes")
    leads(instance, "every", one)


def test_a_played_file_brings_its_own(instance: Instance, image: str, folder: Path) -> None:
    manifests = [service("shop", selector={"app": "shop"}), labelled(ONE, image, app="shop"), labelled(ASKER, image)]
    for number, manifest in enumerate(manifests):
        put(folder / f"{number}.json", manifest)
    put(folder / "all.yaml", {"apiVersion": "v1", "kind": "List", "items": manifests})
    instance.ok("kube", "play", folder / "all.yaml")
    leads(instance, "shop", ip_of(instance, ONE))
    instance.ok("pod", "restart", "one")
    leads(instance, "shop", ip_of(instance, ONE))
