"""Whether a pod can have the infra container that it asks for, told before anything is made."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from reconciler.engine import infra
from reconciler.engine.images.image import Image
from reconciler.model.spec import SandboxSpec


@pytest.fixture
def ctx(tmp_path: Path) -> Any:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/pause").touch(mode=0o755)
    found = {
        "pause": Image("0", (), (tmp_path,), entrypoint=("/bin/pause",)),
        "empty": Image("1", (), (tmp_path,)),
    }
    return SimpleNamespace(images=SimpleNamespace(get=found.get))


@pytest.mark.parametrize(
    ("sandbox", "why"),
    [
        pytest.param(SandboxSpec(), "", id="ours"),
        pytest.param(SandboxSpec(infra_command=("/pause",)), "", id="ours as podman calls it"),
        pytest.param(
            SandboxSpec(infra_command=("/run", "me")),
            "cannot run /run me as infra container: it needs an image (--infra-image)",
            id="a command without an image",
        ),
        pytest.param(SandboxSpec(infra_image="pause"), "", id="an image"),
        pytest.param(SandboxSpec(infra_image="pause", infra_command=("pause",)), "", id="found by the PATH"),
        pytest.param(SandboxSpec(infra_image="away"), "", id="an image that is still to be pulled"),
        pytest.param(
            SandboxSpec(infra_image="empty"),
            "cannot run image empty as infra container: it names no command",
            id="an image without a command",
        ),
        pytest.param(
            SandboxSpec(infra_image="empty", infra_command=("/bin/sh",)),
            "cannot run /bin/sh as infra container: it is not in image empty",
            id="a command that the image has not",
        ),
        pytest.param(
            SandboxSpec(infra_image="pause", host_users=False),
            "cannot use infra image pause: a pod with users of its own has ours",
            id="with users of its own",
        ),
    ],
)
def test_wrong(ctx: Any, sandbox: SandboxSpec, why: str) -> None:
    assert infra.wrong(ctx, sandbox) == why
