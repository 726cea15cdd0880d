"""A pod made by the OCI layer and a real runtime alone: no monitor, no network set-up, no store."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from reconciler.engine import cgroups, processes, volumes
from reconciler.engine import choice as choosing
from reconciler.engine.images.image import Image
from reconciler.engine.images.users import User
from reconciler.engine.layout import Layout
from reconciler.engine.oci.bundle import Bundle
from reconciler.engine.oci.config import infra_config, member_config
from reconciler.engine.oci.mounts import MESSAGE
from reconciler.engine.oci.prepare import prepare_script
from reconciler.engine.oci.process import ROOT
from reconciler.engine.runtime import Runtime
from reconciler.model.key import ContainerId, Key, PodId
from reconciler.model.observed import PidRef
from reconciler.model.spec import ContainerSpec, Mount, SandboxSpec, Security, Volume, VolumeKind
from tests.host.groups import below_mounts
from tests.slowness import seconds

OPS = Path(__file__).with_name("prepare_ops.py")
DEADLINE = seconds(60.0)
PLAIN = Security()
ALONE = SandboxSpec()
HOST_USR = Mount("/usr", Volume("usr", VolumeKind.HOST_PATH, "/usr"), read_only=True)
"""Gives a container this machine's python3: its rootfs has /lib and /lib64 as links into /usr."""


def new_id() -> str:
    return os.urandom(32).hex()


@dataclass
class Running:
    """A created container, and the end of the pipe that its output goes to."""

    id: ContainerId
    pid: PidRef
    output: int
    bundle: Bundle

    def read(self) -> str:
        """All that it writes until its end."""
        data, deadline = b"", time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            if select.select([self.output], [], [], max(0.0, deadline - time.monotonic()))[0]:
                chunk = os.read(self.output, 65536)
                if not chunk:
                    return data.decode()
                data += chunk
        raise AssertionError(f"no end of output after {DEADLINE} s: {data!r}")

    def read_line(self) -> str:
        data = b""
        while not data.endswith(b"\n"):
            assert select.select([self.output], [], [], DEADLINE)[0], f"no line in time: {data!r}"
            chunk = os.read(self.output, 1)
            assert chunk, f"ended after {data!r}"
            data += chunk
        return data.decode().strip()


