"""Manifests as dictionaries that tests change, and files that editors would write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Manifest = dict[str, Any]

SERVE = 'trap "exit 0" TERM INT; echo "$NAME is up"; while :; do sleep 1000 & wait; done'
"""Runs until TERM, and then ends at once (a bare sleep as process 1 would not hear it)."""


def container(name: str, image: str, **fields: Any) -> Manifest:
    return {
        "name": name,
        "image": image,
        "command": ["sh", "-c", SERVE],
        "env": [{"name": "NAME", "value": name}],
        **fields,
    }


def pod(name: str, *containers: Manifest, **spec: Any) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"terminationGracePeriodSeconds": 2, **spec, "containers": list(containers)},
    }


def put(path: Path, *manifests: Manifest) -> Path:
    """Write as a careful editor does: into a file beside it, renamed into place. JSON is YAML."""
    text = "\n---\n".join(json.dumps(manifest, indent=2) for manifest in manifests) + "\n"
    beside = path.with_name(f".{path.name}.tmp")
    beside.write_text(text)
    beside.rename(path)
    return path
