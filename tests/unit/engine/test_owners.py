"""Whether files can be shown with other owners: what the kernel's answers mean. (Real: tests/host/test_userns.py.)"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from reconciler.engine import owners


@dataclass
class Kernel:
    """``errors``: the errno that a call fails with. ``trees``: what was opened, and is not closed yet."""

    errors: dict[str, int] = field(default_factory=dict)
    asked: list[tuple[bytes, bool]] = field(default_factory=list)
    trees: set[int] = field(default_factory=set)

    def open_tree(self, path: bytes, *, deep: bool) -> int:
        self.answer("open_tree")
        self.asked.append((path, deep))
        self.trees.add(tree := os.open("/", os.O_PATH | os.O_CLOEXEC))
        return tree

    def answer(self, call: str) -> int:
        if number := self.errors.get(call):
            raise OSError(number, os.strerror(number))
        return 0

    def open_now(self) -> bool:
        return any(Path(f"/proc/self/fd/{tree}").exists() for tree in self.trees)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel()
    monkeypatch.setattr(owners.libc, "open_tree", made.open_tree)
    monkeypatch.setattr(owners.libc, "map_ids", lambda _tree, _users: made.answer("map_ids"))
    monkeypatch.setattr(owners, "_namespace", lambda: made.answer("sample"))
    return made


@pytest.mark.parametrize(
    ("call", "number", "refused"),
    [
        ("map_ids", 0, False),
        ("map_ids", errno.EINVAL, True),
        ("map_ids", errno.EPERM, False),
        ("open_tree", errno.EINVAL, False),
        ("sample", errno.ENOSPC, False),
    ],
)
def test_only_what_is_certain_counts(kernel: Kernel, call: str, number: int, refused: bool) -> None:
    kernel.errors[call] = number
    assert owners.refused("/") is refused
    assert not kernel.open_now()


def test_of_what_is_to_be_made_its_directory_is_asked(kernel: Kernel, tmp_path: Path) -> None:
    owners.refused(str(tmp_path))
    owners.refused(str(tmp_path / "a/b"))
    assert kernel.asked == [(os.fsencode(tmp_path), True), (os.fsencode(tmp_path), False)]
