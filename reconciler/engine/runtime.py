"""The OCI runtime (crun or runc): which one works here, and its verbs made idempotent.

``create`` is not here: it runs under the container's monitor. Every verb is one subprocess, bounded in time;
two processes may ask for the same thing at the same time, and "already so" is an answer, not an error.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from reconciler.engine import cgroups, children, files, locks
from reconciler.engine.effects import effect
from reconciler.engine.layout import Layout
from reconciler.engine.oci import host
from reconciler.engine.oci.bundle import Bundle
from reconciler.engine.oci.config import infra_config
from reconciler.engine.oci.host import HostCapabilities
from reconciler.engine.oci.infra import infra_rootfs
from reconciler.engine.oci.prepare import UNIFIED
from reconciler.engine.processes import boot_id
from reconciler.model.errors import HostUnfit, ReconcilerError, RuntimeFailed
from reconciler.model.key import ContainerId, Key, PodId
from reconciler.model.spec import Resources, SandboxSpec

TIMEOUT = 30.0
"""Seconds that a verb may take: ordinary ones take 5 to 20 ms, but a machine may be swapping."""

NOT_INSTALLED = "not installed"
REFUSAL_SECONDS = 60.0

NAMES = ("crun", "runc")
"""In the order of preference."""

LIVING = ("created", "running", "paused")


@dataclass(frozen=True, slots=True)
class Runtime:
    """``state_dir`` is the runtime's ``--root``; both runtimes want it absolute."""

    name: str
    path: Path
    version: str
    state_dir: Path

    def args(self) -> tuple[str, ...]:
        """Global arguments, for us and for the monitor. Both runtimes make cgroups by themselves without more."""
        return ("--root", str(self.state_dir))

    def argv(self, *words: str) -> list[str]:
        return [str(self.path), *self.args(), *words]

    def of(self, container: ContainerId) -> Runtime:
        """The runtime that made the container: the choice may have changed since (``--runtime``, a package that came
        or went). Ourselves where none knows it, or the one that does is not installed any more."""
        if not self._knows(container):
            for name in NAMES:
                state_dir = self.state_dir.with_name(name)
                if (state_dir / container).exists() and (path := find(name)):
                    return Runtime(name, path, "", state_dir)
        return self

    def state(self, container: ContainerId) -> dict[str, Any] | None:
        """What the runtime knows of it (OCI state: status, pid, bundle…), or None."""
        done = self._run("state", container)
        if done.returncode:
            if not self._knows(container):
                return None
            raise _failed("read the state of", container, done)
        state: dict[str, Any] = msgspec.json.decode(done.stdout)
        return state

    def start(self, container: ContainerId) -> None:
        """Start a created container; one that was started before is fine, even if it ended since.

        Raises RuntimeFailed with the runtime's words (the command is not in the image…).
        """
        done = self._effect_start(container)
        if done.returncode and (self.state(container) or {}).get("status") not in ("running", "paused"):
            raise _failed("start", container, done)

    def kill(self, container: ContainerId, signal: int) -> None:
        """Signal the container's first process; nothing happens when it is gone."""
        done = self._effect_kill(container, signal)
        if done.returncode and (self.state(container) or {}).get("status") in LIVING:
            raise _failed("signal", container, done)

    def delete(self, container: ContainerId, force: bool = False) -> None:
        """Forget a container that does not run. With ``force`` a living one is killed first: that is slow
        (crun 16 ms, runc 107), a pidfd and a wait before it are faster."""
        done = self._effect_delete(container, ("--force",) if force else ())
        if done.returncode and self._knows(container):
            raise _failed("delete", container, done)

    def update(self, container: ContainerId, resources: Resources) -> None:
        """Apply limits to a living container and read them back.

        Written to the cgroup's files, not through the runtime's ``update``: crun 1.8.1 fails half-way, and v2
        would kill where usage is not looked at first. Raises cgroups.LimitBelowUsage, RuntimeFailed.
        """
        cgroups.update(self._config(container)["linux"]["cgroupsPath"], resources)

    def exec_process(
        self, container: ContainerId, argv: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: str = ""
    ) -> dict[str, Any]:
        """The ``process.json`` that runs ``argv`` with the user, rights, environment and directory of the container's
        first process, but for what is given. Raises RuntimeFailed."""
        process = exec_process(self._config(container)["process"], argv, env=env)
        return {**process, "cwd": cwd} if cwd else process

    def exec_argv(self, container: ContainerId, process: Path) -> list[str]:
        """The command line that runs ``process`` (a process.json) in the container; its exit code is the command's.

        All is said in the file: told by words alone, crun runs a command as root, in / and without
        no_new_privs, whoever the container's own user is."""
        return self.argv("exec", "--process", str(process), container)

    def known(self) -> tuple[ContainerId, ...]:
        """Every container in the runtime's state directory, without asking the runtime."""
        try:
            return tuple(ContainerId(p.name) for p in self.state_dir.iterdir() if p.is_dir())
        except FileNotFoundError:
            return ()

    def _config(self, container: ContainerId) -> dict[str, Any]:
        """The config.json that the container was made from: crun's own copy, or that of the bundle."""
        data = files.read_or_none(self.state_dir / container / "config.json")
        if data is None:
            state = self.state(container)
            data = files.read_or_none(Path(state["bundle"]) / "config.json") if state else None
        if data is None:
            raise RuntimeFailed(f"cannot find container {container[:12]}: {self.name} does not know it")
        config: dict[str, Any] = msgspec.json.decode(data)
        return config

    def _knows(self, container: ContainerId) -> bool:
        return (self.state_dir / container).exists()

    def _run(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        return run(self.argv(*words))

    @effect("runtime.start")
    def _effect_start(self, container: ContainerId) -> subprocess.CompletedProcess[bytes]:
        return self._run("start", container)

    @effect("runtime.kill")
    def _effect_kill(self, container: ContainerId, signal: int) -> subprocess.CompletedProcess[bytes]:
        return self._run("kill", container, str(signal))

    @effect("runtime.delete")
    def _effect_delete(self, container: ContainerId, options: Iterable[str]) -> subprocess.CompletedProcess[bytes]:
        return self._run("delete", *options, container)


def exec_process(
    process: Mapping[str, Any], argv: Sequence[str], *, env: Mapping[str, str] | None = None, terminal: bool = False
) -> dict[str, Any]:
    """A ``process.json`` for the monitor's ``--exec-process-spec``, from the ``process`` of the container's
    config.json: same user, rights and directory. Extra ``env`` comes last and so wins."""
    added = [f"{name}={value}" for name, value in (env or {}).items()]
    names = {item.partition("=")[0] for item in added}
    kept = [item for item in process.get("env", ()) if item.partition("=")[0] not in names]
    return {**process, "args": list(argv), "env": kept + added, "terminal": terminal}


def find(name: str) -> Path | None:
    """The runtime's binary, or None where it is not installed. Looks where root's PATH may not lead."""
    found = shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/local/sbin")
    return Path(found).resolve() if found else None


def version_of(path: Path) -> str:
    """What the binary says of itself: both print ``NAME version X`` first."""
    words = run([str(path), "--version"], timeout=10).stdout.decode(errors="replace").split()
    return words[2] if len(words) > 2 else "unknown"


def run(
    argv: Sequence[str], *, timeout: float = TIMEOUT, cwd: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    """One bounded subprocess without a stdin. Raises RuntimeFailed when it cannot run or does not end."""
    try:
        return children.run(argv, timeout=timeout, cwd=cwd, env=environment())
    except subprocess.TimeoutExpired as e:
        raise RuntimeFailed(f"cannot run {Path(argv[0]).name}: no end after {timeout:g} s") from e
    except OSError as e:
        raise RuntimeFailed(f"cannot run {argv[0]}: {e.strerror}") from e


def environment() -> dict[str, str]:
    """Ours, without what leads crun 1.8 to the systemd of a user who logged in instead of the machine's."""
    return {name: value for name, value in os.environ.items() if name not in _OF_A_LOGIN}


_OF_A_LOGIN = ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")


def last_line(output: bytes) -> str:
    """What the runtime said at the end, without its log decoration."""
    lines = [line.strip() for line in output.decode(errors="replace").splitlines() if line.strip()]
    if not lines:
        return "it said nothing"
    line = lines[-1]
    if 'msg="' in line:  # runc logs in logfmt
        line = line.partition('msg="')[2].rstrip('"').replace('\\"', '"')
    return line.removeprefix("error: ")


def _failed(verb: str, container: ContainerId, done: subprocess.CompletedProcess[bytes]) -> RuntimeFailed:
    return RuntimeFailed(f"cannot {verb} container {container[:12]}: {last_line(done.stderr)}")


PROBE_TIMEOUT = 20.0


@dataclass(frozen=True, slots=True)
class Choice:
    """``facts`` are what the host gives to containers under this runtime; ``why_not`` says of each runtime that
    was looked at and not taken why."""

    runtime: Runtime
    facts: HostCapabilities
    why_not: dict[str, str]


def choose(layout: Layout, preferred: str | None = None, facts: HostCapabilities | None = None) -> Choice:
    """The ``preferred`` runtime, or the first that works: asked of each with a throwaway container, then remembered.

    The answer is kept with what it was made from (the binary, the boot, the kind of cgroups), so an upgrade or
    a reboot asks again. ``facts`` are read here when not given; their ``runtime`` is not looked at.
    Raises HostUnfit when the preferred one does not work, or none does.
    """
    if preferred is not None and preferred not in NAMES:
        raise HostUnfit(
            f'cannot run containers: "{preferred}" is not a known runtime', hint=f"use {' or '.join(NAMES)}"
        )
    if facts is None:
        facts = host.probe("", cgroups.current().mode, layout.cache, infra_rootfs(layout.cache))
    why_not: dict[str, str] = {}
    for name in (preferred,) if preferred else NAMES:
        there = replace(facts, runtime=name)
        runtime, reason = _ask(layout, there)
        if runtime is not None and not reason:
            return Choice(runtime, there, why_not)
        why_not[name] = reason
    told = "; ".join(f"{name}: {reason}" for name, reason in why_not.items())
    missing = all(reason == NOT_INSTALLED for reason in why_not.values())
    raise HostUnfit(f"cannot run containers: {told}", hint="install crun or runc" if missing else "")


def _ask(layout: Layout, facts: HostCapabilities) -> tuple[Runtime | None, str]:
    """The runtime that ``facts`` names, and why it does not work; empty when it does."""
    name = facts.runtime
    path = find(name)
    if path is None:
        return None, NOT_INSTALLED
    file, key = layout.cache / f"runtime-{name}.json", _identity(path, facts)
    state_dir = layout.runtime_state(name).absolute()
    saved = _remembered(file)
    if saved.get("key") == key and (not saved["reason"] or _is_fresh(file)):
        return Runtime(name, path, saved["version"], state_dir), saved["reason"]
    runtime = Runtime(name, path, version_of(path), state_dir)
    # the first: so that whatever lies about of a probe is a dead one's; the second: nobody takes its cgroup away
    with locks.exclusive(layout.cache / "probe.lock"), locks.shared(layout.instance_lock):
        _sweep(layout, runtime)
        try:
            reason = _probe(layout, runtime, facts)
        except ReconcilerError as e:
            return runtime, e.message  # it did not get to answer: ask again next time
        files.write_atomic(file, msgspec.json.encode({"key": key, "version": runtime.version, "reason": reason}))
    return runtime, reason


def _is_fresh(file: Path) -> bool:
    """A refusal is believed for a while only: what stood in the way may have been mended."""
    return 0 <= time.time() - file.stat().st_mtime < REFUSAL_SECONDS


def _remembered(file: Path) -> dict[str, str]:
    """The last answer. A damaged one is none."""
    try:
        saved = msgspec.json.decode(files.read_or_none(file) or b"{}", type=dict[str, str])
    except msgspec.DecodeError:
        return {}
    return saved if {"key", "version", "reason"} <= set(saved) else {}


def _identity(path: Path, facts: HostCapabilities) -> str:
    """What the answer depends on: binary, boot, kind of cgroups, infra program."""
    info = path.stat()
    parts = (path, info.st_ino, info.st_mtime_ns, info.st_size, boot_id(), facts.cgroups, facts.infra_rootfs)
    return " ".join(str(p) for p in parts)


def _probe(layout: Layout, runtime: Runtime, facts: HostCapabilities) -> str:
    """Run catatonit, confined like an infra container, in a mount namespace as the monitor makes them."""
    bundle = _probe_bundle(layout, runtime, os.urandom(32).hex())
    config = infra_config(bundle, facts)
    config["process"]["args"] = ["/catatonit", "--version"]
    try:
        return _run_probe(runtime, bundle, msgspec.json.encode(config), detach=facts.detach_unified)
    finally:
        _forget(runtime, bundle)


def _probe_bundle(layout: Layout, runtime: Runtime, container: str) -> Bundle:
    """Named so that a later probe of the same runtime finds all that a killed one left."""
    directory = layout.cache / f"probe-{runtime.name}-{container}"
    parent = f"/reconciler-{layout.tag}/probe-{container}"
    key, sandbox = Key("", "probe"), SandboxSpec(hostname="probe")
    return Bundle(ContainerId(container), PodId(container), key, directory, directory, sandbox, parent, None)


def _sweep(layout: Layout, runtime: Runtime) -> None:
    for directory in layout.cache.glob(f"probe-{runtime.name}-*"):
        _forget(runtime, _probe_bundle(layout, runtime, directory.name.rpartition("-")[2]))


@effect("runtime.probe")
def _run_probe(runtime: Runtime, bundle: Bundle, config: bytes, *, detach: bool) -> str:
    bundle.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    (bundle.directory / "config.json").write_bytes(config)
    first = f"umount -l {UNIFIED} && " if detach else ""
    argv = runtime.argv("run", "--bundle", str(bundle.directory), bundle.container)
    done = run(
        ["unshare", "--mount", "--propagation", "slave", "sh", "-c", f'{first}exec "$@"', "sh", *argv],
        timeout=PROBE_TIMEOUT,
    )
    return "" if done.returncode == 0 else last_line(done.stderr)


@effect("runtime.forget-probe")
def _forget(runtime: Runtime, bundle: Bundle) -> None:
    """Whatever the probe left; its directory last, by which the rest is found."""
    try:
        if (runtime.state_dir / bundle.container).exists():
            runtime.delete(bundle.container, force=True)
        cgroups.remove_pod(bundle.cgroup_parent)
    except ReconcilerError:
        return  # the next probe tries again
    shutil.rmtree(bundle.directory, ignore_errors=True)
