"""Every change of this host passes through the one gate: a module of the engine that goes around it is found here.

The rule, read from the source: a call that changes the host stands in a function marked ``@effect``, or in a private
function that only such functions of its module call (however far up). What is excepted says why.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import reconciler.engine
from reconciler.engine import effects

ENGINE = Path(reconciler.engine.__file__).parent

ANYWHERE = frozenset(
    {
        *("mkdir", "unlink", "rmdir", "rename", "symlink_to", "hardlink_to", "touch", "chmod", "lchmod", "utime"),
        *("write_text", "write_bytes", "rmtree", "copytree", "copyfileobj", "pidfd_send_signal", "makedirs", "link"),
        *("mkdtemp", "mkstemp", "Popen", "truncate", "ftruncate", "chown", "fchown", "fchmod", "setxattr", "mknod"),
        *("killpg", "setns", "unshare", "mount", "umount", "symlink", "mkfifo", "removedirs"),
    }
)
"""Method or function names that mean a change, whatever they are called on."""

QUALIFIED = frozenset(
    {
        *(
            "os.kill",
            "os.remove",
            "os.replace",
            "os.write",
            "os.pwrite",
            "shutil.move",
            "shutil.copy",
            "subprocess.run",
        ),
        *("children.run", "subprocess.call", "subprocess.check_call", "subprocess.check_output", "sqlite3.connect"),
    }
)
"""Those whose name alone says too little."""

EXCEPTED = {
    "cgroups.moves:_stay": "this process stays where it is",
    "children:run": "its callers are looked at as if they had started the program themselves",
    "effects:_trace": "it is the gate",
    "effects:_fault": "it is the gate",
    "network.foreign.programs:run": "also lists rules; its callers that change something are marked",
    "relays:_write": "what a command says goes to our own output",
    "sessions:resize": "how large our own terminal is: nothing is kept of it",
    "store.opening:_is_damaged": "it only looks",
    "runtime:_bounded": "also asks for versions and states; its callers that change something are marked, verb by verb",
}
"""module:function -> why it may change something outside the gate."""


@dataclass
class Function:
    """What one function (or the module's body, "") does. ``calls``: plain names and methods called by it."""

    name: str
    is_effect: bool = False
    changes: list[str] = field(default_factory=list)
    calls: set[str] = field(default_factory=set)


def functions(source: str) -> dict[str, Function]:
    """Every function of a module by name; methods of different classes with one name count as one."""
    found = {"": Function("")}
    _walk(ast.parse(source), found[""], found)
    return found


def _walk(node: ast.AST, inside: Function, found: dict[str, Function]) -> None:
    for child in ast.iter_child_nodes(node):
        where = inside
        if isinstance(child, ast.FunctionDef):
            where = found.setdefault(child.name, Function(child.name)) if not inside.name else inside
            where.is_effect = where.is_effect or any(_is_gate(d) for d in child.decorator_list)
        elif isinstance(child, ast.Call):
            _note(child, where)
        _walk(child, where, found)


def _is_gate(decorator: ast.expr) -> bool:
    return isinstance(decorator, ast.Call) and _dotted(decorator.func) == "effect"


def _note(call: ast.Call, function: Function) -> None:
    name = _dotted(call.func)
    last = name.rpartition(".")[2]
    function.calls.add(last)
    if last in ANYWHERE or name in QUALIFIED or _opens_for_writing(name, call) or _replaces(call, last):
        function.changes.append(name)


def _opens_for_writing(name: str, call: ast.Call) -> bool:
    """``open(path, "w")``, ``path.open("w")``, ``os.open(path, os.O_CREAT)``."""
    if name == "os.open":
        return any("O_CREAT" in ast.dump(argument) or "O_TRUNC" in ast.dump(argument) for argument in call.args)
    modes = call.args[:1] if "." in name else call.args[1:2]
    return name.rpartition(".")[2] == "open" and any(
        isinstance(mode, ast.Constant) and isinstance(mode.value, str) and set(mode.value) & set("wax+")
        for mode in modes
    )


def _replaces(call: ast.Call, last: str) -> bool:
    """``path.replace(target)``: one argument; text's has two, a dataclass's has keywords."""
    return last == "replace" and isinstance(call.func, ast.Attribute) and len(call.args) == 1 and not call.keywords


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def around_the_gate(source: str) -> Iterator[tuple[str, str]]:
    """(function, call) for every change that some way leads to without a gate."""
    found = functions(source)
    for function in found.values():
        if function.changes and not _is_guarded(function.name, found, frozenset()):
            yield from ((function.name, change) for change in function.changes)


def _is_guarded(name: str, found: dict[str, Function], seen: frozenset[str]) -> bool:
    if found[name].is_effect or name in seen:
        return True
    callers = [f.name for f in found.values() if name in f.calls and f.name != name]
    private = name.startswith("_")
    return private and bool(callers) and all(_is_guarded(c, found, seen | {name}) for c in callers)


def modules() -> Iterator[tuple[str, str]]:
    for path in sorted(ENGINE.rglob("*.py")):
        yield ".".join(path.relative_to(ENGINE).with_suffix("").parts), path.read_text()


def test_every_change_of_the_host_passes_through_the_gate() -> None:
    found = {f"{module}:{f}" for module, source in modules() for f, _ in around_the_gate(source)}
    assert found - set(EXCEPTED) == set(), "mark these with @effect, or say in EXCEPTED why not"


def test_every_exception_is_still_one() -> None:
    found = {f"{module}:{f}" for module, source in modules() for f, _ in around_the_gate(source)}
    assert set(EXCEPTED) - found == set()


def test_effects_have_names_of_their_own_and_all_are_known_once_the_engine_is_imported() -> None:
    for module in pkgutil.walk_packages(reconciler.engine.__path__, "reconciler.engine."):
        importlib.import_module(module.name)
    names = [name for _, source in modules() for name in _gates(ast.parse(source))]
    assert len(set(names)) == len(names)
    assert set(names) <= set(effects.points())
    assert all(name.count(".") == 1 for name in names)


def _gates(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _dotted(node.func) == "effect" and isinstance(node.args[0], ast.Constant):
            yield str(node.args[0].value)


PLAIN = "def f(path):\n    path.mkdir()\n"
MARKED = "@effect('a.b')\ndef f(path):\n    path.mkdir()\n"
HELPER = "@effect('a.b')\ndef f(p):\n    _g(p)\n\ndef _g(p):\n    p.unlink()\n"
LEAKY = HELPER + "\ndef h(p):\n    _g(p)\n"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param(PLAIN, [("f", "path.mkdir")], id="a bare change is found"),
        pytest.param(MARKED, [], id="a marked function may"),
        pytest.param(HELPER, [], id="so may a helper of marked functions alone"),
        pytest.param(LEAKY, [("_g", "p.unlink")], id="a helper that is also called from elsewhere may not"),
        pytest.param("def f(p):\n    open(p, 'w')\n", [("f", "open")], id="opening for writing is a change"),
        pytest.param("def f(p):\n    open(p, 'rb')\n", [], id="opening for reading is none"),
        pytest.param("def f(s):\n    s.replace('a', 'b')\n", [], id="text may be replaced"),
        pytest.param("def f(p, q):\n    p.replace(q)\n", [("f", "p.replace")], id="files may not"),
        pytest.param(
            "def f():\n    import subprocess\n    subprocess.run([])\n", [("f", "subprocess.run")], id="a program"
        ),
    ],
)
def test_the_check_itself(source: str, expected: list[tuple[str, str]]) -> None:
    assert list(around_the_gate(source)) == expected
