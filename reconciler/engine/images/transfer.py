"""One image from wherever it is into the blob store, by skopeo.

The manifest and the config are kept byte for byte as their source has them, although skopeo writes a
converted pair beside them: so ids and digests are those that podman and docker show. All runs in a work
directory with relative names, because skopeo's references cannot hold a colon in a path.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.engine.boundary import hint_in
from reconciler.engine.effects import effect
from reconciler.engine.images.disk import Disk, remove_tree, write_file
from reconciler.engine.images.manifest import Config, Manifest, Part, document, is_list, listed
from reconciler.engine.images.manifest import config as read_config
from reconciler.engine.images.manifest import manifest as read_manifest
from reconciler.engine.images.processes import Finished, Processes, TimedOut
from reconciler.engine.images.unpack import Layer
from reconciler.model.errors import ImageProblem, ReconcilerError, TryLater

Progress = Callable[[str], None]

_INSPECT_LIMIT = 60.0
_COPY_LIMIT = 3600.0
_STALL_LIMIT = 120.0
"""Seconds without a byte after which a copy is given up (kubelet: image-pull-progress-deadline)."""

_POLICIES = ("~/.config/containers/policy.json", "/etc/containers/policy.json")
_OPEN_POLICY = b'{"default":[{"type":"insecureAcceptAnything"}]}'
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "armv6l": "arm", "i686": "386"}


@dataclass(frozen=True, slots=True)
class Fetched:
    """An image whose blobs are here. ``digests``: its manifest's, and that of the list it was chosen from."""

    id: str
    manifest: str
    digests: tuple[str, ...]
    layers: tuple[Layer, ...]
    config: Config


class Unreachable(TryLater):
    """The registry cannot be reached, or gave up: worth trying again."""


class NotOffered(ImageProblem):
    """The registry has no such image, or none for us: many do not tell which."""


@dataclass(frozen=True, slots=True)
class Source:
    """What skopeo copies from. ``what`` is how messages call it, ``verb`` what they say we cannot do; ``by_digest``
    makes the reference of another manifest of the same repository (registries only). ``unpacked``: it has layers
    without compression, whatever its manifest says (podman's store). ``platform``: another one than this machine's, as
    ``os/architecture[/variant]``."""

    reference: str
    what: str
    verb: str = "pull"
    by_digest: Callable[[str], str] | None = None
    unpacked: bool = False
    platform: str = ""

    def problem(self, cause: str, *, hint: str = "") -> ImageProblem:
        return ImageProblem(f"cannot {self.verb} {self.what}: {cause}", hint=hint)

    def unreachable(self, cause: str) -> Unreachable:
        return Unreachable(f"cannot {self.verb} {self.what}: {cause}")


@dataclass(frozen=True, slots=True)
class Access:
    """How a registry is to be spoken to, where it is not as skopeo's own settings have it: REGISTRY_AUTH_FILE or
    auth.json of the user who runs us, certs.d, registries.conf. ``authfile`` holds passwords (containers-auth.json(5)),
    ``passwords`` such a file's content, which counts instead; ``cert_dir`` certificates (containers-certs.d(5));
    ``tls_verify`` None is as configured; ``daemon`` is where docker's listens."""

    authfile: Path | None = None
    cert_dir: Path | None = None
    tls_verify: bool | None = None
    passwords: bytes = field(default=b"", repr=False)
    daemon: str = ""

    def options(self, prefix: str, passwords: int | None) -> list[str]:
        """For skopeo; ``prefix`` "--src-" where it tells source from destination; ``passwords`` is the file that holds
        ours, already open."""
        authfile = self.authfile.absolute() if self.authfile else None
        authfile = authfile if passwords is None else Path(f"/proc/self/fd/{passwords}")
        found = [f"{prefix}authfile={authfile}"] if authfile else []
        found += [f"{prefix}daemon-host={self.daemon}"] if self.daemon else []
        found += [f"{prefix}cert-dir={self.cert_dir.absolute()}"] if self.cert_dir else []
        return found + ([] if self.tls_verify is None else [f"{prefix}tls-verify={str(self.tls_verify).lower()}"])


