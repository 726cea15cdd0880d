"""A file's bytes to pods and problems: the one way in for manifests.

``load`` never raises and never looks at the disk, so the sources, ``validate`` and tests share it. Time and
memory are bounded by the size cap and the node limit. Pure; several threads may load at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any

from reconciler.kube import cluster, names
from reconciler.kube.compile import compile_pod
from reconciler.kube.document import Document, Node, locate, node_at, plain
from reconciler.kube.lenience import check_without, drop, prune, soften
from reconciler.kube.objects import DEFAULT_NAMESPACE, TEXTS, read_object
from reconciler.kube.problem import Flaw, Path, Problem, Reason, field_path, one_line
from reconciler.kube.rules import check_rules
from reconciler.kube.schema import LATER, check_pod, kind_of, shorten
from reconciler.kube.text import read
from reconciler.model.key import Key
from reconciler.model.objects import KINDS, Object
from reconciler.model.spec import PodSpec
from reconciler.model.strictness import Strictness
from reconciler.model.words import did_you_mean

_LISTS = ("List", "PodList")
_LIST_FIELDS = ("apiVersion", "kind", "metadata", "items")
_OTHER_KINDS = """
    Binding CertificateSigningRequest ClusterRole ClusterRoleBinding ControllerRevision CronJob
    CustomResourceDefinition DaemonSet Deployment Endpoints EndpointSlice Event HorizontalPodAutoscaler Ingress
    IngressClass Job Kustomization Lease LimitRange Namespace NetworkPolicy Node PersistentVolume
    PodDisruptionBudget PodTemplate PriorityClass ReplicaSet ReplicationController
    ResourceQuota Role RoleBinding RuntimeClass ServiceAccount StatefulSet StorageClass
