"""imagePullSecrets: a registry with a password, a Secret in a file, a pod in another; and where the password is not."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.model.events import Event
from tests.host import imagelab as lab
from tests.host.instance import Instance, until

pytestmark = pytest.mark.host

PASSWORD = "swordfish-in-a-can"

POD = """
apiVersion: v1
kind: Pod
metadata: {name: guarded}
spec:
  terminationGracePeriodSeconds: 1
  imagePullSecrets: [{name: regcred}]
  containers:
  - {name: c, image: IMAGE, command: [sleep, "1000"]}
"""


@pytest.fixture
def guarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[lab.Registry]:
    """A registry with TLS and a password, whose certificate this machine trusts."""
    with lab.registry(tmp_path / "registry", password=PASSWORD) as found:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "registry/certs/ca.crt"))
        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(lab.auth_file(tmp_path / "none.json", "registry.invalid", "x")))
        yield found


def secret(place: str, password: str) -> str:
    auth = base64.b64encode(f"{lab.USER}:{password}".encode()).decode()
    config = json.dumps({"auths": {place: {"auth": auth}}})
    made = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "regcred"}}
    return json.dumps(made | {"type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": config}})


def events(instance: Instance, reason: str) -> list[Event]:
    return [e for e in instance.engine.events(about="default/guarded") if e.reason == reason]


def messages(instance: Instance, reason: str) -> list[str]:
    return [e.message for e in events(instance, reason)]


def test_a_pod_waits_for_the_right_password_and_pulls_with_it_at_once(
    instance: Instance, folder: Path, guarded: lab.Registry, archive: Path, tmp_path: Path
) -> None:
    image = guarded.push(archive, "team/app:1")
    (folder / "a-pod.yaml").write_text(POD.replace("IMAGE", image))
    instance.watch(folder)
    (missing,) = until(
        lambda: messages(instance, "FailedToRetrieveImagePullSecret"), "a missing Secret is told, the pull tried"
    )
    assert missing == (
        "Unable to retrieve some image pull secrets (regcred); attempting to pull the image may not succeed."
    )
    until(lambda: any("its registry refuses" in m for m in messages(instance, "Failed")), "the registry refuses")
    until(lambda: messages(instance, "BackOff"), "it backs off")

    (folder / "z-secret.json").write_text(secret(guarded.address, "wrong-" + PASSWORD))
    until(lambda: sum(e.count for e in events(instance, "Pulling")) >= 2, "another password is tried")
    (folder / "z-secret.json").write_text(secret(f"*.0.0.1:{guarded.address.partition(':')[2]}", PASSWORD))
    until(
        lambda: instance.running("guarded").get("c"), "the right one opens the registry, well before the backoff's end"
    )
    (pulled,) = messages(instance, "Pulled")
    assert pulled.startswith(f'Successfully pulled image "{image}" in ') and "Image size: " in pulled
    assert "Secret/default/regcred" in instance.ok("status", folder)

    hidden = {PASSWORD, base64.b64encode(f"{lab.USER}:{PASSWORD}".encode()).decode()}
    # Another process must look: one that closes the database file loses SQLite's locks on it.
    words = [option for word in hidden for option in ("-e", word)]
    found = subprocess.run(["grep", "-rlF", "-D", "skip", *words, instance.root], capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (1, ""), "the password is nowhere on the disk"
    said = instance.ok("events") + instance.ok("get", "pods", "-o", "yaml") + instance.ok("diff", folder)
    assert not any(word in said for word in hidden)


def test_skopeo_gets_passwords_neither_as_an_argument_nor_as_a_file_with_a_name(
    instance: Instance, folder: Path, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A skopeo that writes down how it was called, before it goes on as the real one."""
    with lab.registry(tmp_path / "registry") as registry:
        monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(tmp_path / "registry/registries.conf"))
        image = registry.push(archive, "team/app:1")
        (tmp_path / "bin").mkdir()
        script = tmp_path / "bin/skopeo"
        real = subprocess.check_output(["sh", "-c", "command -v skopeo"], text=True).strip()
        seen = tmp_path / "seen"
        seen.mkdir()
        script.write_text(
            f'#!/bin/sh\ntr "\\0" " " </proc/$$/cmdline >>{seen}/argv\n'
            f'for a; do case $a in --*authfile=*) cat "${{a#*=}}" >>{seen}/auth; '
            f'readlink "${{a#*=}}" >>{seen}/where;; esac; done\nexec {real} "$@"\n'
        )
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
        (folder / "secret.json").write_text(secret(registry.address, PASSWORD))
        (folder / "pod.yaml").write_text(POD.replace("IMAGE", image))
        instance.ok("apply", "--wait", folder)
    auth = base64.b64encode(f"{lab.USER}:{PASSWORD}".encode()).decode()
    assert auth in (seen / "auth").read_text()
    assert set((seen / "where").read_text().splitlines()) == {"/memfd:auth.json (deleted)"}
    argv = (seen / "argv").read_text()
    assert image in argv and auth not in argv and PASSWORD not in argv
