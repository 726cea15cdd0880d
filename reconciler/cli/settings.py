"""The options that every command shares, and the engine opened by them.

The engine is imported on use: commands that need none (validate, completion, --help) stay fast.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.model.errors import HostUnfit, InvalidInput

if TYPE_CHECKING:
    from reconciler.engine.engine import Engine


@dataclass(frozen=True, slots=True)
class Options:
    """``root`` None means the system's own directories; ``runtime`` and ``conmon`` None mean "find them"."""

    root: Path | None = None
    runtime: str | None = None
    conmon: Path | None = None
    verbose: bool = False

    def engine(
        self, *, mend: bool = True, say: Callable[[str], None] | None = None, patience: float | None = None
    ) -> Engine:
        """The engine of this instance; ``mend``, ``say`` (default: a line on standard error) and ``patience`` as
        ``Engine.open`` has them. Raises HostUnfit without root's rights, InvalidInput for a root that cannot be used.
        """
        if os.geteuid() != 0:
            raise HostUnfit("cannot work on containers: this needs root", hint="run it with sudo")
        if self.root is not None and ":" in str(self.root.absolute()):  # conmon's --log-path ends at a colon
            raise InvalidInput(f"cannot use {self.root} as --root: a path with a colon cannot be told to monitors")
        from reconciler.cli import umask
        from reconciler.engine.context import Settings
        from reconciler.engine.engine import Engine

        umask.take_ours()

        settings = Settings(root=self.root, runtime=self.runtime, conmon=self.conmon, ended=self._ended())
        engine = Engine.open(settings, mend=mend, say=say or _say, patience=patience)
        click.get_current_context().call_on_close(engine.close)
        return engine

    def _ended(self) -> tuple[str, ...]:
        """How a monitor is to say that a container has ended: this program, on this instance, wherever it is called."""
        words = _program(Path(sys.prefix))
        given = (("--root", self.root), ("--conmon", self.conmon), ("--runtime", self.runtime))
        for option, value in given:
            if value is not None:
                words += [option, str(value.absolute()) if isinstance(value, Path) else value]
        return (*words, "system", "ended")


def _say(text: str) -> None:
    click.echo(f"reconciler: {text}", err=True)


def _program(prefix: Path) -> list[str]:
    """This program as others can call it for years. Where it is installed (scripts/install) that is by the link to the
    version of the day, as this one goes when two more have come. ``prefix`` is where its Python lies."""
    current = prefix.parent / "current"
    if current.is_symlink() and current.resolve() == prefix.resolve():
        return [str(current / "bin" / "reconciler")]
    return [sys.executable, "-I", str(Path(__file__).parent.parent)]


pass_options = click.make_pass_decorator(Options)
