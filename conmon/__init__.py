"""A container monitor that speaks the C conmon's protocol: one process per container, which owns the
container's streams and its exit code, so that whoever asked for the container may come and go.

Imports nothing of the reconciler and only light modules of the standard library: what is imported here
is paid for by every monitor. There are no threads, and nothing polls.
"""

VERSION = "2.2.1"
"""The version of the C conmon whose protocol this is; callers compare it (podman wants 2.0.1 or newer)."""
