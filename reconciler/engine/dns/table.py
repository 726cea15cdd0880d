"""The name server's configuration: a file for each network, in the format that netavark writes for aardvark-dns.

    ADDRESS[,ADDRESS] [SERVER[,SERVER]]       where it listens; whom it asks for other names (default: resolv.conf's)
    NAMESPACE/NAME IPV4S IPV6S NAME[,NAME]    one line for each pod, empty where it has no address of the family

The server reads every file of the directory (but its own pid file) when it starts and at SIGHUP, so a file is written
beside the directory and renamed into it. Both are derived: what is lost is written again from the records. Writers
hold the lock of ``engine/nameserver.py``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from reconciler.engine.effects import effect
from reconciler.model.errors import TryLater
from reconciler.model.key import Key

PID_FILE = "aardvark.pid"
_NEW = ".new"


@dataclass(frozen=True, slots=True)
class Entry:
    """A pod on one network, and the names that lead to it."""

    key: Key
    ips: tuple[str, ...]
    names: tuple[str, ...]

    def __str__(self) -> str:
        four = ",".join(ip for ip in self.ips if ":" not in ip)
        six = ",".join(ip for ip in self.ips if ":" in ip)
        return f"{_id(self.key)} {four} {six} {','.join(self.names)}"


def head(listen: Iterable[str], servers: Iterable[str] = ()) -> str:
    """The first line."""
    return " ".join(filter(None, (",".join(listen), ",".join(servers))))


def make(first: str, entries: Iterable[Entry]) -> str:
    """A whole file."""
    return "".join(f"{line}\n" for line in (first, *sorted(map(str, entries))))


def with_entry(text: str, first: str, entry: Entry) -> str:
    """The file with this pod as it is now, whatever was said of it before."""
    if text.startswith(f"{first}\n") and f"\n{entry}\n" in text and text.count(f"\n{_id(entry.key)} ") == 1:
        return text  # as at most calls
    lines = [*_lines_without(text, entry.key), str(entry)]
    return "".join(f"{line}\n" for line in (first, *sorted(lines)))


def without(text: str, key: Key) -> str:
    """The file without this pod."""
    first, *_ = text.splitlines() or [""]
    return "".join(f"{line}\n" for line in (first, *_lines_without(text, key))) if first else ""


def listens_at(text: str) -> tuple[str, ...]:
    """The addresses of a file's first line."""
    first = text.partition("\n")[0].partition(" ")[0]
    return tuple(filter(None, first.split(",")))


def keys(text: str) -> frozenset[str]:
    """The pods of a file, as NAMESPACE/NAME."""
    return frozenset(line.partition(" ")[0] for line in text.splitlines()[1:])


def _lines_without(text: str, key: Key) -> list[str]:
    start = f"{_id(key)} "
    return [line for line in text.splitlines()[1:] if line and not line.startswith(start)]


def _id(key: Key) -> str:
    return f"{key.namespace}/{key.name}"


def read(file: Path) -> str:
    """The file's text, "" where there is none."""
    try:
        return file.read_text()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, ValueError) as e:
        raise TryLater(f"cannot read {file}: {getattr(e, 'strerror', e)}") from e


@effect("names.write")
def write(file: Path, text: str) -> None:
    """Replace the file in one step, made beside its directory; "" removes it."""
    try:
        if not text:
            file.unlink(missing_ok=True)
            return
        beside = file.parent.with_name(f"{file.parent.name}{_NEW}")  # one writer at a time: what a killed one left goes
        beside.write_text(text)
        beside.rename(file)
    except OSError as e:
        raise TryLater(f"cannot write {file}: {e.strerror}") from e
