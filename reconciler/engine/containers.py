"""One container of a pod: made, started, stopped, updated, removed. Infra containers and members alike.

Each function may be called again after a kill at any point in it. A container is named by its id in everything
that is its own: bundle directory, cgroup, runtime state, exit file, pid file; ``remove`` takes all of these away
whatever of them is there. Different containers may be worked on at the same time; one container only by a holder
of its pod's lock.
"""

from __future__ import annotations

import contextlib
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from reconciler.engine import (
    apart,
    cgroups,
    endings,
    files,
    hooks,
    messages,
    named,
    pausing,
    podgroups,
    processes,
    records,
    verdicts,
)
from reconciler.engine.beside import NOTHING, Beside
from reconciler.engine.context import Context
from reconciler.engine.effects import effect
from reconciler.engine.endings import cgroups_of
from reconciler.engine.monitors import MonitorRequest
from reconciler.engine.oci.process import member_score
from reconciler.engine.recorded import (
    begin,
    facts_of,
    is_by_hand,
    note,
    read_again,
    record_of,
    require,
    require_pod,
)
from reconciler.engine.records import RECORD, ContainerFacts, ContainerRecord
from reconciler.engine.store import events
from reconciler.engine.store import pods as index
from reconciler.engine.watched import monitor_file, process_of
from reconciler.model.errors import ImageProblem, ReconcilerError, TryLater
from reconciler.model.events import EventType
from reconciler.model.hook import Hook
from reconciler.model.key import ContainerId, Key
from reconciler.model.observed import Instant, PidRef
from reconciler.model.probe import Handler
from reconciler.model.qos import Qos, as_run, scored_as
from reconciler.model.spec import LEAST_GRACE, Resources

CONFIG = "config.json"
PREPARE = "prepare"
OF_AN_IMAGE = ("rootfs", "upper", "work")
"""Directories of a bundle, for the overlay; an infra container without an image has its root elsewhere."""
RECORD_LOST = "RecordLost"
KILL_AGAIN = 2.0
INFRA_PATIENCE = 0.2
"""Seconds that an infra container from an image is watched for after its start."""


def launch(
    ctx: Context,
    record: ContainerRecord,
    config: dict[str, Any],
    prepare: str,
    keep_fds: tuple[int, ...] = (),
    *,
    turn: int = 0,
    beside: Beside = NOTHING,
) -> None:
    """Write the intent, then have a monitor create the container; its process waits to be started.

    ``keep_fds`` are held by the monitor for as long as the container lives. A failed creation is removed again.
    Raises RuntimeFailed with the runtime's own words, and what is raised beside.
    """
    index.add_container(ctx.store, record.id, record.pod, "" if record.infra else record.name, record.attempt)
    write_bundle(ctx, record, config, prepare)
    try:
        facts = bring_up(ctx, record, config, keep_fds, beside)
    except ReconcilerError:
        with contextlib.suppress(TryLater):  # the first trouble is the one to tell; the next plan removes it, too
            remove(ctx, record.id)
        raise
    begin(ctx, record.id, replace(facts, turn=turn))


def bring_up(
    ctx: Context,
    record: ContainerRecord,
    config: dict[str, Any],
    keep_fds: tuple[int, ...] = (),
    beside: Beside = NOTHING,
) -> ContainerFacts:
    """Have a monitor create the container from its bundle; the facts of this life, to be written down.

    Raises RuntimeFailed with the runtime's own words, and what is raised beside.
    """
    pid = ctx.monitors.create(_monitor_request(ctx, record, keep_fds), beside.begin)
    beside.end()
    ref = processes.pid_ref(pid) or PidRef(pid, 0)
    score = config["process"].get("oomScoreAdj")
    return ContainerFacts(processes.boot_id(), ref.pid, ref.start, oom_score=score, life=record.life)


def start(ctx: Context, container: ContainerId) -> None:
    """Let the created process go on to run its program.

    Raises RuntimeFailed; ImageProblem where it is an infra container with an image's command that ends at once.
    """
    apart.connect(ctx, container)
    ctx.runtime_of(container).start(container)
    note(ctx, container, started=ctx.clock.now(), started_wall=ctx.clock.wall())
    if require(ctx, container).spec.post_start is not None:
        hooks.begin(ctx, container, Hook.POST_START)
    _require_patience(ctx, container)


def _require_patience(ctx: Context, container: ContainerId) -> None:
    """What is to hold a pod's namespaces must stay: or the pod would be made again and again."""
    record = record_of(ctx, container)
    if record is None or not record.infra or not record.image_id:
        return
    if processes.wait_gone(process_of(facts_of(ctx, container)), INFRA_PATIENCE):
        raise ImageProblem(
            f"cannot keep pod {record.key}: the command of its infra container ended at once (image"
            f" {record.spec.image})",
            hint="it must run as long as the pod does: as sleep infinity",
        )


