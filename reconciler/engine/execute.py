"""A command in a running container, with the caller's own streams and no terminal."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from reconciler.engine import containers
from reconciler.engine.context import Context
from reconciler.engine.effects import effect
from reconciler.model.errors import RuntimeFailed
from reconciler.model.key import ContainerId


@effect("runtime.exec")
def run(ctx: Context, container: ContainerId, argv: Sequence[str], env: Sequence[str], cwd: str | None) -> int:
    """The command's exit code; 128 + signal where a signal ended the runtime itself.

    ``env`` are ``NAME=value`` strings added to the container's own. Raises NotFound, RuntimeFailed.
    """
    containers.require(ctx, container)
    variables = dict(pair.partition("=")[::2] for pair in env)
    command = ctx.runtime.exec_argv(container, argv, env=variables, cwd=cwd or "")
    try:
        code = subprocess.run(command, check=False, close_fds=True).returncode
    except OSError as e:
        raise RuntimeFailed(f"cannot run {command[0]}: {e.strerror}") from e
    return code if code >= 0 else 128 - code
