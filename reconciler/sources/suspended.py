"""Pods that a person wants left alone: a small file for each, which commands write and remove, and everybody obeys who
works on pods by what a source says. They outlive programs and the machine.

That the file is there is what counts; it is looked for each time, so nobody need be told. Any thread may call.
"""

from __future__ import annotations

import json
from pathlib import Path

from reconciler.model.errors import TryLater
from reconciler.model.key import Key
from reconciler.sources.atomic import read_bytes, replace_file

_SUFFIX = ".json"


class Suspensions:
    """``directory``: where the files are, ``KIND.NAMESPACE.NAME.json`` (``Layout.suspended``)."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._place = str(directory)

    def since(self, key: Key) -> float | None:
        """When it was said to leave ``key`` alone, as seconds since the epoch (0: nobody knows); None where it was not.

        Raises TryLater where that cannot be told.
        """
        try:
            said = json.loads(read_bytes(f"{self._place}/{_name(key)}"))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise TryLater(f"cannot tell whether pod {key} is suspended: {error.strerror}") from error
        except ValueError:
            return 0.0
        since = said.get("since") if isinstance(said, dict) else None
        return float(since) if isinstance(since, int | float) else 0.0

    def suspend(self, key: Key, now: float) -> bool:
        """Leave ``key`` alone from ``now`` on; False where it is left alone already. For holders of its lock.

        Raises TryLater.
        """
        if self.since(key) is not None:
            return False
        try:
            replace_file(self._file(key), json.dumps({"since": now}).encode())
        except OSError as error:
            raise TryLater(f"cannot suspend pod {key}: {error.strerror}") from error
        return True

    def resume(self, key: Key) -> bool:
        """Take ``key`` up again; False where it was not left alone.

        Raises TryLater.
        """
        try:
            self._file(key).unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise TryLater(f"cannot resume pod {key}: {error.strerror}") from error
        return True

    def keys(self) -> set[Key]:
        """All that are left alone."""
        names = (file.name.removesuffix(_SUFFIX).split(".", 2) for file in self.directory.glob(f"[!.]*{_SUFFIX}"))
        return {Key(parts[1], parts[2], parts[0]) for parts in names if len(parts) == 3}

    def _file(self, key: Key) -> Path:
        return self.directory / _name(key)


def _name(key: Key) -> str:
    return f"{key.kind}.{key.namespace}.{key.name}{_SUFFIX}"
