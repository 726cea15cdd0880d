"""Whether the files at a path can be shown with other owners, as a pod with users of its own needs them.

Kernels and file systems differ too much for a table, so it is tried: on a copy of the mount that nobody sees, with a
user namespace made for that once in a process. Costs some 0.05 ms. Any thread may ask.
"""

from __future__ import annotations

import errno
import os
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

from conmon import libc
from reconciler.engine.effects import effect

_PATIENCE = 10.0
_ANY = "0 65534 1"
"""A mapping; which one makes no difference."""

_making = threading.Lock()
_samples: list[int] = []


def refused(path: str) -> bool:
    """Whether a file system at ``path``, or one mounted below it, refuses for certain. Of what is not there yet, the
    directory that it would be made in."""
    place = Path(path)
    there = place.exists()
    while not place.exists():
        place = place.parent
    try:
        tree = libc.open_tree(os.fsencode(place), deep=there)
    except OSError:
        return False  # whoever mounts it will say more
    try:
        libc.map_ids(tree, _namespace())
    except OSError as e:
        return e.errno == errno.EINVAL
    finally:
        os.close(tree)
    return False


def _namespace() -> int:
    """Raises OSError where there can be none."""
    with _making:
        if not _samples:
            _samples.append(_sample())
        return _samples[0]


@effect("users.sample")
def _sample() -> int:
    """A user namespace without a process, as a descriptor."""
    pipe = subprocess.PIPE
    words = ("unshare", "--user", "sh", "-c", "echo; read _")
    process = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
    assert process.stdin and process.stdout
    try:
        if not process.stdout.read(1):  # it says so once it is there
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{process.pid}/{name}").write_text(_ANY)
        return os.open(f"/proc/{process.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        process.stdin.close()
        process.stdout.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE)
