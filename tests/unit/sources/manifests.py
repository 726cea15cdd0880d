"""Manifests as text, for tests of what happens to their files."""

from __future__ import annotations

from reconciler.model.key import Key


def pod(name: str, *members: str, namespace: str = "", command: str = "sleep 100", ports: str = "") -> str:
    """A valid manifest of a pod; ``ports`` is the text of a list for the first member."""
    where = f", namespace: {namespace}" if namespace else ""
    lines = ["apiVersion: v1", "kind: Pod", f"metadata: {{name: {name}{where}}}", "spec:"]
    lines += ["  terminationGracePeriodSeconds: 1", "  containers:"]
    for number, member in enumerate(members or ("main",)):
        lines += [f"  - name: {member}", "    image: busybox:1", f"    command: {command.split()}".replace("'", '"')]
        if ports and number == 0:
            lines.append(f"    ports: {ports}")
    return "\n".join(lines) + "\n"


def pods(*texts: str) -> str:
    return "---\n".join(texts)


def key(name: str, namespace: str = "default") -> Key:
    return Key(namespace, name)


BROKEN = "apiVersion: v1\nkind: Pod\nmetadata: {name: we\n"
"""Not YAML: nobody can say what it defines."""
