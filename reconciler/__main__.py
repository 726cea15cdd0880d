"""Where the command starts. Nothing is imported before it is known to be needed: `--version` answers at once."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line of this process; the answer is its exit code."""
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        from reconciler import __version__

        print(f"reconciler {__version__}")
        return 0
    try:
        from reconciler.cli.app import run

        return run(arguments)
    except KeyboardInterrupt:  # so early that nothing has begun
        return 130


if __name__ == "__main__":
    sys.exit(main())