""".split()  # noqa: SIM905 (a list of one word a line would fill a page)

MAX_PROBLEMS = 100
"""Of one file; the rest is counted. Nobody reads the hundredth, and finding them all takes time."""


@dataclass(frozen=True, slots=True)
class LoadedPod:
    """A pod of a file; ``line`` (from 1) is where it begins, ``document`` (from 0) the document it is in."""

    spec: PodSpec
    line: int
    document: int


@dataclass(frozen=True, slots=True)
class LoadedObject:
    """An object of a file that pods may refer to; ``line`` (from 1) is where it begins."""

    value: Object
    line: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """All that a file says. ``complete`` False: something in it could not be attributed to a pod, so it is not
    known which pods the file means. ``keys_in_error`` are pods it means but describes wrongly; none of them is
    in ``pods``. ``objects_whole`` False: some object for pods to refer to is described wrongly."""

    pods: tuple[LoadedPod, ...] = ()
    problems: tuple[Problem, ...] = ()
    complete: bool = True
    keys_in_error: tuple[Key, ...] = ()
    objects: tuple[LoadedObject, ...] = ()
    objects_whole: bool = True


@dataclass(slots=True)
class _Result:
    """What one object came to. ``about_pods`` False: it is an object of another kind; ``refers`` False: and one that
    pods do not refer to."""

    node: Node
    flaws: list[Flaw]
    key: Key | None = None
    spec: PodSpec | None = None
    about_pods: bool = True
    refers: bool = False
    value: Object | None = None


def load(path: str, data: bytes, strictness: Strictness = Strictness.STRICT) -> Loaded:
    """Read a manifest. ``path`` is only shown in problems (and its ending tells JSON); any bytes will do."""
    try:
        return _load(path, data, strictness)
    except Exception as error:
        # A mistake of ours must not stop the controller over one file; it is told like any other problem.
        message = f"cannot read the manifest: {type(error).__name__}: {one_line(str(error), 200)}"
        return Loaded(problems=(Problem(path, 1, 1, "", message, Reason.INTERNAL),), complete=False)


def _load(path: str, data: bytes, strictness: Strictness) -> Loaded:
    pods: dict[Key, LoadedPod] = {}
    problems: list[Problem] = []
    failed: dict[Key, None] = {}
    objects: list[LoadedObject] = []
    complete = whole = True
    for document in read(data, is_json=path.endswith(".json")):
        complete = complete and not document.broken
        for result in _objects(document, strictness):
            spec, key = result.spec, result.key
            if spec is not None and spec.key in pods:
                result.flaws.append(_duplicate(spec.key, pods[spec.key]))
            elif spec is not None:
                pods[spec.key] = LoadedPod(spec, result.node.line + 1, document.index)
            elif key is not None:
                failed[key] = None
            elif result.value is not None:
                objects.append(LoadedObject(result.value, result.node.line + 1))
            elif result.about_pods:
                complete = False
            else:
                whole = whole and not result.refers
            problems.extend(_problem(path, flaw, result.node, key) for flaw in result.flaws)
    keys_in_error = tuple(key for key in failed if key not in pods)
    whole = whole and complete
    return Loaded(tuple(pods.values()), _in_order(problems), complete, keys_in_error, tuple(objects), whole)


def _in_order(problems: list[Problem]) -> tuple[Problem, ...]:
    """As they stand in the file, each once, and no more than a person reads: of too many the errors."""
    ordered = sorted(dict.fromkeys(problems), key=lambda p: (p.line, p.column))
    more = len(ordered) - MAX_PROBLEMS
    if more <= 0:
        return tuple(ordered)
    by_weight = sorted(ordered, key=lambda p: not p.is_error)
    shown, last = set(by_weight[:MAX_PROBLEMS]), by_weight[MAX_PROBLEMS]
    counted = replace(last, field="", message=f"and {more} more problems", key=None)
    return (*(problem for problem in ordered if problem in shown), counted)


def _duplicate(key: Key, first: LoadedPod) -> Flaw:
    return Flaw(f"pod {key} is already defined in line {first.line}", Reason.DUPLICATE_POD, ("metadata", "name"))


def _problem(path: str, flaw: Flaw, root: Node, key: Key | None) -> Problem:
    line, column = (flaw.line, flaw.column) if flaw.line >= 0 else locate(root, flaw.at, flaw.on_key)
    severity = "warning" if flaw.warning else "error"
    field, message = one_line(field_path(flaw.at), 200), one_line(flaw.message, 400)
    return Problem(path, line + 1, column + 1, field, message, flaw.reason, key, severity)


def _objects(document: Document, strictness: Strictness) -> Iterator[_Result]:
    """The objects of a document: itself, or the items of a list."""
    root = document.root
    if root is None:
        if document.flaws:
            yield _Result(Node(None, document.line, 0), document.flaws, about_pods=document.broken)
        return
    if root.value is None and not document.flaws:
        return
    if root.is_map and _text(root, "kind") in _LISTS and not document.broken:
        yield from _list_items(root, document.flaws, strictness)
    else:
        yield _object(root, document.flaws, document.broken, strictness)


def _list_items(root: Node, flaws: list[Flaw], strictness: Strictness) -> Iterator[_Result]:
    items = node_at(root, ("items",))
    if items is not None and items.value is not None and not isinstance(items.value, list):
        flaws = [*flaws, Flaw("must be a list", Reason.WRONG_TYPE, ("items",))]
        yield _Result(root, flaws)
        return
    flaws = [*flaws, *_list_fields(root)]
    nodes: list[Node] = items.value if items is not None and items.value else []
    for flaw in flaws:
        if not (len(flaw.at) > 1 and flaw.at[0] == "items"):
            yield _Result(root, [flaw])
    for index, node in enumerate(nodes):
        prefix: Path = ("items", index)
        own = [replace(flaw, at=flaw.at[2:]) for flaw in flaws if flaw.at[:2] == prefix]
        result = _object(node, own, broken=False, strictness=strictness)
        result.flaws = [_moved(flaw, node, prefix) for flaw in result.flaws]
        yield result


def _list_fields(root: Node) -> Iterator[Flaw]:
    """A misspelt ``items`` must not read as an empty list."""
    for name in root.value:
        if name not in _LIST_FIELDS:
            hint = did_you_mean(name, list(_LIST_FIELDS))
            yield Flaw(f"unknown field{hint}", Reason.UNKNOWN_FIELD, (name,), on_key=True)
    if "items" not in root.value:
        yield Flaw("missing", Reason.MISSING_FIELD, ("items",))


def _moved(flaw: Flaw, node: Node, prefix: Path) -> Flaw:
    """The flaw of an item as one of the list, its position fixed first (it is looked up in the item)."""
    line, column = (flaw.line, flaw.column) if flaw.line >= 0 else locate(node, flaw.at, flaw.on_key)
    return replace(flaw, at=(*prefix, *flaw.at), line=line, column=column)


def _object(node: Node, flaws: list[Flaw], broken: bool, strictness: Strictness) -> _Result:
    if not node.is_map:
        text = f"must be a Kubernetes object (a mapping), not {kind_of(node.value)}"
        return _Result(node, flaws if broken else [*flaws, Flaw(text, Reason.WRONG_TYPE)])
    if (kind := _text(node, "kind")) in KINDS and not broken:
        return _other_object(node, kind, flaws, strictness)
    if kind != "Pod":
        return _other_kind(node, kind, flaws, broken, strictness)
    key = _key(node)
    if broken:
        return _Result(node, flaws, key)
    pod = _document_of(node)
    found = _check(pod, strictness)
    if any(not flaw.warning for flaw in (*flaws, *found)):
        return _Result(node, [*flaws, *found], key)
    spec = compile_pod(pod)
    return _Result(node, [*flaws, *found], spec.key, spec)


def _check(pod: dict[str, Any], strictness: Strictness) -> list[Flaw]:
    """All that is wrong with a pod: its shape, then the rules over what is left of it. In the end, in place, it is what
    is to be compiled, if none of that is an error."""
    token = cluster.without_token(pod)
    shape, whole, lost = check_without(pod, lambda p: check_pod(p, MAX_PROBLEMS), strictness)
    if not whole:
        return shape
    prune(pod, shape)

    def rules(checked: dict[str, Any]) -> tuple[list[Flaw], bool]:
        found = _besides(chain(check_rules(checked), cluster.check(checked, token)), shape)
        return list(islice(found, MAX_PROBLEMS + 1)), True

    broken, _, more = check_without(pod, rules, strictness)
    if not any(not flaw.warning for flaw in (*shape, *broken)):
        drop(pod, lost | more)
        cluster.drop_volumes(pod, token)
    return [*shape, *broken]


def _other_object(node: Node, kind: str, flaws: list[Flaw], strictness: Strictness) -> _Result:
    found, more = read_object(kind, _document_of(node), MAX_PROBLEMS, strictness)
    wrong = any(not flaw.warning for flaw in flaws)
    return _Result(node, [*flaws, *more], about_pods=False, refers=True, value=None if wrong else found)


def _document_of(node: Node) -> dict[str, Any]:
    """As plain values. In labels, annotations and data null is an empty value, not an absent one (Go's
    map[string]string)."""
    made: dict[str, Any] = plain(node)
    for parent, name in (*(("metadata", name) for name in ("labels", "annotations")), *(("", name) for name in TEXTS)):
        mapping = node_at(node, (parent, name) if parent else (name,))
        if mapping is not None and mapping.is_map:
            texts = {k: "" if e.node.value is None else plain(e.node) for k, e in mapping.value.items()}
            (made[parent] if parent else made)[name] = texts
    return made


def _besides(broken: Iterable[Flaw], found: list[Flaw]) -> Iterator[Flaw]:
    """What rules find, but that something lacks which the schema refused in it. (What was only left out lacks.)"""
    refused = [one.at for one in found if not one.warning]
    for flaw in broken:
        if flaw.reason is not Reason.MISSING_FIELD or not any(at[: len(flaw.at)] == flaw.at for at in refused):
            yield flaw


def _other_kind(node: Node, kind: str, flaws: list[Flaw], broken: bool, strictness: Strictness) -> _Result:
    if broken:
        return _Result(node, flaws, about_pods=True)
    if kind == "Namespace":  # nobody need make one
        text = "Namespace has no effect here: a namespace is there with its first pod"
        return _Result(node, [*flaws, Flaw(text, Reason.NOT_SUPPORTED, ("kind",), warning=True)], about_pods=False)
    known = kind in _OTHER_KINDS
    if known:
        text = f"{kind} is {LATER}"
    elif kind and _is_custom(_text(node, "apiVersion")):
        known = True  # it is no misspelt Pod
        text = f"{shorten(kind)!r} is not supported: what a custom resource means is known to its cluster alone"
    elif kind:
        text = f"{shorten(kind)!r} is not a known kind{did_you_mean(kind, ['Pod', *KINDS, *_OTHER_KINDS])}"
    else:
        text = "missing" if node_at(node, ("kind",)) is None else "must be a string such as Pod"
    reason = Reason.NOT_SUPPORTED if kind else Reason.MISSING_FIELD if text == "missing" else Reason.WRONG_TYPE
    if strictness is not Strictness.STRICT and kind and "/" in _text(node, "apiVersion"):
        known = True  # of an API group: whatever it is, it is no misspelt Pod
    flaw = [Flaw(text, reason, ("kind",))]
    return _Result(node, [*flaws, *(soften(flaw, strictness) if known else flaw)], about_pods=not known)


def _is_custom(version: str) -> bool:
    """Whether an apiVersion is of a group that Kubernetes itself has not: those are words, or below k8s.io."""
    group, _, rest = version.rpartition("/")
    return bool(rest) and "." in group and not group.endswith(".k8s.io")


def _key(node: Node) -> Key | None:
    """The pod an object means, as far as that can be read from it."""
    name = _text(node, "metadata", "name")
    space = node_at(node, ("metadata", "namespace"))
    namespace = DEFAULT_NAMESPACE if space is None or space.value in (None, "") else space.value
    if names.dns_subdomain(name) or not isinstance(namespace, str) or names.dns_label(namespace):
        return None
    return Key(namespace, name)


def _text(node: Node, *path: str) -> str:
    found = node_at(node, path)
    return found.value if found is not None and isinstance(found.value, str) else ""
