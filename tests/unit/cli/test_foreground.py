"""What ``run`` exits with where nothing was run, as podman does."""

from __future__ import annotations

import pytest

from reconciler.cli.foreground import code_of
from reconciler.model.errors import RuntimeFailed


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("executable file `x` not found in $PATH: No such file or directory", 127),  # crun
        ('exec: "/x": stat /x: no such file or directory', 127),  # runc
        ("open executable: Permission denied", 126),  # crun 1.8
        ("the path `/etc/hosts` exists but it is not executable: Operation not permitted", 126),  # crun 1.21
        ('exec: "/etc/hosts": permission denied', 126),  # runc
        ("cannot mount /x: Invalid argument", 125),
    ],
)
def test_the_exit_code_of_what_the_runtime_refused(said: str, code: int) -> None:
    assert code_of(RuntimeFailed(f"cannot start container app: {said}")) == code
