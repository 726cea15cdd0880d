"""A field as `explain` and docs/fields.md tell of it: default, what a change costs, whether it is supported."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.kube import fields
from reconciler.kube.fields import Field, Support
from reconciler.model.cost import Cost
from reconciler.plan.price import WORDS, own_price, price

OF_OBJECTS = {
    "data": "files of volumes are rewritten while the pod runs; containers that have it in env are replaced",
    "binaryData": "files of volumes are rewritten while the pod runs",
    "stringData": "files of volumes are rewritten while the pod runs; containers that have it in env are replaced",
}
"""What a change of a ConfigMap or a Secret costs the pods that refer to it."""

NOTHING = "nothing"

HEAD = """\
# Fields of manifests

Every field of the Kubernetes 1.36 Pod, and of the other kinds that are read here: its type, its default, what a change
costs a pod that runs, and whether it is supported. `reconciler explain pod.spec.containers.image` tells the same, and
describes it.

This page is made by `scripts/fields` from schemas/ and from the costs beside the spec's fields; a test fails where it
is not up to date.

What a change costs:

| word | what happens |
|---|---|
"""

MIDDLE = """
Support: *yes*; *ignored*: only a cluster's scheduler or control plane uses it, it is accepted and named in a warning;
else it is refused (`--strictness` says otherwise), and this is why. So is then all that is below it.
"""

TITLES = """\
| field | type | default | a change | supported |
|---|---|---|---|---|
"""

SHORT = {
    Cost.NOTHING: "nothing",
    Cost.RECORD: "record",
    Cost.LIVE: "live",
    Cost.CONTAINER: "container",
    Cost.POD: "pod",
}


_SUPPORT = {Support.YES: "yes", Support.IGNORED: "ignored"}


def cost_of(kind: str, field: Field) -> tuple[tuple[Cost, ...], str]:
    """What a change of a field of a Pod may cost, and a remark. Of a field that holds others: what theirs do."""
    if kind != "Pod" or field.support is not Support.YES:
        return (), ""
    found, remark = own_price(field.path)
    inner = {cost for below in field.fields for cost in cost_of(kind, below)[0]}
    return (tuple(sorted({*found, *inner})), remark) if found or inner else price(field.path)


def told_cost(kind: str, field: Field) -> str:
    """The same in words; "" where nothing can be said."""
    if kind != "Pod":
        return OF_OBJECTS.get(field.path.partition(".")[0], NOTHING) if field.support is Support.YES else NOTHING
    if field.support is Support.IGNORED:
        return NOTHING
    found, remark = cost_of(kind, field)
    text = ", or ".join(WORDS[cost] for cost in found) if len(found) < 3 else f"{SHORT[found[0]]} to {SHORT[found[-1]]}"
    return f"{text} ({remark})" if text and remark else text


def told_default(field: Field) -> str:
    """A field's default as a manifest would have it; "" where there is none, or it follows from something else."""
    if field.default is None:
        return ""
    return str(field.default).lower() if isinstance(field.default, bool) else str(field.default) or '""'


def told_type(field: Field) -> str:
    """The type by Kubernetes' name: pod-later.json calls a type as a whole Full where pod.json has a part of it."""
    return field.type.replace("Full", "", 1)


def told_support(field: Field) -> str:
    """Whether it is supported, in words."""
    if field.support is not Support.NO:
        return str(field.support)
    return field.why.replace("not supported: ", "no: ", 1).replace("not supported yet", "not yet") or "no"


def page() -> str:
    """docs/fields.md."""
    costs = "\n".join(f"| {SHORT[cost]} | {words} |" for cost, words in WORDS.items())
    parts = [f"{HEAD}{costs}\n{MIDDLE}"]
    for kind in fields.KINDS:
        rows = "\n".join(_row(kind, field) for field in _shown(fields.root(kind)))
        parts.append(f"\n## {kind}\n\n{TITLES}{rows}\n")
    return "".join(parts)


def _shown(parent: Field) -> Iterator[Field]:
    """What is not supported, or without effect, is told with all that is below it; what many fields share, once."""
    for field in parent.fields:
        yield field
        is_shared = field.path == "metadata" and parent.type != "Pod"
        if field.support is Support.YES and not is_shared:
            yield from _shown(field)


def _row(kind: str, field: Field) -> str:
    default = f"`{told_default(field)}`" if field.default is not None else ""
    support = _SUPPORT.get(field.support) or told_support(field)
    required = " (required)" if field.required else ""
    return f"| `{field.path}`{required} | {told_type(field)} | {default} | {_short_cost(kind, field)} | {support} |"


def _short_cost(kind: str, field: Field) -> str:
    if field.support is Support.NO:
        return "-"
    if kind != "Pod" or field.support is Support.IGNORED:
        return OF_OBJECTS.get(field.path, NOTHING)
    found, remark = cost_of(kind, field)
    words = [SHORT[cost] for cost in found]
    cost = " or ".join(words) if len(words) < 3 else f"{words[0]} to {words[-1]}"
    return f"{cost} ({remark})" if remark else cost