@dataclass
class HostPod:
    layout: Layout
    choice: choosing.Choice
    sandbox: SandboxSpec
    id: PodId = field(default_factory=lambda: PodId(new_id()))
    infra: Running | None = None
    made: list[Running] = field(default_factory=list)

    @property
    def runtime(self) -> Runtime:
        return self.choice.runtime

    @property
    def directory(self) -> Path:
        return self.layout.pod(self.id)

    def up(self) -> None:
        (self.directory / "volumes").mkdir(parents=True)
        for name, text in (("hosts", "127.0.0.1 localhost\n"), ("hostname", "podname\n"), ("resolv.conf", "")):
            (self.directory / name).write_text(text)
        cgroups.make_pod(self.layout.cgroup_parent(self.id))
        bundle = self._bundle(None)
        config = infra_config(bundle, self.choice.facts)
        self.infra = self._create(bundle, config, prepare_script(bundle, None, self.choice.facts))
        self.runtime.start(self.infra.id)

    def create(self, spec: ContainerSpec, user: User = ROOT, image: Image | None = None) -> Running:
        assert self.infra is not None
        volumes.prepare(spec, self.directory)
        bundle = self._bundle(self.infra.pid)
        rootfs = busybox_layer(self.layout.images)
        image = image or Image("0" * 64, (), (rootfs,))
        config = member_config(bundle, spec, image, user, self.choice.facts)
        script = prepare_script(bundle, (rootfs.parent, (rootfs.name,)), self.choice.facts)
        return self._create(bundle, config, script)

    def run(self, spec: ContainerSpec, user: User = ROOT, image: Image | None = None) -> str:
        """Create, start, and return all that it wrote, errors too."""
        container = self.create(spec, user, image)
        self.runtime.start(container.id)
        return container.read()

    def shell(self, script: str, user: User = ROOT, security: Security = PLAIN, **more: object) -> str:
        spec = ContainerSpec("c", "busybox", command=("/bin/sh", "-c", script), security=security)
        return self.run(replace(spec, **more), user)  # type: ignore[arg-type]

    def _bundle(self, infra: PidRef | None) -> Bundle:
        container = ContainerId(new_id())
        bundle = Bundle(
            container,
            self.id,
            Key("default", "podname"),
            self.layout.container(container),
            self.directory,
            self.sandbox,
            self.layout.cgroup_parent(self.id),
            infra,
        )
        for name in ("rootfs", "upper", "work"):
            (bundle.directory / name).mkdir(parents=True)
        (bundle.directory / MESSAGE).touch()
        return bundle

    def _create(self, bundle: Bundle, config: dict[str, object], script: str) -> Running:
        (bundle.directory / "config.json").write_bytes(msgspec.json.encode(config))
        (bundle.directory / "prepare").write_text(script)
        pidfile = bundle.directory / "pid"
        create = self.runtime.argv("create", "--bundle", str(bundle.directory), "--pid-file", str(pidfile))
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        try:
            argv = [sys.executable, "-I", "-S", str(OPS), str(bundle.directory / "prepare"), *create, bundle.container]
            done = subprocess.run(
                argv, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, timeout=DEADLINE, check=False
            )
        finally:
            os.close(theirs)
        if done.returncode:
            raise AssertionError(os.read(ours, 65536).decode())
        ref = processes.pid_ref(int(pidfile.read_text()))
        assert ref is not None
        self.made.append(Running(bundle.container, ref, ours, bundle))
        return self.made[-1]

    def end(self, container: Running) -> None:
        processes.send_signal(container.pid, signal.SIGKILL)
        assert processes.wait_gone(container.pid, DEADLINE)
        self.runtime.delete(container.id)

    def down(self) -> None:
        for container in reversed(self.made):
            self.end(container)
            os.close(container.output)
        deadline = time.monotonic() + DEADLINE
        while True:
            try:
                return cgroups.remove_pod(self.layout.cgroup_parent(self.id))
            except cgroups.Busy:  # the kernel lets go of a dead process's cgroup a moment after its end
                assert time.monotonic() < deadline
                os.sched_yield()


@contextmanager
def pod(root: Path, name: str, sandbox: SandboxSpec = ALONE) -> Iterator[HostPod]:
    """A pod whose infra container runs; all of it is gone afterwards, and that is checked."""
    layout = Layout.at(root)
    layout.make()
    made = HostPod(layout, choosing.choose(layout, name), sandbox)
    try:
        made.up()
        yield made
    finally:
        made.down()
    assert not made.runtime.known()
    assert not list(left_cgroups(layout.tag))
    assert str(root) not in Path("/proc/self/mountinfo").read_text()


def left_cgroups(tag: str) -> Iterator[Path]:
    yield from map(Path, below_mounts(tag))
    for hierarchy in cgroups.current().all:
        path = hierarchy.root / f"reconciler-{tag}"
        if path.exists():
            yield path


def busybox_layer(images: Path) -> Path:
    layer = images / "busybox"
    if layer.exists():
        return layer
    for name in ("bin", "usr", "etc", "tmp", "root"):
        (layer / name).mkdir(parents=True)
    for name in ("lib", "lib64", "sbin"):
        (layer / name).symlink_to(f"usr/{name}")
    busybox = layer / "bin" / "busybox"
    busybox.write_bytes(Path("/bin/busybox").read_bytes())
    busybox.chmod(0o755)
    for applet in (
        "sh",
        "cat",
        "id",
        "ls",
        "hostname",
        "sleep",
        "grep",
        "readlink",
        "touch",
        "pwd",
        "env",
        "echo",
        "stat",
    ):
        (layer / "bin" / applet).symlink_to("busybox")
    (layer / "etc" / "passwd").write_text("root:x:0:0::/root:/bin/sh\nweb:x:1000:1000::/home/web:/bin/sh\n")
    (layer / "etc" / "group").write_text("root:x:0:\nweb:x:1000:\n")
    return layer
