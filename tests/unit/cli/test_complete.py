"""What a shell is told that completes names: from the records, and never an error."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from reconciler.cli import app, complete
from reconciler.cli.settings import Options
from reconciler.engine import records
from reconciler.engine.context import Context, Settings
from reconciler.engine.layout import Layout
from reconciler.engine.records import RECORD, ContainerRecord
from reconciler.engine.store import pods as index
from reconciler.model.key import ContainerId, Key, PodId
from reconciler.model.spec import ContainerSpec

WEB, DB, OTHER = Key("default", "web"), Key("default", "db"), Key("other", "cache")
JOLLY, SOLO = Key("default", "jolly_mestorf"), Key("default", "quiet_fox")
PODS = {WEB: "aa", DB: "ab", OTHER: "ac", JOLLY: "ba", SOLO: "bb"}
CONTAINERS = {
    "c1": (WEB, "app"),
    "c2": (WEB, "side"),
    "d1": (DB, "main"),
    "e1": (JOLLY, "adoring"),
    "f1": (SOLO, "fox"),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Five pods on record: three of manifests, two made by hand, one of these for a single container."""
    context = Context(Settings(tmp_path), Layout.at(tmp_path))
    context.layout.make()
    for key, digits in PODS.items():
        index.add_pod(context.store, PodId(digits * 32), key, ())
    for digits, (key, name) in CONTAINERS.items():
        record(context, digits * 32, key, name)
    record(context, "99" * 32, WEB, "aaaaaaaaaaaa-infra", infra=True)
    for key in (JOLLY, SOLO):
        file = context.layout.hand / key.namespace / f"{key.name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"solo": key == SOLO, "members": [{"name": "x"}]}))
    context.store.close()
    return tmp_path


def record(context: Context, container: str, key: Key, name: str, *, infra: bool = False) -> None:
    pod, identity = PodId(PODS[key] * 32), ContainerId(container)
    index.add_container(context.store, identity, pod)
    directory = context.layout.container(identity)
    directory.mkdir()
    made = ContainerRecord(identity, pod, key, name, 0, ContainerSpec(name, ""), infra=infra)
    records.write(directory, RECORD, made)


def words(root: Path, function: object, incomplete: str = "", **params: object) -> list[str]:
    assert callable(function)
    parent = click.Context(app.tree, obj=Options(root))
    parent.params = {"root": root}
    ctx = click.Context(click.Command("x"), parent=parent)
    ctx.params = dict(params)
    return sorted(item.value for item in function(ctx, click.Argument(["name"]), incomplete))


@pytest.mark.parametrize(
    ("incomplete", "found"),
    [
        ("", ["adoring", "db/main", "fox", "web/app", "web/side"]),
        ("web/", ["web/app", "web/side"]),
        ("ap", ["app"]),
        ("ad", ["adoring"]),
        ("c", []),
        ("c1", ["c1" * 6]),
        ("c1" * 10, ["c1" * 10]),
        ("aaaaaaaaaaaa-", []),
        ("nope", []),
    ],
)
def test_containers(root, incomplete, found):
    assert words(root, complete.containers, incomplete) == found


@pytest.mark.parametrize(
    ("incomplete", "found"),
    [
        ("", ["cache", "db", "jolly_mestorf", "web"]),
        ("we", ["web"]),
        ("other/", ["other/cache"]),
        ("aa", ["aa" * 6]),
        ("bb", []),
    ],
)
def test_pods(root, incomplete, found):
    assert words(root, complete.pods, incomplete) == found


def test_both(root):
    assert words(root, complete.either, "web") == ["web", "web/app", "web/side"]
    assert words(root, complete.anything, "web") == ["web", "web/app", "web/side"]


def test_only_those_of_a_namespace(root):
    assert words(root, complete.pods, namespace="other") == ["cache"]


def test_where_nothing_is_nothing_is_made(tmp_path):
    assert words(tmp_path / "none", complete.containers) == []
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("damage", ["not a database", ""])
def test_a_damaged_index_gives_no_answer(root, damage):
    for file in (root / "state").glob("state.db*"):
        file.write_text(damage)
    assert words(root, complete.either) == []


def asked(root: Path, line: str) -> subprocess.CompletedProcess[str]:
    """As bash asks about a command line whose last word is not finished."""
    count = len(line.split(" ")) - 1
    environment = {app.COMPLETE: "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(count)}
    return subprocess.run(
        [sys.executable, "-m", "reconciler"],
        env={**os.environ, "RECONCILER_ROOT": str(root), **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("reconciler logs web/a", "plain,web/app\n"),
        ("reconciler exec c1", f"plain,{'c1' * 6}\n"),
        ("reconciler pod inspect jo", "plain,jolly_mestorf\n"),
        ("reconciler get pods w", "plain,web\n"),
        ("reconciler --root ROOT stop ado", "plain,adoring\n"),
        ("reconciler --runtime nope stop ado", "plain,adoring\n"),
        ("reconciler nonsense ado", "\n"),
        ("reconciler --root /etc/passwd stop ado", "\n"),
    ],
)
def test_through_the_shell(root, line, answer):
    done = asked(root, line.replace("ROOT", str(root)))
    assert done.stderr == ""
    assert done.stdout == answer


def parameters(command: click.Command, path: str = "") -> Iterator[tuple[str, click.Parameter]]:
    for parameter in command.params:
        yield f"{path} {parameter.name}", parameter
    if isinstance(command, click.Group):
        ctx = click.Context(command)
        for name in command.list_commands(ctx):
            found = command.get_command(ctx, name)
            assert found is not None
            yield from parameters(found, f"{path} {name}")


def test_every_command_that_takes_containers_or_pods_completes_them(root):
    parent = click.Context(app.tree, obj=Options(root))
    parent.params = {"root": root}
    ctx = click.Context(click.Command("x"), parent=parent)
    kind = re.compile(r"\[?(CONTAINER|POD)(\|\S*)?\]?( \[DESCRIPTOR\])?(\.\.\.)?")
    named = {path: p for path, p in parameters(app.tree) if kind.fullmatch(p.metavar or "")}
    assert {" stop names", " pod inspect names", " logs member", " events about"} <= named.keys()
    silent = [path for path, parameter in named.items() if not parameter.shell_complete(ctx, "")]
    assert silent == []
