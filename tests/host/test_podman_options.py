"""What the table says of podman's options, held against the podman that is installed."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from reconciler.flags.podman import LEFT_OUT, TABLES

pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(shutil.which("podman") is None, reason="podman is not installed"),
]

LATER = {
    "pod create": {"--restart"},
    "kube play": {"--down", "--force", "--publish", "--publish-all", "--wait"},
    "kube down": {"--force"},
}
"""What came after podman 4.3, which Debian 12 has."""

OPTION = re.compile(r"^ +(?:-\w, )?(--[a-z0-9-]+)", re.MULTILINE)


@pytest.mark.parametrize("command", TABLES)
def test_every_option_that_podman_lists_has_its_verdict(command: str) -> None:
    listed = options_of(command)
    assert listed - TABLES[command].keys() == set()
    here = {option for option, (verdict, _) in TABLES[command].items() if verdict is not LEFT_OUT}
    assert here - listed - LATER.get(command, set()) == set(), "ours, and not podman's"


def options_of(command: str) -> set[str]:
    shown = subprocess.run(
        ["podman", *command.split(), "--help"], capture_output=True, text=True, check=True, timeout=30
    )
    return set(OPTION.findall(shown.stdout)) - {"--help"}