_AS_CONFIGURED = Access()


def fetch(source: Source, top: bytes, disk: Disk, skopeo: Skopeo, progress: Progress) -> Fetched:
    """Bring all blobs of one image here; ``top`` is what ``source`` points at: a manifest, or a list of them.

    Raises ImageProblem or Unreachable; blobs that came whole stay for the next try.
    """
    reference, raw, digests = source.reference, top, [digest_of(top)]
    if source.by_digest:
        reference = source.by_digest(digests[0])
        many = document(top, "its manifest", source.problem)
        if is_list(many):
            reference = source.by_digest(choose(many.parts("manifests"), source))
            raw = skopeo.inspect(reference)
            digests = [digest_of(raw)] if source.platform else [digest_of(raw), *digests]
    manifest = read_manifest(raw, source.problem)
    config = skopeo.inspect(reference, "--config")
    if digest_of(config) != manifest.config:
        raise source.problem("its config is not the one that its manifest names")
    facts = read_config(config, source.problem)
    blobs = [layer.digest for layer in manifest.layers]
    layers = _layers(blobs, facts.diff_ids, source)
    skopeo.copy(reference, sum(layer.size for layer in manifest.layers), progress)
    if source.unpacked and blobs != [layer.diff_id for layer in layers]:
        layers = tuple(Layer(layer.diff_id, layer.diff_id) for layer in layers)
        raw = _with_plain_layers(manifest, layers, disk)
        digests.insert(0, digest_of(raw))
    for content in (raw, config):
        write_file(disk.blob(digest_of(content)), content)
    return Fetched(digest_of(config).removeprefix("sha256:"), digests[0], tuple(digests), layers, facts)


def _with_plain_layers(manifest: Manifest, layers: tuple[Layer, ...], disk: Disk) -> bytes:
    """The manifest of the same image with its layers as they came, without compression."""
    docker = "docker" in manifest.media
    media = "application/vnd.docker.image.rootfs.diff.tar" if docker else "application/vnd.oci.image.layer.v1.tar"
    plain = [
        {"mediaType": media, "digest": layer.blob, "size": disk.blob(layer.blob).stat().st_size} for layer in layers
    ]
    return json.dumps({**manifest.content, "layers": plain}).encode()


def choose(entries: Iterable[Part], source: Source) -> str:
    """The digest, out of a manifest list, of the image for the source's platform. Raises ImageProblem."""
    system, architecture, variants = _wanted(source.platform)
    manifests = listed(entries)
    for variant in variants:
        for entry in manifests:
            if (entry.system, entry.architecture) != (system, architecture):
                continue
            if entry.variant == variant or variants == ("",):
                return entry.digest
    offered = sorted({f"{m.system}/{m.architecture}" for m in manifests if m.system not in ("", "unknown")})
    raise source.problem(f"it is not made for {system}/{architecture}, only for {', '.join(offered) or 'nothing'}")


def _wanted(text: str) -> tuple[str, str, tuple[str, ...]]:
    """System, architecture and its variants, best first; "" is this machine's."""
    if text:
        system, _, rest = text.partition("/")
        architecture, _, variant = rest.partition("/")
        return system, architecture, (variant,)
    machine = platform.machine()
    variants = {"aarch64": ("v8", ""), "armv7l": ("v7", "v6", "v5", ""), "armv6l": ("v6", "v5", "")}.get(machine, ("",))
    return "linux", _ARCHITECTURES.get(machine, machine), variants


