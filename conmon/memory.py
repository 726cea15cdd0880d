"""How monitors come to share nearly all of the zygote's memory.

A fork shares a page until one of the two writes there, and an interpreter writes wherever it refers to an object. So
what a monitor costs is the number of pages that it refers to, not the number of objects. Four things keep it small:

1. Little is imported: ``_socket`` instead of ``socket`` (which brings enum, selectors and collections), ``_signal``
   instead of ``signal``, ``collections.abc`` for type checkers only.
2. Objects of one kind lie together: before our modules are imported, and again before the first fork, the gaps are
   filled that freed objects left all over the heap. What a monitor makes then has pages of its own from the start,
   instead of a copy of each page with a gap.
3. What the interpreter learns when code runs for the first times is learnt before the fork (``rehearsal``).
4. The code that a monitor runs lies together (``lay_together``), apart from what it does not run.

Nothing depends on it but the numbers (``scripts/bench conmon``).
"""

from __future__ import annotations

import gc
import sys
from types import CodeType, FunctionType  # ctypes has it already

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_POOL, _HEADER = 1 << 14, 48
"""Of obmalloc (CPython 3.10 and later): objects of one size lie in pools; the first one follows the pool's header."""
_SMALL = range(16, 513, 16)
_LARGE = (16000, 8000, 4000, 2000, 1000, 600)
"""Bytes. The larger ones are malloc's."""
_MOST = 6000

_fillings: list[object] = []


def before_imports() -> None:
    """Import what is not ours, so that what is ours lies together."""
    import _collections  # type: ignore[import-not-found]  # noqa: F401
    import _socket  # noqa: F401
    import ctypes  # noqa: F401
    import itertools  # noqa: F401
    import mmap  # noqa: F401
    import select  # noqa: F401
    import struct  # noqa: F401
    import termios  # noqa: F401
    import zlib  # noqa: F401

    gc.collect()
    _fill_pools()


def lay_together(hot: Iterable[CodeType]) -> None:
    """Make this code anew, in a row. To call a function is to write into its code (a reference), and its caches are
    there: what is called has pages of its own then, and none with what is not.

    obmalloc would put each size somewhere else, a page or two for each. So what is small is filled up to its largest
    size, with words after the last one that are never reached.
    """
    functions = {id(one.__code__): one for one in gc.get_objects() if type(one) is FunctionType}
    gc.collect()
    _fill_pools()
    _fill_heap()
    for code in hot:
        if id(code) in functions:
            _fillings.append(code)  # where it lay is no gap
            functions[id(code)].__code__ = _anew(code)


def _anew(code: CodeType) -> CodeType:
    """A copy, and of what is in it: lambdas, comprehensions, which need no long names."""
    constants = tuple(
        _anew(one).replace(co_qualname=one.co_name) if type(one) is CodeType else one for one in code.co_consts
    )
    missing = max(0, _SMALL[-1] - sys.getsizeof(code))
    return code.replace(co_consts=constants, co_code=code.co_code + bytes(missing))


def before_forks() -> None:
    """Nothing is collected any more, nor looked at for that."""
    gc.collect()
    _fill_pools()
    _fill_heap()
    gc.freeze()
    gc.disable()


def _fill_pools() -> None:
    """Until a new pool is begun, for each size."""
    for size in _SMALL:
        for number in range(_MOST):
            one = _of(size, number)
            _fillings.append(one)
            if id(one) % _POOL == _HEADER:
                break


def _of(size: int, number: int) -> object:
    """A new object of this size: bytes have 33 of their own."""
    return object() if size == 16 else (1 << 20) + number if size == 32 else bytes(size - 33)


def _fill_heap() -> None:
    """Until malloc goes beyond all that it has given so far, for each size."""
    top = 0
    for size in _LARGE:
        beyond = 0
        for _ in range(_MOST):
            one = bytes(size)
            _fillings.append(one)
            if id(one) > top:
                top = id(one)
                beyond += 1
                if beyond == 2:
                    break
