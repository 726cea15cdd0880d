"""Passwords of registries, as a Secret of the manifests brings them.

Kept in memory, and of a pod that was played in the file of what is wanted of it (``sources.hand``): never part of a
spec, a record, an event or a log, and not shown by ``repr``.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Login:
    """How to log in to a registry. ``place`` is what the Secret says it is for: a host, with a port, a path or a ``*``
    perhaps; ``auth`` is base64 of ``user:password``, ``token`` an identity token instead."""

    place: str
    auth: str = field(repr=False)
    token: str = field(default="", repr=False)


Logins = tuple[Login, ...]
