"""References: the ways people write an image's name, and the one way it is written in full.

What a name without a registry may mean is for ``shortnames``; ``full`` takes the default registry for it.
Pure; the grammar is that of the distribution project's reference package.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from reconciler.model.errors import ImageProblem

DEFAULT_REGISTRY = "docker.io"
"""The one place that names the registry which names without a registry mean."""

LOCAL = "localhost"
"""The registry part of images that exist only on this machine."""

_ALIASES = {f"index.{DEFAULT_REGISTRY}": DEFAULT_REGISTRY}
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_DOMAIN = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9-]+)*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ID = re.compile(r"(?:sha256:)?([0-9a-f]{3,64})")
_NAME_MAX = 255


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed reference. ``registry`` "" when it was written short; ``tag`` "" only beside a digest."""

    registry: str
    path: str
    tag: str
    digest: str = ""

    @property
    def repository(self) -> str:
        return f"{self.registry}/{self.path}" if self.registry else self.path

    @property
    def local(self) -> bool:
        """It names an image of this machine, which no registry can deliver."""
        return self.registry == LOCAL

    def __str__(self) -> str:
        return f"{self.repository}@{self.digest}" if self.digest else f"{self.repository}:{self.tag}"

    def full(self) -> Reference:
        """As a registry knows it: the default registry where none is written, and its ``library/``.

        A tag beside a digest is dropped: the digest alone decides.
        """
        registry = _ALIASES.get(self.registry, self.registry) or DEFAULT_REGISTRY
        path = self.path
        if registry == DEFAULT_REGISTRY and "/" not in path:
            path = f"library/{path}"
        return replace(self, registry=registry, path=path, tag="" if self.digest else self.tag)


def parse(text: str) -> Reference:
    """Read ``[registry/]path[:tag][@digest]``. Raises ImageProblem with what is wrong with it."""
    name, _, digest = text.partition("@")
    if digest and not _DIGEST.fullmatch(digest):
        raise _invalid(text, "the digest must be sha256: and 64 hex digits")
    if "@" in text and not digest:
        raise _invalid(text, "nothing follows the @")
    head, slash, rest = name.partition("/")
    registry = head if slash and _is_registry(head) else ""
    path = rest if registry else name
    path, colon, tag = path.partition(":")
    if colon and not _TAG.fullmatch(tag):
        raise _invalid(text, f"{tag!r} is not a tag")
    if registry and not _DOMAIN.fullmatch(registry):
        raise _invalid(text, f"{registry!r} is not the name of a registry")
    if not _PATH.fullmatch(path):
        raise _invalid(text, _why_not_a_path(path))
    if len(name) > _NAME_MAX:
        raise _invalid(text, f"it is longer than {_NAME_MAX} characters")
    return Reference(registry, path, tag or ("" if digest else "latest"), digest)


def new_name(text: str) -> Reference:
    """The full name that somebody gives to an image; without a registry it is one of this machine.

    Raises ImageProblem, also for a digest: that is no name to give.
    """
    reference = parse(text)
    if reference.digest:
        raise _invalid(text, "a digest cannot be given as a name")
    return reference.full() if reference.registry else replace(reference, registry=LOCAL)


def id_prefix(text: str) -> str:
    """The hex digits when ``text`` can be (the beginning of) an image id, else ""."""
    match = _ID.fullmatch(text)
    return match.group(1) if match else ""


def _is_registry(head: str) -> bool:
    return head == LOCAL or "." in head or ":" in head or head != head.lower()


def _why_not_a_path(path: str) -> str:
    if not path:
        return "the name is empty"
    if path != path.lower():
        return "names are lower-case"
    return f"{path!r} is not a name"


def _invalid(text: str, cause: str) -> ImageProblem:
    return ImageProblem(f"cannot use image reference {text!r}: {cause}")