def stop(ctx: Context, container: ContainerId, grace: float, pre_stop: Handler | None = None) -> None:
    """Record the deadline, send the container's stop signal, record that it was sent, and return. What is to be done
    before (``pre_stop``) is only begun: the signal is sent by ``term`` when it is over.

    Whoever dies in between leaves a stop that counts as not begun: it is begun again, rather than that a process
    which nobody told is killed. On a full disk it is told all the same: its end may free the space. One that is paused
    goes on, or it would not hear of it.
    """
    record = record_of(ctx, container)
    if record is None:
        return
    now = ctx.clock.now()
    begun = {"deadline": now + grace, "told": False, "pre_stop": pre_stop, "asked": now}
    if pre_stop is not None and _is_noted(ctx, container, **begun):
        if facts_of(ctx, container).paused:
            pausing.let_go_on(ctx, record)
            note(ctx, container, paused=False)
        hooks.begin(ctx, container, Hook.PRE_STOP)
        return
    _send_stop_signal(ctx, record, now + grace)


def term(ctx: Context, container: ContainerId) -> None:
    """Send the stop signal of a container whose stop began with its preStop hook; where that took (nearly) all of the
    grace, it has a little time all the same (kubelet: minimumGracePeriodInSeconds)."""
    record, facts = record_of(ctx, container), facts_of(ctx, container)
    if record is None or facts.deadline is None or facts.pre_stop is None or facts.told or facts.killed:
        return
    _send_stop_signal(ctx, record, max(facts.deadline, ctx.clock.now() + LEAST_GRACE))


def _is_noted(ctx: Context, container: ContainerId, **changes: Any) -> bool:
    try:
        note(ctx, container, **changes)
    except TryLater:  # a full disk
        return False
    return True


def _send_stop_signal(ctx: Context, record: ContainerRecord, deadline: Instant) -> None:
    try:
        note(ctx, record.id, deadline=deadline, told=False)
    finally:
        facts = facts_of(ctx, record.id)
        processes.send_signal(process_of(facts), signal_number(record.stop_signal))
        if facts.paused:
            pausing.let_go_on(ctx, record)
    note(ctx, record.id, told=True, paused=False, pre_stop=None)


def kill(ctx: Context, container: ContainerId) -> None:
    """Send KILL to every process of the container, and return. If it still runs at the new deadline, KILL is due
    again: we may have died between writing and sending."""
    try:
        note(ctx, container, deadline=ctx.clock.now() + KILL_AGAIN, killed=True)
    finally:
        processes.send_signal(process_of(facts_of(ctx, container)), signal.SIGKILL)
        _kill_cgroup(ctx, container)


def update(ctx: Context, container: ContainerId, resources: Resources, qos: Qos) -> None:
    """Apply limits to the live container, then record them; also that they cannot be applied, so that it is replaced.

    Raises LimitBelowUsage, RuntimeFailed when the kernel does not take them, NotFound.
    """
    keep = require_pod(ctx, require(ctx, container).pod).spec.keep
    for path in cgroups_of(ctx, container):
        try:
            cgroups.update(path, as_run(resources, keep=keep))
        except cgroups.LimitBelowUsage:
            note(ctx, container, refused=resources)
            raise
    note(ctx, container, resources=resources, refused=None)
    rescore(ctx, container, qos)


def rescore(ctx: Context, container: ContainerId, qos: Qos) -> None:
    """Score the container's processes anew for the kernel's choice of a victim (oom_score_adj).

    Those that gave themselves another score keep it, and so does what this host does not let us lower. A container of
    an older version stays as it is: nobody wrote down what it was given.
    """
    record, facts = require(ctx, container), facts_of(ctx, container)
    if record.infra or facts.oom_score is None:
        return
    pod = require_pod(ctx, record.pod).spec
    now = replace(record.spec, resources=facts.resources or record.spec.resources)
    score = member_score(scored_as(pod, now), qos, ctx.facts, keep=pod.keep)
    if score == facts.oom_score:
        return
    for path in cgroups_of(ctx, container):
        for pid in cgroups.pids(path):
            processes.set_oom_score(pid, facts.oom_score, score)
    note(ctx, container, oom_score=score)


def remove(ctx: Context, container: ContainerId, *, keep_volumes: bool = False) -> None:
    """Take away whatever there is of a container, killing what still lives of it; also the volumes that were made for
    it alone, unless it comes back (``keep_volumes``).

    Raises TryLater when a process does not die or the disk refuses.
    """
    record = record_of(ctx, container)
    bundle, facts = ctx.layout.container(container), facts_of(ctx, container)
    if record is None:
        _tell_of_lost_record(ctx, container)
    grave = endings.bury(ctx, container) if is_cut_short(ctx, container, facts) else None
    endings.end_processes(ctx, container)
    endings.await_monitor(container, bundle, facts.life)
    ctx.runtime_of(container).delete(container)
    endings.forget(ctx, container)
    if record is not None:
        apart.leave(ctx, record)
    if record is not None and not keep_volumes:
        named.drop_anonymous(ctx, record.spec.mounts, of=container)
    files.discard(grave or bundle, ctx.layout.trash)
    verdicts.forget(ctx, container)
    index.remove_container(ctx.store, container)
    ctx.cache.containers.pop(container, None)
    ctx.cache.monitors.pop(container, None)
    ctx.cache.alike.pop(container, None)
    ctx.cache.seen.pop(container, None)


