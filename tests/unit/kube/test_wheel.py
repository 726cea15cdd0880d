"""An installed wheel carries the schemas: an editable install would hide their absence."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

TOP = Path(__file__).parents[3]
PARTS = ("pyproject.toml", "README.md", "LICENSE", "reconciler", "conmon", "schemas")

PROBE = """
import sys
sys.path.insert(0, sys.argv[1])
import reconciler
assert reconciler.__file__.startswith(sys.argv[1]), reconciler.__file__
from reconciler.kube import load
loaded = load("x.yaml", open(sys.argv[2], "rb").read())
assert loaded.pods and not loaded.problems, loaded
assert load("x.yaml", b"kind: Pod").problems
"""


def test_a_wheel_validates_manifests_by_itself(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for part in PARTS:
        if (TOP / part).is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(TOP / part, source / part, symlinks=True, ignore=ignore)
        elif (TOP / part).exists():
            shutil.copy(TOP / part, source / part)
    run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-build-isolation",
        "--no-deps",
        "-q",
        "-w",
        str(tmp_path),
        ".",
        cwd=source,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    run(sys.executable, "-c", PROBE, str(tmp_path / "site"), str(TOP / "manifests" / "web.yaml"), cwd=tmp_path)


def run(*command: str, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
