"""The program of an environment: order, references, what is lacking, what is a Secret's; by sentences."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.model.environment import Lack, Outcome, canonical, evaluate, settled
from reconciler.model.expansion import LONGEST
from reconciler.model.objects import CONFIG_MAP, SECRET, Object
from reconciler.model.sources import EnvEntry, FileKey, Reference
from reconciler.model.spec import ContainerSpec, Mount, Volume, VolumeKind

OBJECTS = {
    (CONFIG_MAP, "c"): Object(
        CONFIG_MAP, "default", "c", (("a", b"1"), ("b", b"$(a)"), ("x-y.z", b"3")), (("raw", b"r"),)
    ),
    (SECRET, "s"): Object(SECRET, "default", "s", (("a", b"hush"), ("nul", b"a\0b"), ("odd", b"\xff"), ("p", b"pass"))),
    (SECRET, "big"): Object(SECRET, "default", "big", (("k", b"x" * LONGEST),)),
    (SECRET, "empty"): Object(SECRET, "default", "empty"),
}


def find(kind: str, name: str) -> Object | None:
    return OBJECTS.get((kind, name))


def text(name: str, value: str) -> EnvEntry:
    return EnvEntry(name, value)


def config(name: str = "", key: str = "", of: str = "c", *, optional: bool = False) -> EnvEntry:
    return EnvEntry(name, source=Reference(CONFIG_MAP, of, key, optional))


def secret(name: str = "", key: str = "", of: str = "s", *, optional: bool = False) -> EnvEntry:
    return EnvEntry(name, source=Reference(SECRET, of, key, optional))


def run(*program: EnvEntry) -> Outcome:
    return evaluate(program, find, told)


def told(entry: EnvEntry) -> str | None:
    if entry.file is not None:
        return f"<{entry.file.key}>" if entry.file.key else None
    return f"<{entry.field}>"


VALUES: list[tuple[str, list[EnvEntry], dict[str, str]]] = [
    ("all keys become variables, and what an object says is not expanded", [config()],
     {"a": "1", "b": "$(a)", "x-y.z": "3"}),
    ("a prefix stands before each key", [config("P_")], {"P_a": "1", "P_b": "$(a)", "P_x-y.z": "3"}),
    ("of two of one name the later wins", [config(), secret("a", "p"), text("b", "2")],
     {"a": "pass", "b": "2", "x-y.z": "3"}),
    ("a value sees what objects brought before it", [config("P_"), text("v", "<$(P_a)>")],
     {"P_a": "1", "P_b": "$(a)", "P_x-y.z": "3", "v": "<1>"}),
    ("a value does not see what comes after it", [text("v", "$(w)"), secret("w", "p")], {"v": "$(w)", "w": "pass"}),
    ("two dollars are one", [secret("w", "p"), text("v", "$$(w) $$$(w)")], {"w": "pass", "v": "$(w) $pass"}),
    ("a variable may be made of its own earlier value", [secret("w", "p"), text("w", "$(w)$(w)")], {"w": "passpass"}),
    ("a field is told and not expanded", [EnvEntry("i", field="status.podIP"), text("v", "$(i)")],
     {"i": "<status.podIP>", "v": "<status.podIP>"}),
    ("what a file says is not expanded", [EnvEntry("i", file=FileKey("v", "f", "k")), text("v", "$(i)")],
     {"i": "<k>", "v": "<k>"}),
    ("what a file does not say sets nothing", [text("i", "1"), EnvEntry("i", file=FileKey("v", "f", ""))], {"i": "1"}),
    ("what is optional and missing sets nothing", [config("v", "none", optional=True), secret(of="no", optional=True)],
     {}),
    ("what is optional and missing leaves what was there", [text("v", "1"), config("v", "none", optional=True)],
     {"v": "1"}),
    ("an object may be empty", [secret(of="empty")], {}),
]  # fmt: skip


@pytest.mark.parametrize(("program", "values"), [row[1:] for row in VALUES], ids=[row[0] for row in VALUES])
def test_values(program: list[EnvEntry], values: dict[str, str]) -> None:
    outcome = run(*program)
    assert (outcome.values, outcome.lacks) == (values, [])


LACKS: list[tuple[EnvEntry, str, str]] = [
    (config("v", "k", "no"), "env[v]", 'configmap "no" not found'),
    (secret(of="no"), "envFrom", 'secret "no" not found'),
    (secret("v", "none"), "env[v]", 'key "none" not found in secret "s"'),
    (config("v", "raw"), "env[v]", 'key "raw" not found in configmap "c"'),
    (secret("v", "nul"), "env[v]", 'key "nul" of secret "s" cannot be a variable: it contains a NUL character'),
    (secret("v", "odd", optional=True), "env[v]", 'key "odd" of secret "s" cannot be a variable: it is not UTF-8'),
    (secret("v", "k", "big"), "env[v]", 'key "k" of secret "big" cannot be a variable: it is longer than 128 KiB, the'
     " most that a process can be given in one string"),
]  # fmt: skip


@pytest.mark.parametrize(("entry", "field", "said"), LACKS, ids=[said[:60] for *_, said in LACKS])
def test_what_is_lacking_is_named_without_a_value(entry: EnvEntry, field: str, said: str) -> None:
    (lack,) = run(entry).lacks
    assert isinstance(lack, Lack)
    assert (lack.field, str(lack)) == (field, said)


def test_only_what_is_used_of_an_object_counts() -> None:
    assert run(config("v", "a"), config("w", "a"), config("x", "none", optional=True)).used == {
        ("ConfigMap", "c"): {"a": b"1"}
    }
    assert run(text("v", "1"), config(of="no")).used == {}


def test_what_has_anything_of_a_secret_is_known_to() -> None:
    outcome = run(config(), secret("p", "p"), text("u", "x$(p)"), text("v", "$(u)"), text("w", "$$(p)"), text("p", ""))
    assert outcome.secret == {"u", "v"}
    assert "pass" not in repr(outcome)


def test_command_and_arguments_have_the_values() -> None:
    spec = ContainerSpec("c", "i", command=("run", "$(v)"), args=("$$(v)",), program=(config("v", "a"),))
    done = settled(spec, run(*spec.program).values)
    assert (done.env, done.command, done.args, done.program) == ((("v", "1"),), ("run", "1"), ("$(v)",), ())
    assert settled(ContainerSpec("c", "i"), {}).command is None


def test_bytes_to_tell_values_by_are_others_for_anything_else() -> None:
    some = [{}, {"a": b""}, {"a": b"b"}, {"ab": b""}, {"a": b"1:b"}, {"a": b"", "b": b""}, {"a": b"b", "b": b""}]
    assert len({canonical(used) for used in some}) == len(some)
    assert canonical({"a": b"1", "b": b"2"}) == canonical({"b": b"2", "a": b"1"})


@pytest.mark.parametrize(
    ("expr", "path"), [("logs/$(v)", "logs/1"), ("/x", ""), ("$(v)/../..", ""), ("$(none)", ""), ("$(e)", "")]
)
def test_a_path_below_a_volume_has_the_values_and_stays_below_it(expr: str, path: str) -> None:
    mount = Mount("/d", Volume("d", VolumeKind.EMPTY_DIR), sub_path_expr=expr)
    spec = ContainerSpec("c", "i", mounts=(mount,))
    if path:
        assert settled(spec, {"v": "1"}).mounts == (replace(mount, sub_path=path, sub_path_expr=""),)
        return
    with pytest.raises(ValueError, match=r"^its subPathExpr of /d(: missing value for | leads out of the volume)"):
        settled(spec, {"v": "1", "e": ""})


def test_what_is_too_long_is_named() -> None:
    half = "x" * (LONGEST // 2)
    with pytest.raises(ValueError, match=r"^variable v is longer"):
        run(text("a", half), text("v", "$(a)$(a)$(a)"))
    with pytest.raises(ValueError, match=r"^a word of its command is longer"):
        settled(ContainerSpec("c", "i", command=("$(a)$(a)$(a)",)), {"a": half})