def _tell_of_lost_record(ctx: Context, container: ContainerId) -> None:
    """Of a container that was made, not of one whose making was cut short before its record: the rest is written after
    it."""
    key, (name, _) = index.key_of_container(ctx.store, container), index.label_of(ctx.store, container)
    record, bundle = ctx.layout.container(container) / RECORD, ctx.layout.container(container)
    if key is not None and name and ((bundle / CONFIG).exists() or record.exists()):
        was = "damaged" if record.exists() else "lost"
        text = f"The record of container {name} is {was} ({record}): it is removed, whatever it did"
        tell_of_loss(ctx, key, text)


def tell_of_loss(ctx: Context, key: Key, text: str) -> None:
    """Nothing waits for that: a full disk must not keep anything from going."""
    with contextlib.suppress(ReconcilerError):
        events.emit(ctx.store, ctx.clock, str(key), EventType.WARNING, RECORD_LOST, text)


def is_cut_short(ctx: Context, container: ContainerId, facts: ContainerFacts) -> bool:
    """Whether a life of the container was begun of which no more is known: whoever began it was killed, or failed."""
    record = read_again(ctx, container)
    return not facts.pid or record is None or record.life != facts.life


@effect("bundle.write")
def write_bundle(ctx: Context, record: ContainerRecord, config: dict[str, Any], prepare: str) -> None:
    """Everything that a monitor needs to create the container, the record first. Raises TryLater."""
    bundle = ctx.layout.container(record.id)
    of_life = monitor_file(bundle, record.life).parent
    try:
        bundle.mkdir(mode=0o711, exist_ok=True)
        records.write(bundle, RECORD, record)
        for name in OF_AN_IMAGE if record.image_id else ():
            (bundle / name).mkdir(mode=0o755, exist_ok=True)
        of_life.mkdir(mode=0o711, exist_ok=True)
        messages.make(bundle, record)
    except OSError as e:
        raise TryLater(f"cannot write {bundle}: {e.strerror}") from e
    files.write_atomic(bundle / CONFIG, msgspec.json.encode(config))
    files.write_atomic(of_life / PREPARE, prepare.encode())
    ctx.cache.containers[record.id] = record


def _monitor_request(ctx: Context, record: ContainerRecord, keep_fds: tuple[int, ...]) -> MonitorRequest:
    bundle = ctx.layout.container(record.id)
    monitor_pidfile = monitor_file(bundle, record.life)
    by_systemd = any(map(cgroups.is_slice, podgroups.places(ctx, record.pod)))
    by_hand = is_by_hand(ctx, record)
    return MonitorRequest(
        cid=record.id,
        name=record.name,
        bundle=bundle,
        runtime=ctx.runtime.path,
        runtime_args=(*ctx.runtime.args(), *(("--systemd-cgroup",) if by_systemd else ())),
        log=Path(record.log_path) if record.log_path else None,
        pidfile=ctx.layout.pids / record.id,
        exit_dir=ctx.layout.exits,
        persist_dir=bundle,
        monitor_pidfile=monitor_pidfile,
        prepare=monitor_pidfile.with_name(PREPARE),
        keep_fds=keep_fds,
        oom_file=ctx.layout.oom_count(record.id),
        stdin=record.spec.stdin,
        stdin_once=record.spec.stdin_once,
        terminal=record.spec.tty,
        log_size=ctx.config.logs.size,
        log_files=ctx.config.logs.max_files,
        reachable=by_hand,
        exit_command=(*ctx.settings.ended, record.id) if by_hand and ctx.settings.ended else (),
    )


def signal_number(name: str) -> int:
    """The signal that an image calls ``name``: 15, TERM, SIGTERM, RTMIN+3 (systemd's), in any case; TERM where it
    is no signal."""
    word = name.upper().removeprefix("SIG")
    base, sign, offset = word.replace("-", "+-").partition("+")
    try:
        number = int(word) if word.isdigit() else int(signal.Signals[f"SIG{base}"]) + (int(offset) if sign else 0)
    except (KeyError, ValueError):
        return signal.SIGTERM
    return number if number in signal.valid_signals() else signal.SIGTERM


def _kill_cgroup(ctx: Context, container: ContainerId) -> None:
    for path in cgroups_of(ctx, container):
        cgroups.kill_all(path)
