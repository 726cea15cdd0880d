"""How the volume of a PersistentVolumeClaim is called on this machine.

Each namespace has claims of its own, as elsewhere; no claim's name has a ``_``. Those of `default` are called as
they are, as podman's kube play does it.
"""

from __future__ import annotations

HOME = "default"


def volume_of(namespace: str, claim: str) -> str:
    """The volume of a claim."""
    return claim if namespace == HOME else f"{namespace}_{claim}"


def claim_of(namespace: str, volume: str) -> str:
    """The claim whose volume this is for a pod of the namespace."""
    return volume if namespace == HOME else volume.removeprefix(f"{namespace}_")
