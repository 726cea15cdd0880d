"""/etc/hosts, /etc/hostname and /etc/resolv.conf as processes in a pod read them: by the spec, by the host, and
rewritten in place while the process that reads them goes on."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.host.instance import Instance, until
from tests.host.manifests import Manifest, container, pod, put

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

RESOLV_CONF = "search lan\nnameserver 192.0.2.53\noptions edns0\n"

SetHost = Callable[[str], object]


@pytest.fixture
def host_says(tmp_path: Path) -> Iterator[SetHost]:
    """Make the host's /etc/resolv.conf say something, in this worker's mount namespace."""
    ours = tmp_path / "host-resolv.conf"
    ours.write_text(RESOLV_CONF)
    subprocess.run(["mount", "--bind", ours, "/etc/resolv.conf"], check=True, timeout=30)
    yield ours.write_text
    subprocess.run(["umount", "/etc/resolv.conf"], check=True, timeout=30)


def seen(instance: Instance, name: str, file: str) -> str:
    """What the file says to the pod's first member."""
    return instance.ok("exec", f"{name}/app", "--", "cat", f"/etc/{file}")


def one(name: str, image: str, **spec: Any) -> Manifest:
    return pod(name, container("app", image), **spec)


def apply(instance: Instance, folder: Path) -> None:
    instance.ok("apply", "--wait", "--timeout", 60, folder)


ALIASES = [{"ip": "192.0.2.7", "hostnames": ["printer", "printer.lan"]}]


def test_edits_and_the_hosts_resolvers_are_written_in_place(
    instance: Instance, image: str, folder: Path, host_says: SetHost
) -> None:
    """The process that runs sees the new text through the same inode."""
    manifest = one("web", image, dnsPolicy="Default", subdomain="sub")
    put(folder / "web.yaml", manifest)
    apply(instance, folder)
    before = instance.running("web")
    inodes = instance.ok("exec", "web/app", "--", "stat", "-c", "%i", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf")
    assert seen(instance, "web", "resolv.conf") == RESOLV_CONF
    assert seen(instance, "web", "hostname") == "web\n"
    header, *lines = seen(instance, "web", "hosts").splitlines()
    assert header == "# Kubernetes-managed hosts file."
    assert lines[0] == "127.0.0.1\tlocalhost"
    sandbox = instance.engine.observe(next(iter(instance.engine.keys())), None).sandbox
    assert sandbox is not None
    assert f"{sandbox.ip}\tweb.sub.default.svc.cluster.local\tweb" in lines

    manifest["spec"] |= {
        "hostAliases": ALIASES,
        "dnsConfig": {"nameservers": ["192.0.2.54"], "searches": ["more.lan"], "options": [{"name": "edns0"}]},
    }
    put(folder / "web.yaml", manifest)
    apply(instance, folder)
    edited = "search lan more.lan\nnameserver 192.0.2.53\nnameserver 192.0.2.54\noptions edns0\n"
    assert seen(instance, "web", "resolv.conf") == edited
    assert seen(instance, "web", "hosts").endswith(
        "\n\n# Entries added by HostAliases.\n192.0.2.7\tprinter\tprinter.lan\n"
    )

    host_says("search other\nnameserver 127.0.0.1\nnameserver 192.0.2.99\n")
    apply(instance, folder)
    followed = "search other more.lan\nnameserver 192.0.2.99\nnameserver 192.0.2.54\noptions edns0\n"
    assert seen(instance, "web", "resolv.conf") == followed

    assert instance.running("web") == before
    assert inodes == instance.ok(
        "exec", "web/app", "--", "stat", "-c", "%i", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"
    )
    told = instance.ok("events", "--for", "default/web")
    assert "spec.hostAliases changed" in told
    assert "what the host says of names changed" in told


def test_what_a_process_wrote_itself_stays_until_something_else_is_wanted(
    instance: Instance, image: str, folder: Path, host_says: SetHost
) -> None:
    put(folder / "web.yaml", one("web", image, dnsPolicy="Default"))
    apply(instance, folder)
    instance.ok("exec", "web/app", "--", "sh", "-c", "echo 192.0.2.8 mine >> /etc/hosts")
    apply(instance, folder)
    assert "192.0.2.8 mine" in seen(instance, "web", "hosts")


def test_the_controller_follows_the_hosts_resolvers(
    instance: Instance, image: str, folder: Path, host_says: SetHost
) -> None:
    """At its next look at the pod; here an edited label makes it look."""
    manifest = one("web", image, dnsPolicy="Default")
    put(folder / "web.yaml", manifest)
    instance.watch(folder)
    until(lambda: "app" in instance.running("web"), "the pod runs")
    before = instance.running("web")
    host_says("nameserver 192.0.2.77\n")
    manifest["metadata"]["labels"] = {"a": "b"}
    put(folder / "web.yaml", manifest)
    until(lambda: seen(instance, "web", "resolv.conf") == "nameserver 192.0.2.77\n", "resolv.conf follows")
    assert instance.running("web") == before


def test_on_the_hosts_network_the_hosts_files_count(
    instance: Instance, image: str, folder: Path, host_says: SetHost
) -> None:
    host_says("nameserver 127.0.0.53\n")
    put(folder / "web.yaml", one("web", image, hostNetwork=True, hostAliases=ALIASES))
    apply(instance, folder)
    assert seen(instance, "web", "resolv.conf") == "nameserver 127.0.0.53\n", "on loopback, which is the pod's too"
    assert seen(instance, "web", "hostname") == f"{platform.node()}\n"
    expected = f"# Kubernetes-managed hosts file (host network).\n{Path('/etc/hosts').read_text()}"
    assert seen(instance, "web", "hosts").startswith(expected)
    assert seen(instance, "web", "hosts").endswith("192.0.2.7\tprinter\tprinter.lan\n")


def test_a_host_name_of_its_own_is_what_the_pod_itself_says_and_no_name_for_others(
    instance: Instance, image: str, folder: Path
) -> None:
    override = "legacy.example.org"
    put(folder / "web.yaml", one("web", image, hostname="box", subdomain="sub", hostnameOverride=override))
    apply(instance, folder)
    ip = json.loads(instance.ok("get", "pod", "web", "-o", "json"))["status"]["podIP"]
    assert instance.ok("exec", "web/app", "--", "hostname") == f"{override}\n"
    assert instance.ok("exec", "web/app", "--", "sh", "-c", "echo $HOSTNAME") == f"{override}\n"
    assert seen(instance, "web", "hostname") == f"{override}\n"
    assert f"{ip}\t{override}\n" in seen(instance, "web", "hosts")


def test_the_whole_name_as_host_name_within_the_kernels_64_characters(
    instance: Instance, image: str, folder: Path
) -> None:
    """What the kernel would not take is found before anything that runs is stopped for it."""
    manifest = one("web", image, hostname="box", subdomain="sub", setHostnameAsFQDN=True)
    put(folder / "web.yaml", manifest)
    apply(instance, folder)
    full = "box.sub.default.svc.cluster.local\n"
    assert instance.ok("exec", "web/app", "--", "hostname") == full
    assert seen(instance, "web", "hostname") == full
    before = instance.running("web")

    manifest["spec"]["subdomain"] = "s" * 40
    put(folder / "web.yaml", manifest)
    instance.in_vain(folder, "characters, more than 64", limit=2)
    assert instance.running("web") == before
