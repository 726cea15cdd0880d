"""Which file names in a watched folder are manifests, and which are the traces of editors and tools.

Pure functions of a name. The kubelet runs editors' backup files as pods (kubernetes #40331, #136931); we do not.
"""

from __future__ import annotations

SUFFIXES = (".yaml", ".yml", ".json")


def is_hidden(name: str) -> bool:
    """Dot-names: hidden files, ``.git``, vim's ``.web.yaml.swp``, Kubernetes' ``..data`` and ``..2026_…``."""
    return name.startswith(".")


def is_manifest(name: str) -> bool:
    """Whether a file of this name is read.

    Backup names fall out by their suffix (``web.yaml~``, ``web.yaml.bak``, ``web.yaml.orig``, ``web.yaml.rpmnew``,
    ``#web.yaml#``, ``4913``); what is left to refuse are names that keep the suffix (``#web.yaml``, ``web.tmp.yaml``
    is a fair name and is read).
    """
    if is_hidden(name) or name.startswith(("#", "~$")) or name.endswith("#"):
        return False
    stem, dot, suffix = name.rpartition(".")
    return bool(stem and dot) and f".{suffix.lower()}" in SUFFIXES
