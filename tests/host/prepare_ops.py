"""Do what a prepare script says, then become the program: what the monitor's child does, in the plainest way.

Run as ``python prepare_ops.py SCRIPT PROGRAM ARG...``.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_FLAGS = {"private": 1 << 18, "slave": 1 << 19}
_REC = 0x4000
_OPEN_TREE, _MOVE_MOUNT = 428, 429


def main(script: str, *argv: str) -> None:
    home = Path.cwd()
    for line in Path(script).read_text().splitlines():
        verb, *fields = line.split("\t")
        perform(verb, [_decode(f) for f in fields])
    os.chdir(home)
    os.execvp(argv[0], argv)


def perform(verb: str, fields: list[bytes]) -> None:
    match verb, fields:
        case "unshare", []:
            _check(_libc.unshare(0x20000))
        case (("private" | "slave"), [path]):
            _check(_libc.mount(b"none", path, None, ctypes.c_ulong(_REC | _FLAGS[verb]), None))
        case "mkdir", [path, mode]:
            Path(os.fsdecode(path)).mkdir(int(mode, 8), exist_ok=True)
        case "chdir", [path]:
            os.chdir(path)
        case "mount", [source, target, kind, flags, data]:
            _check(_libc.mount(source, target, kind, ctypes.c_ulong(int(flags)), data or None))
        case "overlay", [target, upper, work, *lowers]:
            data = b"lowerdir=" + b":".join(lowers) + b",upperdir=" + upper + b",workdir=" + work
            _check(_libc.mount(b"overlay", target, b"overlay", ctypes.c_ulong(0), data))
        case "graft", [namespace, source, target]:
            _graft(namespace, source, target)
        case _:
            raise SystemExit(f"unknown operation {verb} {fields}")


def _graft(namespace: bytes, source: bytes, target: bytes) -> None:
    """Attach at ``target`` a copy of the mount that lies at ``source`` in another mount namespace."""
    cwd = os.open(".", os.O_PATH)
    here = os.open("/proc/self/ns/mnt", os.O_RDONLY)
    there = os.open(namespace, os.O_RDONLY)
    _check(_libc.setns(there, 0x20000))
    tree = _check(_libc.syscall(_OPEN_TREE, -100, source, 1 | os.O_CLOEXEC))
    _check(_libc.setns(here, 0x20000))
    os.fchdir(cwd)
    _check(_libc.syscall(_MOVE_MOUNT, tree, b"", -100, target, 4))
    for fd in (cwd, here, there, tree):
        os.close(fd)


def _decode(field: str) -> bytes:
    first, *rest = field.encode().split(b"%")
    return first + b"".join(bytes.fromhex(part[:2].decode()) + part[2:] for part in rest)


def _check(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


if __name__ == "__main__":
    main(*sys.argv[1:])
