"""What is done with one input: all that is done with a manifest until the first container is made, and nothing is left.

``examine`` raises where something is wrong with the program: whatever else than our own errors comes out, and whatever
is promised of a manifest that was read and does not hold (``Broken``).
"""

from __future__ import annotations

import contextlib
import hashlib
import unicodedata
from functools import cache
from pathlib import Path

import msgspec

from reconciler.cli.description import describe
from reconciler.controller.binding import bind
from reconciler.controller.generated import generated
from reconciler.engine.images.image import Image
from reconciler.engine.images.users import User
from reconciler.engine.oci import linux, mounts, process
from reconciler.engine.records import PodRecord
from reconciler.flags.beside import Beside, over
from reconciler.flags.sandbox import Network
from reconciler.kube import Loaded, load
from reconciler.kube.present import pod_object
from reconciler.kube.problem import Reason
from reconciler.model.desired import Present
from reconciler.model.errors import ReconcilerError
from reconciler.model.harmless import JOINERS
from reconciler.model.key import PodId, SourceId
from reconciler.model.objects import FindObject, Object
from reconciler.model.observed import HostFacts, Observed
from reconciler.model.spec import PodSpec, PortBinding
from reconciler.model.typed import decoder
from reconciler.plan.disruption import highest, pod_changes, tell
from reconciler.plan.pod_actions import compute_pod_actions
from reconciler.plan.pod_status import pod_status
from reconciler.sources.directory import DirectorySource
from tests.fuzz.cases import Case
from tests.fuzz.corpus import seeds
from tests.unit.oci.samples import FACTS, bundle

OWNER = SourceId("dir:/fuzz")
BESIDE = Beside(
    network=Network(),
    ports=(PortBinding(1, 80),),
    every_port=True,
    annotations=(("a", "b"),),
    no_hosts=True,
    host_users=True,
)
KEPT = ("Zs", "Co", "Cn")
IMAGE = Image("0", (), (Path("/l"),), cmd=("run",), env=("PATH=/bin", "A=b"))


class Broken(Exception):
    """A promise that the program does not keep."""


def examine(case: Case, folder: Path) -> None:
    """All of it. ``folder`` is an empty directory, used and emptied where the case is read from a folder."""
    loaded = load(case.name, case.data, case.strictness)
    problems_are_told(loaded)
    objects = tuple(found.value for found in loaded.objects)
    for pod in loaded.pods:
        _of_pod(pod.spec, case, objects)
    if case.in_folder:
        _in_folder(case, loaded, folder)


def problems_are_told(loaded: Loaded) -> None:
    """Each is a user's, in one printable line with a place; and where something is not known, one says why."""
    for problem in loaded.problems:
        _expect(problem.reason is not Reason.INTERNAL, str(problem))
        _expect(problem.line >= 1 and problem.column >= 1, f"no place: {problem}")
        _expect(str(problem).isprintable(), f"not printable: {problem!s:.200}")
        _expect(len(str(problem)) < 1500, "a long line")
    known = loaded.complete and not loaded.keys_in_error and loaded.objects_whole
    _expect(known or bool(loaded.problems), "nothing is said of why it is not known")
    keys = [pod.spec.key for pod in loaded.pods]
    _expect(len(keys) == len(set(keys)), "a pod twice")
    _expect(not set(keys) & set(loaded.keys_in_error), "a pod that is in error")


def _of_pod(spec: PodSpec, case: Case, objects: tuple[Object, ...]) -> None:
    _comes_back_from_its_record(spec)
    for before in originals(case.original):
        _differs(before, spec)
    present = bind(Present(spec, OWNER), finder(spec, objects), _digest)
    _comes_back_from_its_record(present.spec)
    _is_planned(present)
    _is_run(present.spec)
    _is_played(spec)
    if len(case.data) % 8 == 0 or case.in_folder:  # it takes as long as all the rest
        _comes_back_as_manifest(spec)


@cache
def originals(name: str) -> tuple[PodSpec, ...]:
    """The pods of the seed that a case was made of."""
    found = next((seed for seed in seeds() if seed.name == name), None)
    return tuple(pod.spec for pod in load(found.name, found.text).pods) if found else ()


