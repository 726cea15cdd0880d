"""Say whether the running environment holds what a lock file asks for, and this checkout's reconciler.

Why: `scripts/up` and `scripts/test` must know within a moment whether anything is left to install, also
after an interrupted installation, a moved checkout, an edited lock file or a new system Python. So the
records that pip itself keeps are compared with the lock each time. Only the standard library is used.
"""

from __future__ import annotations

import json
import re
import sys
from importlib import metadata
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)


def normal(name: str) -> str:
    """A distribution's name as packages are compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def problem(lock: Path, *, copy: bool) -> str:
    """What is missing or different, or "" where nothing is. ``copy``: installed to stay when the checkout goes."""
    have = {normal(d.metadata["Name"]): d for d in metadata.distributions()}
    for name, version in PIN.findall(lock.read_text()):
        found = have.get(normal(name))
        if found is None or found.read_text("RECORD") is None:
            return f"{name} is missing"
        if found.version != version:
            return f"{name} is {found.version}, the lock file says {version}"
    return own_problem(have.get("reconciler"), copy=copy)


def own_problem(found: metadata.Distribution | None, *, copy: bool) -> str:
    """Whether the reconciler that is installed is the one of this checkout, with its command."""
    if found is None:
        return "reconciler itself is not installed"
    origin = json.loads(found.read_text("direct_url.json") or "{}").get("url", "")
    if not copy and origin != CHECKOUT.as_uri():
        return f"the installed reconciler is the one of {origin or 'somewhere else'}"
    source = (CHECKOUT / "reconciler/__init__.py").read_text()
    if f'"{found.version}"' not in source:
        return f"the installed reconciler is of version {found.version}"
    command = Path(sys.prefix, "bin/reconciler")
    if not command.is_file() or not command.read_text().startswith(f"#!{sys.prefix}/bin/python"):
        return "its command is missing, or of another place"
    return ""


if __name__ == "__main__":
    if what := problem(Path(sys.argv[-1]), copy="--copy" in sys.argv):
        print(what)
        sys.exit(1)
