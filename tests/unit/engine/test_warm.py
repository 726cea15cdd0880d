"""Who lives long has in memory what the engine imports where it is used."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ENGINE = Path(__file__).parents[3] / "reconciler" / "engine"
LOADED = "import reconciler.engine.warm, sys; print(*sys.modules)"


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", LOADED], cwd=ENGINE.parents[1], capture_output=True, text=True, timeout=60, check=True
    )
    return set(done.stdout.split())


def imported_on_use(module: Path) -> Iterator[str]:
    """Modules of ours that functions of this one import."""
    functions = (node for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.FunctionDef))
    for node in (node for function in functions for node in ast.walk(function)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("reconciler."):
            for alias in node.names:
                inner = ENGINE.parents[1] / node.module.replace(".", "/") / f"{alias.name}.py"
                yield f"{node.module}.{alias.name}" if inner.exists() else node.module


@pytest.mark.parametrize(
    "name", ["perform", "apart", "named", "containers", "members", "sandboxes", "renew", "outlook", "podfiles"]
)
def test_what_steps_import_is_there_before_the_first(name: str, loaded: set[str]) -> None:
    assert f"reconciler.engine.{name}" in loaded
    assert set(imported_on_use(ENGINE / f"{name}.py")) <= loaded
