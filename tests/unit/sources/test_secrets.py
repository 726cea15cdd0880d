"""Secrets of a folder: found in whatever file they are, and whom a change of one concerns."""

from __future__ import annotations

import json
from pathlib import Path

from reconciler.controller.wanted import Wanted
from reconciler.model.key import Key
from reconciler.model.login import Logins
from reconciler.sources.directory import SETTLE, DirectorySource
from tests.fakes.clock import FakeClock
from tests.unit.sources.manifests import BROKEN, key

POD = """
apiVersion: v1
kind: Pod
metadata: {name: NAME}
spec:
  imagePullSecrets: [{name: SECRET}]
  containers: [{name: c, image: "registry.test/app:1"}]
"""


def secret(name: str, password: str) -> str:
    config = json.dumps({"auths": {"registry.test": {"username": "me", "password": password}}})
    kind = "kubernetes.io/dockerconfigjson"
    data = {".dockerconfigjson": config}
    return json.dumps(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": kind, "stringData": data}
    )


def logins(wanted: Wanted, namespace: str, name: str) -> Logins | None:
    found = wanted.objects_for(Key(namespace, "one"), None)("Secret", name)
    return found.logins if found else None


def folder(place: Path, clock: FakeClock | None = None) -> tuple[DirectorySource, Wanted]:
    source = DirectorySource(place, clock=clock or FakeClock())
    for name, wanted in (("one", "cred"), ("two", "cred"), ("three", "other")):
        (place / f"{name}.yaml").write_text(POD.replace("NAME", name).replace("SECRET", wanted))
    return source, Wanted([source])


def test_a_secret_is_found_in_whatever_file_and_its_change_concerns_the_pods_that_name_it(tmp_path: Path) -> None:
    clock = FakeClock()
    source, wanted = folder(tmp_path, clock)
    source.scan()
    assert logins(wanted, "default", "cred") is None
    (tmp_path / "zz.json").write_text(secret("cred", "first"))
    assert source.scan()[1] == {key("one"), key("two")}
    first = logins(wanted, "default", "cred")
    assert first and logins(wanted, "elsewhere", "cred") is None
    (tmp_path / "zz.json").write_text(secret("cred", "second one"))
    assert source.scan()[1] == {key("one"), key("two")} and logins(wanted, "default", "cred") != first
    (tmp_path / "zz.json").unlink()
    assert source.scan()[1] == {key("one"), key("two")} and logins(wanted, "default", "cred")
    clock.advance(SETTLE)
    assert source.scan()[1] == {key("one"), key("two")} and logins(wanted, "default", "cred") is None


def test_a_file_that_breaks_keeps_its_secrets(tmp_path: Path) -> None:
    source, wanted = folder(tmp_path)
    (tmp_path / "s.yaml").write_text(secret("cred", "x"))
    source.scan()
    before = logins(wanted, "default", "cred")
    (tmp_path / "s.yaml").write_text(BROKEN)
    for _ in range(3):
        assert not source.scan()[0].files["s.yaml"].loaded.complete
        assert before and logins(wanted, "default", "cred") == before


def test_of_two_secrets_of_one_name_the_first_by_path_counts(tmp_path: Path) -> None:
    source, wanted = folder(tmp_path)
    for name in ("b", "a"):
        (tmp_path / f"{name}.json").write_text(secret("cred", name))
    source.scan()
    twice = logins(wanted, "default", "cred")
    (told,) = source.problems()
    assert (
        str(told) == f"{tmp_path}/b.json:1: Secret default/cred is already defined in {tmp_path}/a.json:1, which counts"
    )
    (tmp_path / "b.json").unlink()
    assert not source.scan()[1] and logins(wanted, "default", "cred") == twice
