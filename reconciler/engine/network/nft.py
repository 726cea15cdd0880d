"""nftables through libnftables (the library behind nft(8)): 0.2 ms a call where the program takes 7.

The library keeps global state in its parser, so one thread at a time. It ends the *process* when it cannot open its
netlink socket, or when that has a number that select(2) cannot take: that is tried first. It waits without a deadline,
but never for long: the kernel puts its answer (or ENOBUFS in its place) into the socket before the request returns.
"""

from __future__ import annotations

import ctypes
import errno
import json
import socket
import threading
from functools import cache
from typing import Any

from reconciler.model.errors import HostUnfit, TryLater

_LIBRARY = "libnftables.so.1"
_NETLINK_NETFILTER = 12
_STATELESS, _HANDLE, _JSON, _TERSE = 1 << 2, 1 << 3, 1 << 4, 1 << 11
_SELECTABLE, _SPARE = 1024, 64
"""FD_SETSIZE, and how many files other threads may open before the library does."""
_lock = threading.Lock()


def run(commands: str, doing: str) -> None:
    """Carry out nft commands as one transaction, in the calling thread's network namespace.

    ``doing`` completes "cannot …". Raises TryLater with nft's words, HostUnfit where nftables is not to be had.
    """
    _call(commands, doing, 0)


def read(command: str, doing: str) -> list[dict[str, Any]] | None:
    """The objects that a ``list`` command shows (libnftables-json(5)), or None where it does not exist."""
    try:
        text = _call(command, doing, _JSON)
    except _NoSuchThing:
        return None
    return list(json.loads(text)["nftables"]) if text else []


def read_all(doing: str) -> list[dict[str, Any]]:
    """Every table, chain and rule, and of named sets their names only: a list of blocked addresses can be long."""
    text = _call("list ruleset", doing, _JSON | _TERSE)
    return list(json.loads(text)["nftables"]) if text else []


def text(command: str, doing: str) -> str:
    """What a ``list`` command shows people, with handles ("# handle 7" at the end of a rule's line) and without counts,
    which change with each packet."""
    return _call(command, doing, _STATELESS | _HANDLE | _TERSE)


class _NoSuchThing(TryLater):
    """ENOENT, which is an answer for some callers."""


def _call(commands: str, doing: str, flags: int) -> str:
    with _lock:
        library = _open(doing)
        context = library.nft_ctx_new(0)
        try:
            library.nft_ctx_buffer_output(context)
            library.nft_ctx_buffer_error(context)
            library.nft_ctx_output_set_flags(context, flags)
            failed = library.nft_run_cmd_from_buffer(context, commands.encode())
            output = library.nft_ctx_get_output_buffer(context) or b""
            words = (library.nft_ctx_get_error_buffer(context) or b"").decode(errors="replace")
        finally:
            library.nft_ctx_free(context)
    if failed:
        raise _failure(doing, words)
    return output.decode()


def _failure(doing: str, words: str) -> TryLater | HostUnfit:
    first = next((line for line in words.splitlines() if "Error:" in line), words.strip() or "unknown error")
    cause = first.partition("Error:")[2].strip() or first
    message = f"cannot {doing}: nftables: {cause}"
    if "No such file or directory" in cause:
        return _NoSuchThing(message)
    if "Operation not permitted" in cause:
        return HostUnfit(message)
    return TryLater(message)


def _open(doing: str) -> ctypes.CDLL:
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as tried:
            number = tried.fileno()
        if number >= _SELECTABLE - _SPARE:
            raise TryLater(f"cannot {doing}: too many files are open")
        return _library()
    except OSError as e:
        if e.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
            raise TryLater(f"cannot {doing}: {e.strerror}") from e
        raise HostUnfit(f"cannot {doing}: {e.strerror or e}", hint="install nftables (libnftables1)") from e


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(_LIBRARY)
    context = ctypes.c_void_p
    library.nft_ctx_new.restype = context
    library.nft_ctx_new.argtypes = [ctypes.c_uint32]
    library.nft_ctx_free.argtypes = [context]
    library.nft_ctx_output_set_flags.argtypes = [context, ctypes.c_uint]
    library.nft_run_cmd_from_buffer.argtypes = [context, ctypes.c_char_p]
    for name in ("nft_ctx_buffer_output", "nft_ctx_buffer_error"):
        getattr(library, name).argtypes = [context]
    for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
        getattr(library, name).argtypes = [context]
        getattr(library, name).restype = ctypes.c_char_p
    return library
