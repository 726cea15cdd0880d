"""Where what runs differs from what should run, and what was not kept: sentences, none when all is well.

``differences`` is asked again and again until it is silent; the others follow once it is.
"""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from reconciler.cli.strictness import as_before
from reconciler.controller import converge, looking
from reconciler.engine.network import portmap
from reconciler.engine.runtime import Runtime
from reconciler.sources.suspended import Suspensions
from tests.host.instance import Instance
from tests.host.many import addresses
from tests.torture import kernel
from tests.torture.churn import ALL, INFRA, Step
from tests.torture.kernel import Running, Sight
from tests.torture.world import BASE, STAMP, Member, Pod, Role, Shape, World


def differences(world: World, sight: Sight) -> list[str]:
    """By processes alone: of each pod its infra container and its members once, in their version, and nothing else."""
    found: list[str] = []
    ids: dict[str, list[str]] = {}
    for pod_id, name in sight.pods().items():
        ids.setdefault(name, []).append(pod_id)
    for pod in world.pods.values():
        found += _of_pod(pod, ids.pop(pod.name, []), sight, world)
    for hand in world.hands.values():
        seen = [one.mark for one in sight.marked(hand.name, hand.name)]
        wanted = [hand.mark] if hand.running else []
        if seen != wanted:
            found.append(f"{hand.name}: {seen} instead of {wanted}")
        ids.pop(hand.name, None)
    found += [f"pod {name or '(no name)'} ({one[:12]}) should not be there" for name in ids for one in ids[name]]
    return found


def _of_pod(pod: Pod, ids: list[str], sight: Sight, world: World) -> Iterator[str]:
    if not ids and pod.shape is Shape.ONCE and pod.again:
        return  # it is over, so its infra container is not made again
    if len(ids) != 1:
        yield f"pod {pod.name} is there {len(ids)} times"
        return
    if len(sight.infra(ids[0])) != 1:
        yield f"pod {pod.name} has {len(sight.infra(ids[0]))} infra containers"
    seen = [c for c in sight.containers if c.pod_id == ids[0] and not c.is_infra]
    for member in pod.members:
        mine = [c for c in seen if c.mark.startswith(f"{pod.name}/{member.name}/")]
        seen = [c for c in seen if c not in mine]
        yield from _of_member(pod, member, mine, world)
    yield from (f"pod {pod.name} also runs {c.mark or c.first.name} ({c.id[:12]})" for c in seen)


def _of_member(pod: Pod, member: Member, mine: list[Running], world: World) -> Iterator[str]:
    wanted, marks = pod.mark(member), [c.mark for c in mine]
    if member.role.lasts and marks != [wanted]:
        yield f"{pod.name}: {marks} instead of [{wanted}]"
    if member.role.writes_once and marks:
        yield f"{pod.name}: {marks} still runs"
    if member.role is Role.CRASHING and marks not in ([], [wanted]):
        yield f"{pod.name}: {marks} instead of [{wanted}] or nothing"
    if member.role is Role.TOLD and not pod.broken and mine and mine[0].password != str(world.secret):
        yield f"{pod.name}/{member.name} has the Secret's edit {mine[0].password}, not {world.secret}"


def lost(step: Step, before: Sight, after: Sight, old: World) -> list[str]:
    """Containers that the step had no reason to touch, and that are not the same processes as before. Of a pod that was
    over the infra container may have been killed before: it comes back with an edit of a member."""
    found = []
    for pod in old.pods.values():
        now = step.world.pods.get(pod.name)
        for name in (INFRA, *(m.name for m in pod.members if m.role.lasts)):
            if now is None or {(pod.name, ALL), (pod.name, name)} & step.touched:
                continue
            was, is_ = _first(pod.name, name, before), _first(pod.name, name, after)
            if was and was != is_:
                found.append(f"{pod.name}/{name} was not kept: process {was}, then {is_}")
    for hand in old.hands.values():
        if hand.running and (hand.name, ALL) not in step.touched:
            was, is_ = _first(hand.name, hand.name, before), _first(hand.name, hand.name, after)
            if was != is_:
                found.append(f"{hand.name} was not kept: process {was}, then {is_}")
    return found


def _first(pod: str, name: str, sight: Sight) -> str:
    """The first process (or processes, where it is there twice), with its start time."""
    if name == INFRA:
        ids = [one for one, called in sight.pods().items() if called == pod]
        crowd = [c for one in ids for c in sight.infra(one)]
    else:
        crowd = sight.marked(pod, name)
    return " ".join(sorted(f"{c.first.ref.pid}@{c.first.ref.start}" for c in crowd))


