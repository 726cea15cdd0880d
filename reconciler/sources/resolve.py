"""What is wanted of a key, from a snapshot: an edit at its word, a disappearance only beyond doubt.

Pure: values in, value out. The rules are the design's decisions 8 and 12: of 584 prefixes of a good two-pod file
176 are valid manifests that lack a pod or a container, git unlinks before it creates, editors rename, and disks
get unmounted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Set
from dataclasses import dataclass, replace

from reconciler.kube import Problem
from reconciler.model.desired import Absent, Present, Unknown
from reconciler.model.key import Key
from reconciler.model.objects import ObjectId
from reconciler.model.spec import DEFAULT_NETWORK, PodSpec
from reconciler.sources.memory import Memory
from reconciler.sources.resolution import Resolution
from reconciler.sources.snapshot import Claim, FileState, Snapshot

GUARD_FROM = 3
"""The guard looks at sources of more pods than this..."""
GUARD_SHARE = 0.5
"""...of which more than this share would go at once."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """What runs on a source's account. ``owned``: keys with a pod recorded as this source's; ``going``: those of
    them whose removal was decided before; ``prune``: the user said yes to removing many, or from another directory."""

    owned: Set[Key] = frozenset()
    going: Set[Key] = frozenset()
    prune: bool = False


def resolve(key: Key, snapshot: Snapshot, memory: Memory, holdings: Holdings) -> Resolution:
    """Decide what is wanted of ``key``."""
    claim = chosen(key, snapshot, memory)
    if claim is not None:
        return _present(claim, snapshot, memory.network)
    if key not in holdings.owned:
        return _never_ours(key, snapshot, memory.network)
    doubt = _doubt(key, snapshot, memory, holdings)
    if doubt:
        return Resolution(Unknown(doubt))
    many = _too_many(key, snapshot, memory, holdings)
    if many:
        return Resolution(Unknown(many), gone=True)
    if not snapshot.settled:
        return Resolution(Unknown(_unsettled(key, snapshot, memory)), again_at=snapshot.look_again, gone=True)
    return Resolution(Absent(_removed(key, snapshot, memory)), gone=True)


def chosen(key: Key, snapshot: Snapshot, memory: Memory) -> Claim | None:
    """The claim that counts: the recorded file's; else, where that file cannot be doubted, the first by path.

    None also where the recorded file is unreadable and may still define the key.
    """
    claims = snapshot.claims.get(key, ())
    recorded = memory.paths.get(key)
    if recorded is None or not claims:
        return claims[0] if claims else None
    for claim in claims:
        if claim.file.relative == recorded:
            return claim
    file = snapshot.files.get(recorded)
    if _unreadable(recorded, snapshot) or (file is not None and file.may_define(key)):
        return None
    return claims[0]


def duplicates(snapshot: Snapshot, memory: Memory) -> tuple[Problem, ...]:
    """A problem for each claim that lost."""
    found = []
    for key, claims in snapshot.claims.items():
        winner = chosen(key, snapshot, memory)
        for claim in claims:
            if claim is winner or len(claims) < 2:
                continue
            place = str(winner) if winner else f"{snapshot.path}/{memory.paths.get(key)}"
            message = f"pod {key} is already defined in {place}, which counts"
            found.append(problem(claim.file.path, "DuplicatePod", message, line=claim.pod.line, key=key))
    return (*found, *_duplicate_objects(snapshot))


def _duplicate_objects(snapshot: Snapshot) -> Iterator[Problem]:
    first: dict[ObjectId, str] = {}
    for file in snapshot.files.values():
        for found in file.loaded.objects if file.loaded.objects_whole else ():
            name = found.value.id
            if name in first:
                message = f"{found.value} is already defined in {first[name]}, which counts"
                yield problem(file.path, f"Duplicate{name[0]}", message, line=found.line)
            first.setdefault(name, f"{file.path}:{found.line}")


def problem(path: str, reason: str, message: str, *, line: int = 0, key: Key | None = None) -> Problem:
    """A problem of a file as a whole, or of one object in it."""
    return Problem(path=path, line=line, column=0, field="", message=message, reason=reason, key=key, severity="error")


def _present(claim: Claim, snapshot: Snapshot, network: str) -> Resolution:
    key = claim.pod.spec.key
    others = [str(other) for other in snapshot.claims[key] if other is not claim]
    said = f"DuplicatePod: also defined in {', '.join(others)}; {claim} counts" if others else ""
    desired = Present(in_network(claim.pod.spec, network), snapshot.source, settled=snapshot.settled, problem=said)
    return Resolution(desired, again_at=None if snapshot.settled else snapshot.look_again)


def in_network(spec: PodSpec, default: str) -> PodSpec:
    """The pod in the network that it names, or else in ``default``."""
    box = spec.sandbox
    name = "" if box.host_network else box.network or default
    name = "" if name == DEFAULT_NETWORK else name
    return spec if name == box.network else replace(spec, sandbox=replace(box, network=name))


def _never_ours(key: Key, snapshot: Snapshot, network: str) -> Resolution:
    claims = snapshot.claims.get(key)
    if claims:
        return _present(claims[0], snapshot, network)
    file = _in_error(key, snapshot)
    if file is not None:
        return Resolution(Unknown(_complaint(key, file)))
    return Resolution(Absent("no manifest defines it"), gone=True)


def _doubt(key: Key, snapshot: Snapshot, memory: Memory, holdings: Holdings) -> str:
    """Why nobody can say that the manifest was removed; "" where it is certain."""
    if not snapshot.readable:
        return next((p.message for p in snapshot.problems), f"cannot read {snapshot.path}")
    recorded = memory.paths.get(key)
    in_error = _in_error(key, snapshot)
    if in_error is not None:
        return _complaint(key, in_error)
    if recorded is not None:
        place = _unreadable(recorded, snapshot)
        if place:
            return f"cannot read {place}: {snapshot.unreadable[place]}"
        file = snapshot.files.get(recorded)
        if file is not None and file.may_define(key):
            return _complaint(key, file)
        if _other_device(recorded, snapshot, memory):
            return f"the directory of {recorded} is on another file system than before (unmounted?)"
    stranger = _may_be_in(recorded, snapshot, memory, holdings.owned)
    if stranger:
        return f"{stranger} cannot be read and may define it"
    if memory.identity is not None and memory.identity != snapshot.identity and not holdings.prune:
        return f"{snapshot.path} is not the directory it was (device or inode changed); --yes-prune removes the pod"
    return ""


def _may_be_in(recorded: str | None, snapshot: Snapshot, memory: Memory, owned: Collection[Key]) -> str:
    """A broken file that no recorded pod comes from: what it defines is anybody's guess."""
    known = {memory.paths[key] for key in owned if key in memory.paths}
    for file in snapshot.broken():
        if recorded is None or file.relative not in known:
            return file.relative or file.path
    return ""


