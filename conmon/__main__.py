"""The command line, and the two entrances of our own that are not conmon's.

conmon OPTION...                            the monitor, as the C conmon
conmon --zygote SOCKET ...                  the server that forks monitors (zygote.py)
conmon --run-prepared FILE PROGRAM ARG...   run a --prepare file, then exec (so the C conmon can use one)
"""

from __future__ import annotations

import os
import sys


def _find_package() -> None:
    """Make ``import conmon`` work when the interpreter was given this directory.

    Python then puts the directory itself at the front of the path, where our modules would shadow others.
    """
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if entry != here]
    if not __package__:
        sys.path.append(os.path.dirname(here))


def main() -> int:
    _find_package()
    argv = sys.argv[1:]
    if argv[:1] == ["--zygote"]:
        from conmon import memory

        memory.before_imports()
        from conmon import zygote

        return zygote.main(argv[1:])
    if argv[:1] == ["--run-prepared"]:
        from conmon import runtime

        return runtime.run_prepared(argv[1:])
    from conmon import lifecycle

    return lifecycle.main(argv)


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)
