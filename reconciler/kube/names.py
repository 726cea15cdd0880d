"""What names, labels, paths and images may look like. Each function answers "" or what is wrong.

Rules of apimachinery/pkg/util/validation and distribution/reference, in our words.
"""

from __future__ import annotations

import re

from reconciler.model.spec import PullPolicy

_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?\Z")
_SUBDOMAIN = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*\Z")
_QUALIFIED = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?\Z")
_ENV = re.compile(r"[\x20-\x3c\x3e-\x7e]+\Z")
_PORT_NAME = re.compile(r"[a-z0-9](?:-?[a-z0-9])*\Z")

_DOMAIN = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[-A-Za-z0-9]*[A-Za-z0-9])?)*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?\Z")  # fmt: skip  # noqa: E501
_REPO_PART = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*\Z")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z", re.ASCII)
_DIGEST = re.compile(r"(?:sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})\Z")


def dns_label(text: str) -> str:
    """A name of containers, volumes, namespaces: one DNS label."""
    if not text:
        return "must not be empty"
    if len(text) > 63:
        return f"has {len(text)} characters, more than 63"
    if not _LABEL.match(text):
        return f"{text!r} must be lower-case letters, digits and '-', with a letter or digit at both ends"
    return ""


def dns_subdomain(text: str) -> str:
    """A name of pods: DNS labels joined by points."""
    if not text:
        return "must not be empty"
    if len(text) > 253:
        return f"has {len(text)} characters, more than 253"
    if not _SUBDOMAIN.match(text):
        return f"{text!r} must be lower-case letters, digits, '-' and '.', with a letter or digit at both ends"
    return ""


def label_key(text: str) -> str:
    """A key of labels and annotations: ``name`` or ``prefix/name``."""
    prefix, slash, name = text.rpartition("/")
    if slash and (wrong := dns_subdomain(prefix)):
        return f"the prefix before '/' {wrong}"
    if not name:
        return "the name must not be empty"
    if len(name) > 63:
        return f"the name has {len(name)} characters, more than 63"
    if not _QUALIFIED.match(name):
        return f"{name!r} must be letters, digits, '-', '_' and '.', with a letter or digit at both ends"
    return ""


def label_value(text: str) -> str:
    if len(text) > 63:
        return f"has {len(text)} characters, more than 63"
    if text and not _QUALIFIED.match(text):
        return f"{text!r} must be letters, digits, '-', '_' and '.', with a letter or digit at both ends"
    return ""


def env_name(text: str) -> str:
    """Printable ASCII without ``=`` (Kubernetes since RelaxedEnvironmentVariableValidation)."""
    if not text:
        return "must not be empty"
    return "" if _ENV.match(text) else f"{text!r} must be printable ASCII characters other than '='"


def port_name(text: str) -> str:
    """An IANA service name."""
    if not text or len(text) > 15:
        return f"has {len(text)} characters; it must have 1 to 15"
    if not _PORT_NAME.match(text) or not any(c.isalpha() for c in text):
        return f"{text!r} must be lower-case letters, digits and single '-', with at least one letter"
    return ""


def split_image(text: str) -> tuple[str, str, str]:
    """Repository, tag, digest; the last two may be ""."""
    rest, _, digest = text.partition("@")
    slash = rest.rfind("/")
    colon = rest.find(":", slash + 1)
    return (rest, "", digest) if colon < 0 else (rest[:colon], rest[colon + 1 :], digest)


def image(text: str) -> str:
    """An image reference: ``[host[:port]/]path[:tag][@digest]``."""
    if not text:
        return "must not be empty"
    if text != text.strip():
        return "must not begin or end with a space"
    repository, tag, digest = split_image(text)
    if (":" in text.removeprefix(repository) and not (tag or digest)) or ("@" in text and not digest):
        return f"{text!r} ends where a tag or digest should follow"
    if tag and not _TAG.match(tag):
        return f"{text!r} is not an image reference: {tag!r} cannot be a tag"
    if digest and not _DIGEST.match(digest):
        return f"{text!r} is not an image reference: {digest!r} cannot be a digest"
    return _repository(repository)


def _repository(text: str) -> str:
    host, slash, path = text.partition("/")
    if not slash or not ("." in host or ":" in host or host == "localhost" or host != host.lower()):
        host, path = "", text
    if host and not _DOMAIN.match(host):
        return f"{text!r} is not an image reference: {host!r} cannot be a host"
    if len(text) > 255:
        return f"the image's name has {len(text)} characters, more than 255"
    if path != path.lower():
        return f"{text!r} is not an image reference: the name must be lower-case"
    for part in path.split("/"):
        if not _REPO_PART.match(part):
            return f"{text!r} is not an image reference: {part!r} cannot be part of a name"
    return ""


def relative_path(text: str) -> str:
    """A file below some directory: not absolute, and never out of it."""
    if text.startswith("/"):
        return f"{text!r} must be a relative path"
    return f"{text!r} must not contain '..'" if ".." in text.split("/") else ""


def default_pull_policy(image: str) -> PullPolicy:
    """Always for a tag that moves (core/v1/defaults.go: SetDefaults_Container)."""
    _, tag, digest = split_image(image)
    moves = tag == "latest" or not (tag or digest)
    return PullPolicy.ALWAYS if moves else PullPolicy.IF_NOT_PRESENT