def _too_many(key: Key, snapshot: Snapshot, memory: Memory, holdings: Holdings) -> str:
    """The guard against a mass deletion; what was decided before counts on neither side."""
    if holdings.prune or key in holdings.going:
        return ""
    owned = [other for other in holdings.owned if other not in holdings.going]
    if len(owned) <= GUARD_FROM:
        return ""
    leaving = [
        other for other in owned if other not in snapshot.claims and not _doubt(other, snapshot, memory, holdings)
    ]
    if len(leaving) <= len(owned) * GUARD_SHARE:
        return ""
    return f"{len(leaving)} of {len(owned)} pods of {snapshot.path} would be removed at once; --yes-prune removes them"


def _in_error(key: Key, snapshot: Snapshot) -> FileState | None:
    return next((file for file in snapshot.files.values() if key in file.loaded.keys_in_error), None)


def _complaint(key: Key, file: FileState) -> str:
    """The first problem of the file that is about this key, or about the file."""
    problems = [p for p in file.loaded.problems if p.key == key] or list(file.loaded.problems)
    if not problems:
        return f"cannot read {file.path}"
    return str(problems[0])


def _unreadable(recorded: str, snapshot: Snapshot) -> str | None:
    """What makes the recorded path unreadable: itself, or a directory or link above it."""
    at = recorded
    while True:
        if at in snapshot.unreadable:
            return at
        if not at:
            return None
        at = at.rpartition("/")[0]


def _other_device(recorded: str, snapshot: Snapshot, memory: Memory) -> bool:
    directory = recorded.rpartition("/")[0]
    before, now = memory.devices.get(directory), snapshot.devices.get(directory)
    return bool(directory) and before is not None and now is not None and before != now


def _unsettled(key: Key, snapshot: Snapshot, memory: Memory) -> str:
    what = _removed(key, snapshot, memory)
    if snapshot.git_lock:
        return f"{what}, but a git operation is under way ({snapshot.git_lock})"
    return f"{what}, but the folder has changed a moment ago: waiting until it is quiet"


def _removed(key: Key, snapshot: Snapshot, memory: Memory) -> str:
    recorded = memory.paths.get(key)
    if recorded is None or recorded in snapshot.files:
        return f"its manifest was removed from {snapshot.path if recorded is None else recorded or snapshot.path}"
    return f"its manifest {recorded or snapshot.path} was removed"