def contents(world: World, sight: Sight, ran: Path, logs: Path) -> list[str]:
    """What can be seen through the processes: images, volumes' files, what was to run once; and the first log line."""
    found: list[str] = []
    for pod in world.pods.values():
        for member in pod.members:
            for one in sight.marked(pod.name, member.name):
                found += _of_files(pod, member, one, world)
                if member.role.lasts:
                    found += _of_log(pod, member, logs)
            if member.role.writes_once:
                found += _of_runs(pod, member, ran)
    return found


def _of_files(pod: Pod, member: Member, one: Running, world: World) -> Iterator[str]:
    pid, where = one.first.ref.pid, f"{pod.name}/{member.name}"
    image = kernel.inside(pid, STAMP)
    if image != (str(member.image) if member.image else ""):
        yield f"{where} runs image {image or BASE}, not {member.image or BASE}"
    if (
        member.role is Role.TOLD
        and not pod.broken
        and (level := kernel.inside(pid, "settings/level")) != str(world.config)
    ):
        yield f"{where} sees the ConfigMap's edit {level or 'none'}, not {world.config}"
    begun = [m for m in pod.members if m.role is Role.INIT]
    if begun and member.role is Role.STEADY and kernel.inside(pid, "data/first") != pod.mark(begun[0]):
        yield f"{where} does not see what {begun[0].name} wrote: {kernel.inside(pid, 'data/first')!r}"


def _of_runs(pod: Pod, member: Member, ran: Path) -> Iterator[str]:
    file = ran / pod.name
    times = file.read_text().split().count(pod.mark(member)) if file.exists() else 0
    if times == 0 or (times > 1 and not pod.again):
        yield f"{pod.mark(member)} ran {times} times"


def _of_log(pod: Pod, member: Member, logs: Path) -> Iterator[str]:
    files = logs.glob(f"default_{pod.name}_*/{member.name}/*.log*")
    if not any(f" F {pod.mark(member)}\n" in file.read_text(errors="replace") for file in files):
        yield f"{pod.mark(member)} has no log of what it said"


def network(world: World, sight: Sight, tag: str) -> list[str]:
    """Addresses in the pods' network namespaces, published ports in the kernel's table, and who answers there."""
    called = sight.pods()
    ips = {called[c.pod_id]: addresses(c.first.ref.pid) for c in sight.containers if c.is_infra}
    found = [f"pod {name} has the addresses {ip}" for name, ip in ips.items() if len(ip) != 1]
    doubled = [ip for ip, times in Counter(one for ip in ips.values() for one in ip).items() if times > 1]
    found += [f"several pods have the address {ip}" for ip in doubled]
    wanted = {(pod.port, *ips.get(pod.name, [])): pod for pod in world.pods.values() if pod.port}
    seen = {(e.host_port, e.ip) for e in portmap.current(tag) if ":" not in e.ip}
    if seen != set(wanted):
        found.append(f"ports {sorted(seen)} are published instead of {sorted(wanted)}")
    return found


def unanswered(world: World) -> list[str]:
    """Who should answer at a published port and does not (yet)."""
    found = []
    for pod in world.pods.values():
        if pod.port and (said := _ask(pod.port)) != (wanted := pod.mark(pod.members[0])):
            found.append(f"at port {pod.port} answers {said or 'nobody'} instead of {wanted}")
    return found


def _ask(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
            said: bytes = answer.read(100)
            return said.decode(errors="replace").strip()
    except (OSError, urllib.error.URLError):
        return ""


def runtime(oci: Runtime, sight: Sight) -> list[str]:
    """Whether the OCI runtime knows just the containers that run, by their processes."""
    words = oci.argv("list", "--format", "json")
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    rows = json.loads(done.stdout or "[]") or []
    knows = {row["id"]: row["pid"] for row in rows if row["status"] == "running"}
    runs = {c.id: c.first.ref.pid for c in sight.containers if _is_settled(c)}
    wrong = [one for one in {*knows, *runs} if knows.get(one) != runs.get(one)]
    crashing = {row["id"] for row in rows} - set(runs)
    return [
        f"{oci.name} has {one[:12]} as {knows.get(one)}, it is {runs.get(one)}" for one in wrong if one not in crashing
    ]


def _is_settled(one: Running) -> bool:
    return one.is_infra or bool(one.mark)


def undone(instance: Instance, folder: Path, world: World) -> list[str]:
    """What ``diff`` would still do, and what ``system check`` finds. Broken files are told of, and
    who crashes all the time is always on the way."""
    engine = instance.engine
    sources = converge.open_sources([folder], engine.layout)
    as_before(engine, sources)
    found = []
    for row in looking.diff(engine, sources, suspensions=Suspensions(engine.layout.suspended)):
        pod = world.pods.get(row.key.name)
        if pod is None or not (pod.broken or any(m.role is Role.CRASHING for m in pod.members)):
            found += [f"diff: pod {row.key}: {sentence}" for sentence in (*row.actions, *row.waiting)]
    return found + [f"system check: {leak}" for leak in engine.check()]
