"""For the tests of images: layers and archives of any shape, and a real registry on loopback."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import re
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from reconciler.engine.images.images import Images
from reconciler.model.clock import SystemClock

USER = "reader"
CLOCK = SystemClock()


Shown = Callable[[Images, str], Path]


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[Shown]:
    """Mounts an image as its containers see it."""
    mounted: list[Path] = []

    def mount(images: Images, reference: str) -> Path:
        image = images.get(reference)
        assert image is not None
        directory, names = images.overlay_lowers(image)
        place = tmp_path / "shown"
        place.mkdir()
        (tmp_path / "empty").mkdir()
        options = "lowerdir=" + ":".join((*names, str(tmp_path / "empty")))
        subprocess.run(
            ["mount", "-t", "overlay", "overlay", "-o", options, place],
            cwd=directory,
            env={**os.environ, "LIBMOUNT_FORCE_MOUNT2": "always"},  # fsconfig(2) takes no option of more than 255 bytes
            check=True,
            timeout=30,
        )
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", place], check=True, timeout=30)


@dataclass(frozen=True)
class Entry:
    """One member of a layer's tar stream."""

    name: str
    content: bytes = b""
    kind: bytes = tarfile.REGTYPE
    target: str = ""
    mode: int = 0o644
    owner: tuple[int, int] = (0, 0)
    device: tuple[int, int] = (0, 0)
    pax: dict[str, str] = field(default_factory=dict)


def folder(name: str, mode: int = 0o755) -> Entry:
    return Entry(name, kind=tarfile.DIRTYPE, mode=mode)


def link(name: str, target: str) -> Entry:
    return Entry(name, kind=tarfile.SYMTYPE, target=target, mode=0o777)


def hard(name: str, target: str) -> Entry:
    return Entry(name, kind=tarfile.LNKTYPE, target=target)