class Skopeo:
    """skopeo in one work directory, about one image. ``patience``: seconds that a first answer may take."""

    def __init__(
        self,
        source: Source,
        disk: Disk,
        work: Path,
        processes: Processes,
        patience: float = _INSPECT_LIMIT,
        access: Access = _AS_CONFIGURED,
    ) -> None:
        self._access = access
        self._source, self._disk, self._work = source, disk, work
        self._processes, self._patience = processes, patience
        self._common = ["skopeo", "--tmpdir", str(work)]
        if registries := os.environ.get("CONTAINERS_REGISTRIES_CONF"):  # podman obeys it, skopeo has a flag only
            self._common += ["--registries-conf", str(Path(registries).absolute())]
        if not any(Path(policy).expanduser().exists() for policy in _POLICIES):
            write_file(work / "policy.json", _OPEN_POLICY)
            self._common += ["--policy", "policy.json"]

    def top(self) -> bytes:
        """The manifest, or list of manifests, that the source's own reference points at."""
        return self.inspect(self._source.reference)

    def inspect(self, reference: str, *options: str) -> bytes:
        with self._passwords() as fd:
            asked = ["inspect", *self._access.options("--", fd), "--raw", *options, reference]
            return self._run([*self._common, *asked], self._patience, None, fd).stdout

    def copy(self, reference: str, total: int, progress: Progress) -> None:
        """Bring the layers here (``total`` bytes); those that are here already are not fetched again."""
        copy = self._work / "copy"
        link_blobs(self._disk, self._work)
        to = ["--dest-shared-blob-dir", "blobs", "--dest-oci-accept-uncompressed-layers", reference, "oci:copy:image"]
        watch = _stall_watch(copy, self._source, total, progress)
        with self._passwords() as fd:
            to = [*self._access.options("--src-", fd), *to]
            self._run([*self._common, "copy", "--quiet", "--retry-times", "1", *to], _COPY_LIMIT, watch, fd)
        progress(f"copying {self._source.what}: {_shown(total)} of {_shown(total)}")
        remove_tree(copy)

    def write(self, to: str) -> None:
        """Copy the image to ``to``, an archive that is not there yet."""
        self._run([*self._common, "copy", "--quiet", self._source.reference, to], _COPY_LIMIT, None)

    @contextlib.contextmanager
    def _passwords(self) -> Iterator[int | None]:
        """Our passwords as a file in memory, which ends with skopeo and us: no kill leaves it behind, and no argument
        shows it."""
        if not self._access.passwords:
            yield None
            return
        fd = file_in_memory(self._access.passwords)
        try:
            yield fd
        finally:
            os.close(fd)

    def _run(
        self, argv: list[str], timeout: float, watch: Callable[[], None] | None, fd: int | None = None
    ) -> Finished:
        try:
            done = run_skopeo(self._processes, argv, timeout, self._work, watch, fd)
        except TimedOut as error:
            raise self._source.unreachable(error.message) from error
        if done.code:
            raise explain(self._source, done.stderr)
        return done


@effect("image.passwords")
def file_in_memory(content: bytes) -> int:
    fd = os.memfd_create("auth.json")
    os.fchmod(fd, 0o600)
    os.write(fd, content)
    return fd


@effect("image.skopeo")
def run_skopeo(
    processes: Processes,
    argv: list[str],
    timeout: float,
    work: Path,
    watch: Callable[[], None] | None,
    passwords: int | None = None,
) -> Finished:
    kept = () if passwords is None else (passwords,)
    return processes.run(argv, timeout=timeout, cwd=work, watch=watch, env=_environment(), pass_fds=kept)


def _environment() -> dict[str, str]:
    """Ours; what is relative in it is so to our directory, not to the work directory."""
    passwords = os.environ.get("REGISTRY_AUTH_FILE")
    return {**os.environ, **({"REGISTRY_AUTH_FILE": str(Path(passwords).absolute())} if passwords else {})}


@effect("image.link-blobs")
def link_blobs(disk: Disk, work: Path) -> None:
    disk.blobs.mkdir(parents=True, exist_ok=True, mode=0o700)
    link = work / "blobs"
    if not link.is_symlink():
        link.symlink_to(disk.blobs.absolute())


