"""The key of digests may be lost or damaged: what pods run by is told by it all the same, and nothing is restarted."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.model.process import PidRef
from tests.host.instance import Instance, until
from tests.host.lives import expect_settled, log_of, replaced, sleeper
from tests.host.manifests import Manifest, pod, put

pytestmark = pytest.mark.host

SECRET: Manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}}


def write_secret(folder: Path, password: str) -> None:
    put(folder / "db.yaml", SECRET | {"stringData": {"password": password}})


def write_pods(folder: Path, image: str, label: str) -> None:
    """One with the Secret in a member's environment, another with its files in a volume."""
    password = {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}
    mounts = [{"name": "v", "mountPath": "/v"}]
    volumes = [{"name": "v", "secret": {"secretName": "db"}}]
    told = pod("a", sleeper("app", image, env=[password]), sleeper("side", image))
    told["metadata"]["labels"] = {"edit": label}
    put(folder / "a.yaml", told)
    put(folder / "b.yaml", pod("b", sleeper("app", image, volumeMounts=mounts), volumes=volumes))


@pytest.fixture
def running(instance: Instance, image: str, folder: Path) -> Instance:
    write_secret(folder, "first")
    write_pods(folder, image, "old")
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    return instance


def label_of(instance: Instance) -> str:
    return str(json.loads(instance.ok("get", "pod", "a", "-o", "json"))["metadata"]["labels"]["edit"])


def processes(instance: Instance) -> dict[str, dict[str, PidRef]]:
    return {name: instance.running(name) for name in "ab"}


def lose(key: Path) -> None:
    key.unlink()


def overwrite(key: Path) -> None:
    key.write_bytes(b"rubbish " * 100)


def exchange(key: Path) -> None:
    """No look at it alone can tell."""
    key.write_bytes(os.urandom(len(key.read_bytes())))


@pytest.mark.parametrize("happens", [lose, overwrite, exchange])
def test_nothing_is_restarted(happens: Callable[[Path], None], running: Instance, image: str, folder: Path) -> None:
    """Whether it happens before a controller comes or while it works; afterwards an edit is still seen as one."""
    before, key = processes(running), running.engine.layout.digest_key
    was = key.read_bytes()
    happens(key)
    done = running.run("diff", folder)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert key.read_bytes() == was
    running.watch(folder)
    write_pods(folder, image, "new")
    until(lambda: label_of(running) == "new", "the controller works")
    happens(key)
    write_pods(folder, image, "newest")
    until(lambda: label_of(running) == "newest", "it has looked at the pod again")
    assert processes(running) == before
    write_secret(folder, "second")
    replaced(running, "a", "app", before["a"]["app"])
    until(lambda: running.run("exec", "b/app", "cat", "/v/password").stdout == "second", "the file follows")
    after = processes(running)
    assert [name for name in "ab" for one in before[name] if before[name][one] != after[name][one]] == ["a"]
    assert key.read_bytes() == was
    expect_settled(running, folder)
    assert "Traceback" not in log_of(running)