def finder(spec: PodSpec, objects: tuple[Object, ...]) -> FindObject:
    known = {(o.kind, o.name): o for o in objects if o.namespace == spec.key.namespace}
    return lambda kind, name: known.get((kind, name))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _comes_back_from_its_record(spec: PodSpec) -> None:
    record = PodRecord(PodId("0" * 64), "uid", spec.key, spec, OWNER, "10.0.0.2", 0.0)
    text = msgspec.json.encode(record)
    back = decoder(PodRecord).decode(text)
    if back != record:
        raise Broken(f"another pod comes back from its record: {tell(pod_changes(spec, back.spec))}")


def _differs(before: PodSpec, spec: PodSpec) -> None:
    """Whatever changed, the disruption table has a price and a sentence for it, in both directions."""
    for old, new in ((before, spec), (spec, before)):
        changes = pod_changes(old, new)
        highest(changes)
        tell(changes)
        same = old.key == new.key and bool(changes) == (old != new)
        _expect(same or old.key != new.key, f"a change that is not seen, or seen where none is: {tell(changes)}")


def _is_planned(present: Present) -> None:
    """What is to be done and told of it, in a manifest's shape and in describe's."""
    have = Observed(present.spec.key)
    compute_pod_actions(present, have, HostFacts(), 0.0)
    pod = pod_object(present.spec, pod_status(present, have, HostFacts(), 0.0))
    msgspec.json.encode(pod)
    text = describe(pod, [], node="n", owner=present.owner, word="Pending", now=0.0)
    _expect(all(line.replace("\t", "").isprintable() for line in map(_without_kept, text.split("\n"))), "not harmless")


def _without_kept(line: str) -> str:
    """Without what is not printable in Python's eyes and no terminal obeys."""
    return "".join(c for c in line if unicodedata.category(c) not in KEPT and c not in JOINERS)


def _is_played(spec: PodSpec) -> None:
    """With what may be said beside it on a command line."""
    with contextlib.suppress(ReconcilerError):
        _comes_back_from_its_record(over(spec, BESIDE))


def _is_run(spec: PodSpec) -> None:
    """What the OCI runtime is told of each container."""
    place = bundle(sandbox=spec.sandbox)
    for member in spec.everyone:
        try:
            told = (
                process.member_process(place, member, IMAGE, User(), FACTS, None),
                mounts.member_mounts(place, member),
                linux.member_linux(place, member, FACTS),
            )
        except ReconcilerError:
            continue
        msgspec.json.encode(told)


def _comes_back_as_manifest(spec: PodSpec) -> None:
    try:
        written = generated(spec)
    except ReconcilerError:
        return
    back = load("generated.yaml", written.text.encode())
    _expect(not any(p.is_error for p in back.problems), f"what is written is refused: {[*map(str, back.problems)][:3]}")
    if not written.lost:
        came = [pod.spec for pod in back.pods]
        _expect(len(came) == 1, "more than one pod comes back")
        _expect(came == [spec], f"another pod comes back from its manifest: {tell(pod_changes(spec, came[0]))}")


def _in_folder(case: Case, loaded: Loaded, folder: Path) -> None:
    """The same file in a folder, beside another that it may refer to, and then gone: a first look and two more."""
    beside = next(seed for seed in seeds() if seed.name == case.beside)
    mutated, other = folder / case.name, folder / f"beside-{case.beside}"
    mutated.write_bytes(case.data)
    other.write_bytes(beside.text)
    try:
        source = DirectorySource(folder, strictness=case.strictness)
        _look(source)
        came = source.snapshot.files[case.name].loaded
        _expect(came.pods == loaded.pods and came.objects == loaded.objects, "a folder reads otherwise")
        _expect(len(came.problems) == len(loaded.problems), "a folder finds other problems")
        mutated.write_bytes(beside.text)
        _look(source)
        mutated.unlink()
        _look(source)
    finally:
        mutated.unlink(missing_ok=True)
        other.unlink(missing_ok=True)


def _look(source: DirectorySource) -> None:
    source.scan()
    for problem in source.problems():
        _expect(str(problem).isprintable(), f"not printable: {problem!s:.200}")
    for key in sorted(source.keys()):
        found = source.resolve(key).desired
        source.services_for(key)
        if isinstance(found, Present):
            source.own(key)
            _is_planned(bind(found, lambda kind, name, key=key: source.find(key, kind, name), _digest))


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Broken(otherwise)
