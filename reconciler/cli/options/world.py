"""What options need of the world around the command: our environment, files, free ports."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.model.errors import InvalidInput
from reconciler.model.spec import PortBinding

if TYPE_CHECKING:
    from reconciler.engine.engine import Engine

LARGEST_FILE = 16 << 20
"""No list of variables or labels is longer: somebody named another file."""


@dataclass(frozen=True, slots=True)
class World:
    """``directory``: against which relative paths are read. ``read``: the text of a file that an option names.
    ``free_ports``: the same bindings with a host port for each, which is ours from then on."""

    environment: Mapping[str, str]
    directory: str
    read: Callable[[str, str], str]
    exists: Callable[[str], bool]
    new_name: Callable[[], str]
    free_ports: Callable[[tuple[PortBinding, ...]], tuple[PortBinding, ...]]


def here(engine: Engine) -> World:
    """This process's."""
    directory = os.getcwd()  # noqa: PTH109 (a text is wanted)
    return World(os.environ, directory, text_of, os.path.exists, _new_name, engine.reserve_ports)


def _new_name() -> str:
    """As podman calls volumes that nobody gave a name."""
    return os.urandom(32).hex()


def text_of(path: str, option: str) -> str:
    """The text of a file. Raises InvalidInput."""
    doing = f"cannot read {option} {path}"
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST_FILE + 1)
        if len(data) > LARGEST_FILE:
            raise InvalidInput(f"{doing}: it is larger than {LARGEST_FILE >> 20} MiB")
        return data.decode()
    except OSError as e:
        raise InvalidInput(f"{doing}: {e.strerror}") from e
    except UnicodeDecodeError:
        raise InvalidInput(f"{doing}: it is not UTF-8 text") from None
