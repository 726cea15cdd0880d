"""Where the command starts. Nothing is imported before it is known to be needed: `--version` answers at once.

``python -I .../reconciler``, with this directory's path, runs it as well: monitors call it like that.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress


def main() -> int:
    """Run the command line of this process; the answer is its exit code."""
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        from reconciler import __version__

        print(f"reconciler {__version__}")
        return 0
    try:
        from reconciler.cli.app import run

        return _leave(run(arguments))
    except KeyboardInterrupt:  # so early that nothing has begun
        return 130


def _leave(code: int) -> int:
    """End at once. To take the interpreter down module by module would cost a command 7 ms, and threads that are still
    at work and that nobody waits for (warming up, a pull) may crash it in the middle of C code. All that they do, and
    all that a command does, may be cut off anywhere."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        with suppress(OSError):  # its reader is gone
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    if not __package__:  # sys.path begins with this directory then, whose modules would shadow others
        sys.path[0] = os.path.dirname(sys.path[0])  # noqa: PTH120 (pathlib costs more than --version does)
    sys.exit(main())
