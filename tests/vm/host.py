"""What the guest takes over from this machine: package mirror and proxies, Python index, certificates.

Read from this machine's own configuration at each run, so that nothing about it stands in the repository. In the
guest a loopback address is the guest itself; qemu's user network shows the host as GATEWAY.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

GATEWAY = "10.0.2.2"
CODENAMES = {"12": "bookworm", "13": "trixie"}
LOCAL_CERTIFICATES = Path("/usr/local/share/ca-certificates")
APT_OPTIONS = ("Acquire::Check-Valid-Until", "Acquire::Check-Date")
APT_PROXIES = ("Acquire::http::Proxy", "Acquire::https::Proxy")
PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "timeout", "retries")
PROXY_VARIABLES = ("http_proxy", "https_proxy", "no_proxy")


@dataclass(frozen=True)
class Host:
    """As this machine has it; ``seen_from_guest`` for the other side. ``mirrors``: archive and security."""

    mirror: str
    security: str
    apt: dict[str, str]
    pip: dict[str, str]
    environment: dict[str, str]
    certificates: dict[str, str]

    def seen_from_guest(self) -> Host:
        def translated(values: dict[str, str]) -> dict[str, str]:
            return {name: " ".join(map(guest_address, value.split())) for name, value in values.items()}

        return Host(
            guest_address(self.mirror),
            guest_address(self.security),
            translated(self.apt),
            translated(self.pip),
            translated(self.environment),
            self.certificates,
        )

    def text(self) -> str:
        """The same for the same settings: part of what names a cached root."""
        return json.dumps(asdict(self), sort_keys=True)


def read(mirror: str | None, security: str | None) -> Host:
    """This machine's settings. "" as a mirror: mmdebstrap knows Debian's own."""
    found, found_security = ("", "") if mirror else mirrors()
    environment = {n: os.environ[n] for n in (*PROXY_VARIABLES, *map(str.upper, PROXY_VARIABLES)) if n in os.environ}
    files = sorted(LOCAL_CERTIFICATES.glob("**/*.crt")) if LOCAL_CERTIFICATES.is_dir() else []
    certificates = {f"host-{number}.crt": file.read_text() for number, file in enumerate(files)}
    return Host(mirror or found, security or found_security, apt_settings(), pip_settings(), environment, certificates)


def mirrors() -> tuple[str, str]:
    """Where this machine's apt finds Debian and its security updates; "" where it does not say (not Debian)."""
    words = ["apt-get", "indextargets", "--format", "$(LABEL)\t$(REPO_URI)", "Created-By: Packages"]
    found: dict[str, str] = {}
    for line in answer(words).splitlines():
        label, _, uri = line.partition("\t")
        if uri.startswith(("http://", "https://")):
            found.setdefault(label, uri)
    return found.get("Debian", ""), found.get("Debian-Security", "")


def apt_settings() -> dict[str, str]:
    found = {}
    for line in answer(["apt-config", "dump"]).splitlines():
        match = re.fullmatch(r'(\S+) "(.*)";', line)
        if match and match[1] in (*APT_OPTIONS, *APT_PROXIES):
            found[match[1]] = match[2]
    return found


def pip_settings() -> dict[str, str]:
    """What pip is told here, without what lies on this machine's disk."""
    found: dict[str, str] = {}
    for line in answer(["/usr/bin/python3", "-m", "pip", "config", "list"]).splitlines():
        name, _, value = line.partition("=")
        name = name.rpartition(".")[2]
        if name in PIP_SETTINGS:
            found[name] = value.strip("'\"")
    for name in PIP_SETTINGS:
        found[name] = os.environ.get(f"PIP_{name.upper().replace('-', '_')}", found.get(name, ""))
    kept = {name: words_elsewhere(value) for name, value in found.items()}
    return {name: value for name, value in kept.items() if value}


def words_elsewhere(value: str) -> str:
    return " ".join(w for w in value.replace("\\n", " ").split() if not w.startswith(("/", "file:")))


def guest_address(url: str) -> str:
    """The same place as the guest reaches it."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return url
    if not loopback:
        return url
    user, at, place = parts.netloc.rpartition("@")
    port = f":{parts.port}" if parts.port else ""
    return urlunsplit(parts._replace(netloc=f"{user}{at}{GATEWAY}{port}")) if place else url


def answer(words: list[str]) -> str:
    """What a program prints; "" where there is no such program, or it fails."""
    try:
        return subprocess.run(words, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""
