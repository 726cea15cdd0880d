"""Pulls that are cut short: in the middle of a layer; and how the next one goes on."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import HTTPError

import pytest

from tests.host import imagelab as lab
from tests.host.imagelab import Entry, layer
from tests.host.instance import Instance, until

pytestmark = pytest.mark.host

LARGE = random.Random(3).randbytes(3 << 20)


class _Slow(ThreadingHTTPServer):
    """Passes on what a registry says, but gives only a half of the blob ``held``, and then waits for ``go``."""

    registry: str
    held: str = ""
    halfway: threading.Event
    go: threading.Event
    daemon_threads = True


class _Pass(BaseHTTPRequestHandler):
    server: _Slow
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        asked = urllib.request.Request(f"http://{self.server.registry}{self.path}", method=self.command)
        for name in ("Accept", "Range"):
            if values := self.headers.get_all(name):
                asked.add_header(name, ", ".join(values))
        try:
            answer = urllib.request.urlopen(asked, timeout=30)
        except HTTPError as error:
            answer = error
        body = answer.read()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in ("connection", "date", "server"):
                self.send_header(name, value)
        self.end_headers()
        if self.command == "GET" and self.server.held and self.server.held in self.path:
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self.server.halfway.set()
            self.server.go.wait(60)
            self.close_connection = True
        elif self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 (the same)

    def log_message(self, *_: object) -> None:
        return


@contextmanager
def slowed(registry: lab.Registry) -> Iterator[_Slow]:
    with _Slow(("127.0.0.1", 0), _Pass) as server:
        server.registry, server.halfway, server.go = registry.address, threading.Event(), threading.Event()
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.go.set()
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_a_pull_that_is_ended_halfway_leaves_nothing_half_made_and_goes_on_where_it_was(
    root: Path, tmp_path: Path, end: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = lab.oci_layout(tmp_path / "oci", [layer(Entry("small", b"s")), layer(Entry("large", LARGE))])
    small, large = layers_of(layout)
    instance = Instance(root)
    with lab.registry(tmp_path / "registry") as registry, slowed(registry) as slow:
        push = ["skopeo", "copy", "--quiet", "--dest-tls-verify=false", f"oci:{layout}"]
        subprocess.run([*push, f"docker://{registry.address}/app:1"], check=True, timeout=60)
        address = f"127.0.0.1:{slow.server_address[1]}"
        (tmp_path / "slow.conf").write_text(f'[[registry]]\nlocation = "{address}"\ninsecure = true\n')
        monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(tmp_path / "slow.conf"))
        slow.held = large
        with subprocess.Popen(
            instance.command("image", "pull", f"{address}/app:1"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert slow.halfway.wait(60)
            place = root / "state/images/blobs/sha256" / small.removeprefix("sha256:")
            until(place.exists, "the small layer is here")
            process.send_signal(end)
            _, said = process.communicate(timeout=60)
        assert process.returncode == (-signal.SIGKILL if end is signal.SIGKILL else 130), said
        assert b"Traceback" not in said and instance.ok("image", "ls", "-q") == ""
        left = list((root / "state/images/temp").iterdir())
        assert bool(left) is (end is signal.SIGKILL), "who is asked to end cleans up"
        if left:
            checked = instance.run("system", "check")
            assert checked.returncode == 1 and str(left[0]) in checked.stdout
            instance.engine.tidy()  # as every controller does when it begins
        assert instance.run("system", "check").returncode == 0
        slow.held = ""
        gets = registry.gets(small), registry.gets(large)
        instance.ok("image", "pull", f"{address}/app:1")
        assert (registry.gets(small), registry.gets(large)) == (gets[0], gets[1] + 1), "only what is missing is fetched"
        image = instance.engine.images.get(f"{address}/app:1")
        assert image and (image.layers[1] / "large").read_bytes() == LARGE


def layers_of(layout: Path) -> list[str]:
    """The digests of an OCI layout's packed layers."""
    blobs = layout / "blobs"
    (entry,) = json.loads((layout / "index.json").read_text())["manifests"]
    manifest = json.loads((blobs / entry["digest"].replace(":", "/")).read_text())
    return [packed["digest"] for packed in manifest["layers"]]