def layer(*entries: Entry, form: int = tarfile.PAX_FORMAT) -> bytes:
    """The plain tar stream of a layer."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form, errors="surrogateescape") as tar:
        for entry in entries:
            info = tarfile.TarInfo("placeholder")
            info.name, info.type, info.linkname, info.mode = entry.name, entry.kind, entry.target, entry.mode
            info.uid, info.gid = entry.owner
            info.devmajor, info.devminor = entry.device
            info.size, info.mtime, info.pax_headers = len(entry.content), 1_000_000_000, entry.pax
            tar.addfile(info, io.BytesIO(entry.content))
    return buffer.getvalue()


def packed(plain: bytes, how: str) -> bytes:
    if how == "gzip":
        return gzip.compress(plain, 1)
    if how == "zstd":
        return subprocess.run(["zstd", "-q"], input=plain, capture_output=True, check=True, timeout=60).stdout
    return plain


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def config(layers: Iterable[bytes], **settings: object) -> bytes:
    diff_ids = [digest(plain) for plain in layers]
    content = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    return json.dumps({**content, "config": settings}).encode()


def docker_archive(path: Path, images: dict[str, list[bytes]], command: list[str] | None = None) -> Path:
    """A docker-archive that holds several images, by name; each runs ``command``, or else its name."""
    listing = []
    with tarfile.open(path, "w") as tar:
        for number, (name, layers) in enumerate(images.items()):
            made = config(layers, Cmd=command or [name])
            files = {f"{number}.json": made, **{f"{number}-{n}.tar": plain for n, plain in enumerate(layers)}}
            listing.append({"Config": f"{number}.json", "RepoTags": [name], "Layers": list(files)[1:]})
            for file, content in files.items():
                _add(tar, file, content)
        _add(tar, "manifest.json", json.dumps(listing).encode())
    return path


def with_more(
    archive: Path, path: Path, *entries: Entry, name: str = "localhost/more:1", command: list[str] | None = None
) -> Path:
    """The image of a docker-archive with one more layer."""
    with tarfile.open(archive) as tar:
        listing = tar.extractfile("manifest.json")
        assert listing
        below = [tar.extractfile(name) for name in json.load(listing)[0]["Layers"]]
        plain = [file.read() for file in below if file]
    return docker_archive(path, {name: [*plain, layer(*entries)]}, command)


def oci_layout(
    path: Path,
    layers: list[bytes],
    how: str | list[str] = "gzip",
    *,
    name: str = "localhost/test:1",
    listed: bool = False,
    claimed: list[bytes] | None = None,
) -> Path:
    """A directory in OCI layout with one image, its layers packed (each in a way of its own, or all alike); ``listed``
    puts it into a list of manifests, ``claimed`` are the layers that its config names."""
    blobs = path / "blobs/sha256"
    blobs.mkdir(parents=True)

    def put(content: bytes, kind: str) -> dict[str, object]:
        (blobs / digest(content).removeprefix("sha256:")).write_bytes(content)
        media = f"application/vnd.oci.image.{kind}"
        return {"mediaType": media, "digest": digest(content), "size": len(content)}

    def put_layer(plain: bytes, how: str) -> dict[str, object]:
        return put(packed(plain, how), f"layer.v1.tar{'' if how == 'plain' else f'+{how}'}")

    ways = [how] * len(layers) if isinstance(how, str) else how
    manifest = {
        "schemaVersion": 2,
        "config": put(config(claimed or layers), "config.v1+json"),
        "layers": [put_layer(plain, way) for plain, way in zip(layers, ways, strict=True)],
    }
    entry = put(json.dumps(manifest).encode(), "manifest.v1+json")
    if listed:
        other = {**entry, "digest": "sha256:" + "0" * 64, "platform": {"os": "linux", "architecture": "mips"}}
        ours = {**entry, "platform": {"os": "linux", "architecture": "amd64"}}
        entry = put(json.dumps({"schemaVersion": 2, "manifests": [other, ours]}).encode(), "index.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": name}
    (path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return path


@dataclass(frozen=True)
class Registry:
    """``address`` is host:port; ``log`` the requests that it answered."""

    address: str
    log: Path
    password: str = ""

    def push(self, archive: Path, name: str) -> str:
        """Put the first image of a docker-archive there; returns its reference."""
        reference = f"{self.address}/{name}"
        argv = ["skopeo", "copy", "--quiet", "--dest-tls-verify=false"]
        argv += [f"--dest-creds={USER}:{self.password}"] if self.password else []
        argv += [f"docker-archive:{archive}:@0", f"docker://{reference}"]
        subprocess.run(argv, check=True, timeout=60)
        return reference

    def gets(self, what: str) -> int:
        """How many requests got something whose path holds ``what``."""
        return len(re.findall(rf'"GET /v2/\S*{what}\S* HTTP/1.1" 200', self.log.read_text()))


@contextmanager
def registry(directory: Path, *, password: str = "") -> Iterator[Registry]:
    """Debian's docker-registry on a free port of 127.0.0.1, insecure by ``directory``/registries.conf.

    With a ``password`` (for USER) it speaks TLS, with a certificate that ``directory``/certs vouches for.
    """
    directory.mkdir(parents=True, exist_ok=True)
    settings: dict[str, Any] = {
        "version": 0.1,
        "log": {"accesslog": {"disabled": False}, "level": "info"},
        "storage": {"filesystem": {"rootdirectory": str(directory / "data")}, "delete": {"enabled": True}},
        "http": {"addr": "127.0.0.1:0"},
    }
    if password:
        _guard(directory, settings, password)
    (directory / "config.yml").write_text(json.dumps(settings))
    log = directory / "requests.log"
    with open(log, "wb") as out:
        argv = ["docker-registry", "serve", str(directory / "config.yml")]
        ours = {k: v for k, v in os.environ.items() if not k.startswith("REGISTRY_")}  # it takes those for settings
        process = subprocess.Popen(argv, stdout=out, stderr=subprocess.PIPE, text=True, env=ours)
    drain = None
    try:
        assert process.stderr
        for line in process.stderr:
            if match := re.search(r"listening on (127\.0\.0\.1:\d+)", line):
                break
        else:
            raise AssertionError("docker-registry did not come up")
        drain = threading.Thread(target=process.stderr.read, daemon=True)  # it stands still where nobody reads its log
        drain.start()
        address = match.group(1)
        conf = f'[[registry]]\nlocation = "{address}"\ninsecure = {"false" if password else "true"}\n'
        (directory / "registries.conf").write_text(conf)
        yield Registry(address, log, password)
    finally:
        process.kill()
        process.wait(30)
        if drain:
            drain.join(30)
        if process.stderr:
            process.stderr.close()


def _guard(directory: Path, settings: dict[str, Any], password: str) -> None:
    """TLS and a password file for a registry; the certificate is its own authority."""
    certs = directory / "certs"
    certs.mkdir()
    request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    request += ["-days", "2", "-subj", "/CN=registry", "-addext", "subjectAltName=IP:127.0.0.1"]
    request += ["-keyout", str(directory / "key.pem"), "-out", str(certs / "ca.crt")]
    subprocess.run(request, check=True, timeout=60, capture_output=True)
    hashed = subprocess.run(  # the registry knows bcrypt only; perl's crypt is the C library's
        ["perl", "-e", "print crypt($ARGV[0], '$2b$05$' . 'a' x 21 . 'u')", password],
        check=True, timeout=60, capture_output=True, text=True,
    ).stdout  # fmt: skip
    (directory / "htpasswd").write_text(f"{USER}:{hashed}\n")
    settings["auth"] = {"htpasswd": {"realm": "test", "path": str(directory / "htpasswd")}}
    settings["http"]["tls"] = {"certificate": str(certs / "ca.crt"), "key": str(directory / "key.pem")}


def auth_file(path: Path, registry: str, password: str) -> Path:
    """What `podman login` writes (containers-auth.json(5))."""
    secret = base64.b64encode(f"{USER}:{password}".encode()).decode()
    path.write_text(json.dumps({"auths": {registry: {"auth": secret}}}))
    return path


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))
