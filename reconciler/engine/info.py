"""What ``info`` tells: this program, this machine, and which choices were made on it and why."""

from __future__ import annotations

import platform
from typing import Any

from reconciler import __version__
from reconciler.engine import cgroups, firewalls, nameserver, netrecords, networks, security, upkeep
from reconciler.engine.cgroups import names as cgroup_names
from reconciler.engine.context import Context
from reconciler.engine.network import names
from reconciler.engine.oci.process import INFRA_OOM_SCORE
from reconciler.engine.store import pods as index
from reconciler.model.errors import ReconcilerError
from reconciler.model.spec import DEFAULT_NETWORK


def info(ctx: Context) -> dict[str, Any]:
    """Facts by section, ready for JSON. A section that cannot be had says why instead of failing the rest."""
    return {
        "version": __version__,
        "host": {
            "kernel": platform.release(),
            "machine": platform.machine(),
            "hostname": platform.node(),
            "python": platform.python_version(),
            "cgroups": cgroups.current().mode.value,
        },
        "runtime": _runtime(ctx),
        "resources": _resources(ctx),
        "security": security.info(ctx),
        "network": _network(ctx),
        "firewall": firewalls.facts(ctx),
        "names": nameserver.info(ctx),
        "logs": _logs(ctx),
        "paths": {
            "configuration": str(ctx.layout.config) + ("" if ctx.layout.config.exists() else " (not there: defaults)"),
            "state": str(ctx.layout.state),
            "run": str(ctx.layout.run),
            "logs": str(ctx.layout.logs),
            "tag": ctx.layout.tag,
        },
        "counts": {
            "pods": len(index.all_pods(ctx.store)),
            "containers": len(index.all_containers(ctx.store)),
            "images": len(ctx.images.list()),
        },
    }


def _resources(ctx: Context) -> dict[str, Any]:
    try:
        limit = ctx.config.resources.pids_limit
        driver, why = ctx.driver
        lowest = ctx.facts.oom_score_adj_min
    except ReconcilerError as e:
        return {"problem": e.message}
    told: dict[str, Any] = {
        "cgroup driver": f"{driver}: {why}",
        "cgroup": cgroup_names.top(ctx.layout.tag, driver),
        "processes per pod": limit or "no limit",
    }
    if lowest > INFRA_OOM_SCORE:
        told["warning"] = (
            f"CAP_SYS_RESOURCE is missing: oom_score_adj cannot go below {lowest}, so Guaranteed pods and infra "
            "containers are not spared when memory runs out"
        )
    return told


def _logs(ctx: Context) -> dict[str, Any]:
    try:
        logs = ctx.config.logs
    except ReconcilerError as e:
        return {"problem": e.message}
    return {"rotated at": logs.max_size if logs.size else "no size", "files of a container": logs.max_files}


def _network(ctx: Context) -> dict[str, Any]:
    record = netrecords.read(ctx, DEFAULT_NETWORK)
    undecided = "not chosen yet: no pod has needed it"
    told: dict[str, Any] = {
        "bridge": names.bridge_name(ctx.layout.tag),
        "subnet": record.subnet if record else undecided,
        "nftables table": names.table_name(ctx.layout.tag),
    }
    named = [f"{one.name}: {', '.join(map(str, one.networks))}" for one in netrecords.every(ctx) if one != record]
    if named:
        told["named networks"] = named
    try:
        if wrong := upkeep.flaws(ctx):
            told["damaged"] = [flaw.text for flaw in wrong]
        why = netrecords.why_no_ipv6(ctx)
        told["subnet6"] = f"none: {why}" if why else (record.subnet6 if record else "") or undecided
        problems = networks.clashes(ctx)
    except ReconcilerError as e:
        problems = (e.message,)
    return told | ({"problem": "; ".join(problems)} if problems else {})


def _runtime(ctx: Context) -> dict[str, Any]:
    try:
        choice = ctx.choice
    except ReconcilerError as e:
        return {"problem": e.message}
    return {
        "name": choice.runtime.name,
        "version": choice.runtime.version,
        "path": str(choice.runtime.path),
        "not used": choice.why_not,
        "monitor": str(ctx.settings.conmon or "our own conmon"),
    }
