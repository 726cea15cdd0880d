"""Which OCI runtime works on this machine: tried with a throwaway container, and remembered by binary and boot."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from reconciler.engine import cgroups, files, locks
from reconciler.engine.effects import effect
from reconciler.engine.layout import Layout
from reconciler.engine.oci import host
from reconciler.engine.oci.bundle import Bundle
from reconciler.engine.oci.config import infra_config
from reconciler.engine.oci.host import HostCapabilities
from reconciler.engine.oci.infra import infra_rootfs
from reconciler.engine.oci.prepare import COVER_UNIFIED
from reconciler.engine.processes import boot_id
from reconciler.engine.runtime import NAMES, Runtime, find, last_line, run, version_of
from reconciler.model.errors import HostUnfit, ReconcilerError
from reconciler.model.key import ContainerId, Key, PodId
from reconciler.model.spec import SandboxSpec

NOT_INSTALLED = "not installed"
REFUSAL_SECONDS = 60.0
"""How long a refusal is believed."""

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
            return Choice(runtime, replace(there, version=runtime.version), why_not)
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
        return _run_probe(runtime, bundle, msgspec.json.encode(config), cover=facts.cover_unified)
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
def _run_probe(runtime: Runtime, bundle: Bundle, config: bytes, *, cover: bool) -> str:
    bundle.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    (bundle.directory / "config.json").write_bytes(config)
    _verb, source, target, fstype, _flags, _data = COVER_UNIFIED
    first = f"mount -t {fstype} {source} {target} && " if cover else ""
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
