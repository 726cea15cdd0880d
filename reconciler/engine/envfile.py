"""Variables from a file that an init container wrote into an emptyDir (fileKeyRef), read when a container is made.

Whoever writes there is a container, perhaps at this moment: the kernel leads the way below the volume (as for subPath),
and only a plain file is read, of which so much and no more. For holders of the pod's lock.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from conmon import libc
from reconciler.engine import memory
from reconciler.engine.context import Context
from reconciler.engine.projected import keeper_of
from reconciler.engine.records import PodRecord
from reconciler.model.envfile import value_of
from reconciler.model.observed import PidRef
from reconciler.model.sources import FileKey
from reconciler.model.spec import Volume

LARGEST = 1024 * 1024
"""Bytes of a file that are read at most: as much as an object may have."""


def tell(ctx: Context, pod: PodRecord, infra: PidRef, wanted: FileKey) -> str | None:
    """What the file says for the key; None where that is missing and may be. ``pod``: with the spec that it runs by
    from now on.

    Raises ValueError, with a sentence, where it must not be missing, or the file is no env file; TryLater.
    """
    where = f'file "{wanted.path}" of volume "{wanted.volume}"'
    try:
        text = _text(ctx, pod, infra, wanted)
        value = None if text is None else value_of(text, wanted.key)
    except (OSError, ValueError) as e:
        raise ValueError(f"{where}: {e.strerror if isinstance(e, OSError) else e}") from e
    if value is None and not wanted.optional:
        raise ValueError(f"{where} is not there" if text is None else f'key "{wanted.key}" not found in {where}')
    return value


def _text(ctx: Context, pod: PodRecord, infra: PidRef, wanted: FileKey) -> str | None:
    """None where there is no such file. Raises OSError, ValueError, TryLater."""
    volume = next(v for v in pod.spec.volumes if v.name == wanted.volume)
    try:
        top = _top(ctx, pod, infra, volume)
        try:
            return _plain(libc.open_beneath(top, wanted.path.encode()))
        finally:
            os.close(top)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as e:
        if e.errno == errno.EXDEV:
            raise ValueError("it leads out of the volume") from e
        raise


def _top(ctx: Context, pod: PodRecord, infra: PidRef, volume: Volume) -> int:
    """The volume itself, as a descriptor."""
    if not volume.memory:
        place = ctx.layout.pod(pod.id) / "volumes" / volume.name
        return os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    keeper = keeper_of(pod, infra)
    memory.ensure(keeper, volume.name, volume.size_limit)  # perhaps nobody mounts it
    with memory.opened(keeper, volume.name) as there:
        return os.dup(there)


def _plain(found: int) -> str:
    """What is in the file behind a descriptor (O_PATH), which is closed: opened only if that cannot block."""
    try:
        info = os.fstat(found)
        if not stat.S_ISREG(info.st_mode):
            raise ValueError("it is no plain file")
        if info.st_size > LARGEST:
            raise ValueError(f"it has more than {LARGEST} bytes")
        with Path(f"/proc/self/fd/{found}").open("rb") as file:
            return file.read(LARGEST).decode()
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    finally:
        os.close(found)
