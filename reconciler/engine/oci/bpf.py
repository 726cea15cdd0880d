"""Seccomp filters compiled once: OCI's JSON costs crun 20 to 40 ms at each start, the finished program nothing.

libseccomp is called through ctypes. Programs are kept by the hash of what they were compiled from, so two
processes that compile at once write the same file.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import threading
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import msgspec

from reconciler.engine.effects import effect
from reconciler.engine.files import read_or_none, write_atomic

LIBRARY = "libseccomp.so.2"

_ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
_OPERATORS = {
    "SCMP_CMP_NE": 1,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}
_CTL_OPTIMIZE = 8  # SCMP_FLTATR_CTL_OPTIMIZE, libseccomp 2.5: 2 is a binary tree of the syscall numbers
_ERROR_NUMBER = -1  # __NR_SCMP_ERROR: no such syscall
_EEXIST = 17


class _Compare(ctypes.Structure):
    """struct scmp_arg_cmp."""

    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


class CannotCompile(Exception):
    """libseccomp is not there or refuses the profile; the runtime gets the JSON instead."""


def program(profile: dict[str, Any], cache_directory: Path) -> bytes:
    """The filter of an OCI ``linux.seccomp``, compiled now or before. Raises CannotCompile."""
    encoded = msgspec.json.encode(profile)
    with _one_at_a_time:  # the containers of a pod ask together for the same one
        return _program(encoded, cache_directory)


_one_at_a_time = threading.Lock()


@lru_cache(maxsize=32)
def _program(encoded: bytes, cache_directory: Path) -> bytes:
    version = _library()[1]
    name = hashlib.sha256(version.encode() + encoded).hexdigest()
    path = cache_directory / f"seccomp-{name}.bpf"
    found = read_or_none(path)
    if found:
        return found
    compiled = compile_filter(msgspec.json.decode(encoded))
    _keep(path, compiled)
    return compiled


@effect("seccomp.keep")
def _keep(path: Path, compiled: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, compiled, sync=True)


@cache
def _library() -> tuple[ctypes.CDLL, str]:
    """The loaded library and its version."""
    try:
        lib = ctypes.CDLL(LIBRARY)
        lib.seccomp_init.restype = ctypes.c_void_p
        lib.seccomp_init.argtypes = [ctypes.c_uint32]
        lib.seccomp_release.argtypes = [ctypes.c_void_p]
        lib.seccomp_release.restype = None
        lib.seccomp_attr_set.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32]
        lib.seccomp_arch_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
        lib.seccomp_arch_resolve_name.argtypes = [ctypes.c_char_p]
        lib.seccomp_arch_resolve_name.restype = ctypes.c_uint32
        lib.seccomp_syscall_resolve_name.argtypes = [ctypes.c_char_p]
        lib.seccomp_rule_add_array.argtypes = [
            ctypes.c_void_p,
            ctypes.c_uint32,
            ctypes.c_int,
            ctypes.c_uint,
            ctypes.POINTER(_Compare),
        ]
        lib.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]
        lib.seccomp_version.restype = ctypes.POINTER(ctypes.c_uint * 3)
    except (OSError, AttributeError) as e:
        raise CannotCompile(f"cannot load {LIBRARY}: {e}") from e
    numbers = lib.seccomp_version().contents
    return lib, ".".join(str(n) for n in numbers)


def compile_filter(profile: dict[str, Any]) -> bytes:
    """Compile an OCI ``linux.seccomp``; about 26 ms. Raises CannotCompile."""
    lib = _library()[0]
    unknown = sorted({"flags", "listenerPath"} & profile.keys())
    if unknown:
        raise CannotCompile(f"cannot compile a seccomp filter with {unknown[0]}: that is the runtime's to do")
    default = _action(profile["defaultAction"], profile.get("defaultErrnoRet"))
    context = lib.seccomp_init(default)
    if not context:
        raise CannotCompile("cannot begin a seccomp filter: seccomp_init failed")
    try:
        lib.seccomp_attr_set(context, _CTL_OPTIMIZE, 2)  # older libraries refuse: then the filter is a list
        _add_architectures(lib, context, profile.get("architectures", ()))
        for rule in profile["syscalls"]:
            _add_rule(lib, context, rule, default)
        return _export(lib, context)
    finally:
        lib.seccomp_release(context)


def _action(name: str, errno: int | None) -> int:
    try:
        action = _ACTIONS[name]
    except KeyError:
        raise CannotCompile(f"cannot compile seccomp action {name}: not known here") from None
    if name in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"):
        action |= (1 if errno is None else errno) & 0xFFFF
    return action


def _add_architectures(lib: ctypes.CDLL, context: int, names: list[str]) -> None:
    for name in names:
        token = lib.seccomp_arch_resolve_name(name.removeprefix("SCMP_ARCH_").lower().encode())
        if not token:
            continue  # an architecture that this library was built without cannot run here either
        _check(lib.seccomp_arch_add(context, token), f"add architecture {name}", ignore=_EEXIST)


def _add_rule(lib: ctypes.CDLL, context: int, rule: dict[str, Any], default: int) -> None:
    action = _action(rule["action"], rule.get("errnoRet"))
    if action == default:
        return
    conditions = _conditions(rule.get("args", ()))
    for name in rule["names"]:
        number = lib.seccomp_syscall_resolve_name(name.encode())
        if number == _ERROR_NUMBER:
            continue  # newer than the library: the default action stays, as with the runtimes
        for compares in conditions:
            array = (_Compare * len(compares))(*compares)
            failed = lib.seccomp_rule_add_array(context, action, number, len(compares), array)
            _check(failed, f"add a rule for {name}", ignore=_EEXIST)


def _conditions(args: list[dict[str, Any]]) -> list[list[_Compare]]:
    """Conditions on different arguments hold together; two on one argument are alternatives (as in runc and crun)."""
    compares = [_Compare(a["index"], _OPERATORS[a["op"]], a["value"], a.get("valueTwo") or 0) for a in args]
    if len({a["index"] for a in args}) < len(args):
        return [[c] for c in compares]
    return [compares]


def _export(lib: ctypes.CDLL, context: int) -> bytes:
    fd = os.memfd_create("seccomp", os.MFD_CLOEXEC)
    try:
        _check(lib.seccomp_export_bpf(context, fd), "export the filter")
        os.lseek(fd, 0, os.SEEK_SET)
        with open(os.dup(fd), "rb") as f:
            return f.read()
    finally:
        os.close(fd)


def _check(result: int, verb: str, *, ignore: int = 0) -> None:
    if result < 0 and result != -ignore:
        raise CannotCompile(f"cannot {verb}: {os.strerror(-result)}")
