"""Registries as they are in the world: TLS, passwords, mirrors."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.engine.images.images import Images
from reconciler.engine.images.transfer import Access
from reconciler.model.clock import SystemClock
from reconciler.model.errors import ImageProblem, TryLater
from tests.host import imagelab as lab
from tests.host.instance import Instance

pytestmark = pytest.mark.host

PASSWORD = "correct horse"


@pytest.fixture
def images(tmp_path: Path) -> Iterator[Images]:
    images = Images(tmp_path / "images", SystemClock(), in_use=lambda _: ())
    yield images
    images.close()


@pytest.fixture
def guarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[lab.Registry]:
    """A registry with TLS and a password, of which this machine's own settings say nothing."""
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(lab.auth_file(tmp_path / "none.json", "registry.invalid", "x")))
    with lab.registry(tmp_path / "registry", password=PASSWORD) as found:
        yield found


@pytest.fixture
def certificates(tmp_path: Path, guarded: lab.Registry) -> Path:
    return tmp_path / "registry/certs"


def test_a_password_and_a_certificate_open_a_registry(
    images: Images, archive: Path, guarded: lab.Registry, certificates: Path, tmp_path: Path
) -> None:
    reference = guarded.push(archive, "team/app:1")
    passwords = lab.auth_file(tmp_path / "auth.json", guarded.address, PASSWORD)
    image = images.pull(reference, access=Access(passwords, certificates))
    assert image.names == (reference,) and (image.layers[0] / "bin/busybox").exists()
    (loaded,) = Images(tmp_path / "second", SystemClock()).load(archive)
    assert image.id == loaded.id


def test_passwords_are_found_where_the_environment_says(
    images: Images,
    archive: Path,
    guarded: lab.Registry,
    certificates: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reference = guarded.push(archive, "team/app:1")
    passwords = lab.auth_file(tmp_path / "auth.json", guarded.address, PASSWORD)
    monkeypatch.setenv("REGISTRY_AUTH_FILE", os.path.relpath(passwords))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "ca.crt"))
    assert images.pull(reference).names == (reference,)


def test_without_the_right_password_the_registry_refuses(
    images: Images, archive: Path, guarded: lab.Registry, certificates: Path, tmp_path: Path
) -> None:
    reference = guarded.push(archive, "team/app:1")
    wrong = lab.auth_file(tmp_path / "wrong.json", guarded.address, "battery staple")
    for access in (Access(cert_dir=certificates), Access(wrong, certificates)):
        with pytest.raises(ImageProblem, match=rf"^cannot pull {reference}: its registry refuses: [^\n]+$") as refused:
            images.pull(reference, access=access)
        assert "log in" in refused.value.hint and "staple" not in refused.value.message
    assert images.list() == ()


def test_a_certificate_that_nobody_vouches_for_is_told_and_may_be_waived(
    images: Images, archive: Path, guarded: lab.Registry, tmp_path: Path
) -> None:
    reference = guarded.push(archive, "team/app:1")
    passwords = lab.auth_file(tmp_path / "auth.json", guarded.address, PASSWORD)
    with pytest.raises(TryLater, match=rf"^cannot pull {reference}: its registry cannot be reached: [^\n]*x509[^\n]+$"):
        images.pull(reference, access=Access(passwords))
    assert images.pull(reference, access=Access(passwords, tls_verify=False)).names == (reference,)


def test_the_command_takes_passwords_and_certificates(
    archive: Path, guarded: lab.Registry, certificates: Path, tmp_path: Path
) -> None:
    reference = guarded.push(archive, "team/app:1")
    passwords = lab.auth_file(tmp_path / "auth.json", guarded.address, PASSWORD)
    command = [sys.executable, "-m", "reconciler", "--root", tmp_path / "r", "image", "pull", "-q", reference]

    def run(*options: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *options], timeout=60, capture_output=True, text=True)

    refused = run("--tls-verify=false")
    assert refused.returncode and "its registry refuses" in refused.stderr
    done = run("--authfile", passwords, "--cert-dir", certificates)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.strip()) == 64


POD = """
apiVersion: v1
kind: Pod
metadata: {name: app}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: moves, image: REGISTRY/app:1, command: [sleep, "1000"]}
  - {name: stays, image: REGISTRY/other:1, command: [sleep, "1000"]}
  - {name: shows, image: REGISTRY/other:1, command: [sleep, "1000"], volumeMounts: [{name: app, mountPath: /app}]}
  volumes: [{name: app, image: {reference: "REGISTRY/app:1"}}]
"""


def test_apply_pull_replaces_what_runs_a_moved_tag_and_nothing_else(
    instance: Instance, folder: Path, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lab.registry(tmp_path / "registry") as registry:
        monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(tmp_path / "registry/registries.conf"))
        for name in ("app:1", "other:1"):
            registry.push(archive, name)
        (folder / "pod.yaml").write_text(POD.replace("REGISTRY", registry.address))
        instance.ok("apply", "--wait", folder)
        before = instance.running("app")
        registry.push(lab.with_more(archive, tmp_path / "new.tar", lab.Entry("new")), "app:1")
        assert "nothing to do" in instance.ok("apply", folder), "a moved tag alone changes nothing"
        instance.ok("apply", "--wait", "--pull", folder)
        after = instance.running("app")
        assert all(after[name] != before[name] for name in ("moves", "shows"))
        assert instance.ok("exec", "app/shows", "--", "ls", "/app/new").strip() == "/app/new"
        assert {n: after[n] for n in ("infra", "stays")} == {n: before[n] for n in ("infra", "stays")}
        assert "nothing to do" in instance.ok("apply", "--pull", folder)
    away = instance.run("apply", "--pull", folder)
    assert away.returncode == 0 and away.stderr.count("its registry cannot be reached") == 2
    assert instance.running("app") == after


def test_a_mirror_serves_what_its_original_would(
    images: Images, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lab.registry(tmp_path / "registry") as mirror:
        mirror.push(archive, "copies/app:1")
        original = '[[registry]]\nprefix = "registry.invalid/team"\nlocation = "registry.invalid/team"\n'
        original += f'[[registry.mirror]]\nlocation = "{mirror.address}/copies"\ninsecure = true\n'
        (tmp_path / "mirrored.conf").write_text(original)
        monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(tmp_path / "mirrored.conf"))
        image = images.pull("registry.invalid/team/app:1")
        assert image.names == ("registry.invalid/team/app:1",)
        assert mirror.gets("copies/app/blobs") > 0


def test_a_short_name_is_looked_for_in_the_registries_that_this_machine_names(
    images: Images, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lab.registry(tmp_path / "one") as one, lab.registry(tmp_path / "two") as two:
        one.push(archive, "other:1")
        two.push(archive, "app:1")
        two.push(archive, "team/long:1")
        conf = f'unqualified-search-registries = ["{one.address}", "{two.address}"]\n'
        conf += "".join(f'[[registry]]\nlocation = "{r.address}"\ninsecure = true\n' for r in (one, two))
        conf += f'[aliases]\n"short-of-it" = "{two.address}/team/long"\n'
        (tmp_path / "short.conf").write_text(conf)
        monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(tmp_path / "short.conf"))
        image = images.pull("app:1")
        assert image.names == (f"{two.address}/app:1",) and images.get("app:1") == image
        assert '"GET /v2/app/manifests/1 HTTP/1.1" 404' in one.log.read_text(), "the first was asked first"
        assert f"{two.address}/team/long:1" in images.pull("short-of-it:1").names
        with pytest.raises(ImageProblem, match=r"^cannot pull none:1: its registry has no such image: [^\n]+$"):
            images.pull("none:1")
