"""A container's environment from its program: values looked up, ``$(VAR)`` expanded, in order. Pure.

The kubelet's rules (kubelet_pods.go: makeEnvironmentVariables): envFrom first, then env; of two of one name the later
wins; a value sees what was set before it; what an object or a field says is not expanded. Kubernetes 1.36 takes any
key of an object as a name (RelaxedEnvironmentVariableValidation), so none is skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from reconciler.model.expansion import LONGEST, expand, expand_strictly, names_in
from reconciler.model.objects import SECRET, FindObject
from reconciler.model.sources import EnvEntry, Reference
from reconciler.model.spec import ContainerSpec, Mount

TellField = Callable[[EnvEntry], str | None]
"""What an entry's ``field`` or ``file`` says of this life of the pod; None: nothing, and the variable is not set."""

Used = dict[tuple[str, str], dict[str, bytes]]
"""By kind and name of an object: what is used of it, key to value."""


@dataclass(frozen=True, slots=True)
class Lack:
    """What is not as a ``variable`` needs it ("": envFrom): no object; no ``key`` in it; or what is there cannot be a
    value, ``why``."""

    source: Reference
    variable: str
    key: str = ""
    why: str = ""

    @property
    def field(self) -> str:
        return f"env[{self.variable}]" if self.variable else "envFrom"

    def __str__(self) -> str:
        what = f'{self.source.kind.lower()} "{self.source.name}"'
        if self.why:
            return f'key "{self.key}" of {what} cannot be a variable: {self.why}'
        return f'key "{self.key}" not found in {what}' if self.key else f"{what} not found"


@dataclass(slots=True)
class Outcome:
    """``values`` are the variables, as far as nothing is lacking; ``used`` what of objects is in them; ``secret`` the
    names of those in which there is anything of a Secret."""

    values: dict[str, str] = field(default_factory=dict, repr=False)
    secret: set[str] = field(default_factory=set)
    lacks: list[Lack] = field(default_factory=list)
    used: Used = field(default_factory=dict, repr=False)


def evaluate(program: Iterable[EnvEntry], find: FindObject, tell: TellField = lambda _: "") -> Outcome:
    """Carry out a program. Raises ValueError, with a sentence, where a value is longer than a process can be given."""
    outcome = Outcome()
    for entry in program:
        if entry.source is not None:
            _take(entry, entry.source, find, outcome)
        else:
            _set(entry, tell, outcome)
    return outcome


def _set(entry: EnvEntry, tell: TellField, outcome: Outcome) -> None:
    try:
        value = tell(entry) if not entry.is_known else expand(entry.value, outcome.values)
    except ValueError as error:
        raise ValueError(f"variable {entry.name} {error}") from error
    if value is None:
        return
    outcome.values[entry.name] = value
    if names_in(entry.value) & outcome.secret:
        outcome.secret.add(entry.name)
    else:
        outcome.secret.discard(entry.name)


def settled(spec: ContainerSpec, values: Mapping[str, str]) -> ContainerSpec:
    """The container with these variables: in ``env``, in its command and arguments, and in paths below its volumes.
    Raises ValueError."""
    return replace(
        spec,
        program=(),
        env=tuple(sorted(values.items())),
        command=words(spec.command, values),
        args=words(spec.args, values),
        mounts=tuple(_placed(mount, values) for mount in spec.mounts),
    )


def _placed(mount: Mount, values: Mapping[str, str]) -> Mount:
    if not mount.sub_path_expr:
        return mount
    doing = f"its subPathExpr of {mount.path}"
    try:
        path = expand_strictly(mount.sub_path_expr, values)
    except ValueError as error:
        raise ValueError(f"{doing}: {error}") from error
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/") or ".." in parts or not parts:
        raise ValueError(f"{doing} leads out of the volume")
    return replace(mount, sub_path="/".join(parts), sub_path_expr="")


def words(text: Iterable[str] | None, values: Mapping[str, str]) -> tuple[str, ...] | None:
    """Command or arguments with their references replaced. Raises ValueError, with a sentence."""
    try:
        return None if text is None else tuple(expand(word, values) for word in text)
    except ValueError as error:
        raise ValueError(f"a word of its command {error}") from error


def canonical(used: Mapping[str, bytes]) -> bytes:
    """What is used of one object as bytes, others for anything else."""
    parts = (part for key in sorted(used) for part in (key.encode(), used[key]))
    return b"".join(b"%d:" % len(part) + part for part in parts)


def _take(entry: EnvEntry, source: Reference, find: FindObject, outcome: Outcome) -> None:
    found, variable = find(source.kind, source.name), "" if entry.is_all else entry.name
    if found is None:
        outcome.lacks += [] if source.optional else [Lack(source, variable)]
        return
    texts = found.texts
    if entry.is_all:
        wanted = {f"{entry.name}{key}": key for key in texts}
    elif source.key in texts:
        wanted = {entry.name: source.key}
    else:
        outcome.lacks += [] if source.optional else [Lack(source, variable, source.key)]
        return
    used = outcome.used.setdefault((source.kind, source.name), {})
    for name, key in wanted.items():
        text, why = _text(texts[key], name)
        if why:
            outcome.lacks.append(Lack(source, variable, key, why))
        used[key] = texts[key]
        outcome.values[name] = text
    (outcome.secret.update if source.kind == SECRET else outcome.secret.difference_update)(wanted)


def _text(value: bytes, name: str) -> tuple[str, str]:
    """The bytes as a process can be given them, and why they cannot."""
    if b"\0" in value:
        return "", "it contains a NUL character"
    if len(name) + len(value) + 1 > LONGEST:
        return "", "it is longer than 128 KiB, the most that a process can be given in one string"
    try:
        return value.decode(), ""
    except UnicodeDecodeError:
        return "", "it is not UTF-8"


def sources_of(program: Iterable[EnvEntry]) -> Iterator[Reference]:
    """Every object that a program refers to."""
    return (entry.source for entry in program if entry.source is not None)