def _stall_watch(directory: Path, source: Source, total: int, progress: Progress) -> Callable[[], None]:
    """Watches the files that skopeo writes; tells how far it is, and gives up when nothing grows."""
    seen, since, whole = -1, time.monotonic(), 0
    begun = since
    progress(f"copying {source.what}: 0 of {_shown(total)}")

    def watch() -> None:
        nonlocal seen, since, whole
        size = _bytes_in(directory)
        if size < seen:
            whole += seen - size  # a finished layer was moved away
        if size != seen:
            seen, since = size, time.monotonic()
            came = whole + size
            rate = _shown(came / max(since - begun, 0.1))
            progress(f"copying {source.what}: {_shown(came)} of {_shown(total)}, {rate}/s")
        elif time.monotonic() - since > _STALL_LIMIT:
            raise source.unreachable(f"nothing came for {_STALL_LIMIT:g} s")

    return watch


def _shown(count: float) -> str:
    """Bytes for people, as podman shows them."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"


def _bytes_in(directory: Path) -> int:
    """The bytes under way in skopeo's temporary files."""
    total = 0
    try:
        for entry in os.scandir(directory):
            with contextlib.suppress(FileNotFoundError):
                total += entry.stat().st_size
    except FileNotFoundError:
        return 0
    return total


_UNREACHABLE = re.compile(
    r"connection refused|no such host|timeout|timed out|network is unreachable|no route to host|connection reset|"
    r"temporary failure|server misbehaving|\bEOF\b|tls:|x509|HTTP response to HTTPS|status(?:code:|:)? ?5\d\d|"
    r"deadline exceeded|toomanyrequests|status(?:code:|:)? ?429",
    re.IGNORECASE,
)
_REFUSED = re.compile(
    r"unauthorized|authentication required|denied|forbidden|status(?:code:|:)? ?40[13]", re.IGNORECASE
)
_UNKNOWN = re.compile(r"(?:manifest|name) unknown|repository name not known|not found|status(?:code:|:)? ?404", re.I)


def explain(source: Source, stderr: str) -> ReconcilerError:
    """What a failed skopeo means, in one line: its last message, and which kind of trouble it is."""
    said = _last_message(stderr)
    full = hint_in(said)
    if source.by_digest is None or full:
        return source.problem(said, hint=full)
    if _UNREACHABLE.search(said):
        return source.unreachable(f"its registry cannot be reached: {said}")
    if _REFUSED.search(said):
        hint = "log in to it, or check that the image exists"
        return NotOffered(source.problem(f"its registry refuses: {said}").message, hint=hint)
    if _UNKNOWN.search(said):
        return NotOffered(source.problem(f"its registry has no such image: {said}").message)
    return source.problem(said)


def _last_message(stderr: str) -> str:
    """The text of skopeo's fatal line, without its wrappings."""
    lines = [line for line in stderr.splitlines() if line.strip()] or ["skopeo failed without a word"]
    match = re.search(r'msg="((?:[^"\\]|\\.)*)"', lines[-1])
    text = match.group(1).replace('\\"', '"').replace("\\n", " ") if match else lines[-1]
    text = re.sub(r'^Error [a-z ]+(?:"[^"]*")?:\s*', "", text)
    text = re.sub(r"(oci-put-blob)\d+", r"\1", text)  # a name at random would make each try another event
    return re.sub(r"^(?:initializing source docker:\S+: |pinging container registry )", "", text).strip()


def _layers(blobs: list[str], diff_ids: tuple[str, ...], source: Source) -> tuple[Layer, ...]:
    if not diff_ids:
        raise source.problem("it has no layers")
    if len(diff_ids) != len(blobs):
        raise source.problem(f"its manifest has {len(blobs)} layers, its config {len(diff_ids)}")
    return tuple(Layer(blob, diff_id) for blob, diff_id in zip(blobs, diff_ids, strict=True))


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
