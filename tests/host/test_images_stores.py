"""Images that other programs of this host built: buildah's store as it is, and docker's API.

No docker engine runs here. What skopeo and we ask of one is answered by a server of the test's own, with an archive as
``docker save`` writes it: it shows that we speak the API, not that every docker answers so.
"""

from __future__ import annotations

import json
import os
import socketserver
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from reconciler.engine.images.images import Images
from reconciler.engine.images.reference import parse
from reconciler.engine.images.view import LayerView
from reconciler.model.observed import ImageStatus
from reconciler.model.spec import PullPolicy
from tests.host import imagelab as lab
from tests.host.conftest import short_directory
from tests.host.imagelab import Entry, layer
from tests.host.instance import Instance, until

pytestmark = pytest.mark.host

ALWAYS, IF_NOT_PRESENT, NEVER = PullPolicy.ALWAYS, PullPolicy.IF_NOT_PRESENT, PullPolicy.NEVER

POD = """
apiVersion: v1
kind: Pod
metadata: {name: built}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: c
    image: mine
    imagePullPolicy: Never
    command: [/busybox, sh, -c, "/busybox cat /edition; exec /busybox sleep 1000"]
"""


@pytest.fixture
def buildah(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """buildah (or podman) with a store of the test's own, which storage.conf names."""
    place = short_directory()
    conf = f'[storage]\ndriver = "vfs"\ngraphroot = "{place}/g"\nrunroot = "{place}/r"\n'
    (place / "storage.conf").write_text(conf)
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", str(place / "storage.conf"))

    def run(*argv: str | Path) -> str:
        return subprocess.run(argv, check=True, timeout=60, capture_output=True, text=True).stdout.strip()

    yield run
    subprocess.run(["rm", "-rf", place], check=True)


def build(buildah: Callable[..., str], edition: str, name: str) -> None:
    container = buildah("buildah", "from", "scratch")
    Path("edition").write_text(f"{edition}\n")
    busybox = buildah("sh", "-c", "command -v busybox")
    buildah("buildah", "copy", "-q", container, busybox, "edition", "/")
    buildah("buildah", "commit", "-q", "--rm", container, name)


@pytest.fixture
def images(tmp_path: Path) -> Iterator[Images]:
    images = Images(tmp_path / "images", lab.CLOCK, in_use=lambda _: ())
    yield images
    images.close()


def ensured(images: Images, reference: str, policy: PullPolicy) -> str:
    """The id of the image, once it is present."""
    images.ensure(reference, policy)
    until(lambda: images.state(reference, policy).status is ImageStatus.PRESENT, f"{reference} is here")
    return images.state(reference, policy).id


def test_a_pod_runs_from_what_buildah_built_and_takes_up_what_is_built_again(
    instance: Instance, folder: Path, buildah: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    build(buildah, "first", "localhost/mine:latest")
    (folder / "pod.yaml").write_text(POD)
    instance.watch(folder)
    first = until(lambda: instance.running("built").get("c"), "it runs")
    until(lambda: instance.ok("logs", "built") == "first\n", "it is of what was built")
    build(buildah, "second", "localhost/mine:latest")
    assert instance.running("built")["c"] == first, "what runs is not touched"
    os.kill(first.pid, 9)
    until(lambda: "second" in instance.ok("logs", "built"), "the next start takes up the new image")


def test_an_image_of_podmans_is_the_same_here_and_can_be_saved(
    images: Images, buildah: Callable[..., str], archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lab.registry(tmp_path / "registry") as registry:
        monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(tmp_path / "registry/registries.conf"))
        name = registry.push(archive, "team/app:1")
        buildah("podman", "pull", "-q", name)
    (told,) = json.loads(buildah("podman", "image", "inspect", name))
    assert ensured(images, name, IF_NOT_PRESENT) == told["Id"], "its registry is away"
    ours = images.inspect(name)
    assert ours["Config"] == told["Config"] and told["RepoDigests"][0] in ours["RepoDigests"]
    assert ours["RepoTags"] == [name] and images.get(told["RepoDigests"][0]) == images.get(name)
    images.save(name, tmp_path / "a.tar")
    assert Images(tmp_path / "second", lab.CLOCK).load(tmp_path / "a.tar")[0].id == told["Id"]


def test_always_asks_the_registry_and_falls_back_to_what_was_built_here(
    images: Images, buildah: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    build(buildah, "first", "127.0.0.1:1/mine:1")
    assert images.state("127.0.0.1:1/mine:1", ALWAYS).status is ImageStatus.MISSING
    id_ = ensured(images, "127.0.0.1:1/mine:1", ALWAYS)
    state = images.state("127.0.0.1:1/mine:1", ALWAYS)
    assert state.id == id_ and "registry cannot be reached" in state.error
    assert images.state("localhost/mine:2", NEVER).status is ImageStatus.MISSING


# --- docker ---------------------------------------------------------------------------------------------------------


class _Docker(socketserver.ThreadingUnixStreamServer):
    """``images``: the id and the archive of each name."""

    images: dict[str, tuple[str, bytes]]
    daemon_threads = True


class _Answer(BaseHTTPRequestHandler):
    server: _Docker

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        path = url.path[url.path.find("/images/") :] if "/images/" in url.path else url.path
        name, _, verb = path.removeprefix("/images/").rpartition("/")
        name = name or parse_qs(url.query).get("names", [""])[0]
        found = self.server.images.get(str(parse(name).full()) if name else "")
        if path == "/_ping":
            self._say(200, b"OK")
        elif found is None:
            self._say(404, b'{"message": "no such image"}')
        else:
            self._say(200, json.dumps({"Id": f"sha256:{found[0]}"}).encode() if verb == "json" else found[1])

    def _say(self, code: int, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Api-Version", "1.41")
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[_Docker]:
    place = short_directory()
    monkeypatch.setenv("DOCKER_HOST", f"unix://{place}/docker.sock")
    with _Docker(f"{place}/docker.sock", _Answer) as server:
        server.images = {}
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
    subprocess.run(["rm", "-rf", place], check=True)


def test_an_image_of_dockers_is_found_by_the_name_that_its_user_gave_it(
    images: Images, docker: _Docker, tmp_path: Path
) -> None:
    archive = lab.docker_archive(tmp_path / "a.tar", {"docker.io/library/mine:1": [layer(Entry("edition", b"1"))]})
    with tarfile.open(archive) as tar:
        member = tar.extractfile("0.json")
        assert member
        id_ = lab.digest(member.read()).removeprefix("sha256:")
    assert images.state("mine:1", NEVER).status is ImageStatus.MISSING
    docker.images["docker.io/library/mine:1"] = (id_, archive.read_bytes())
    other = Images(tmp_path / "other", lab.CLOCK)
    assert ensured(other, "mine:1", NEVER) == id_
    image = other.get("mine:1")
    assert image and image.names == ("docker.io/library/mine:1",)
    assert LayerView(image.layers).read_text("/edition") == "1"
