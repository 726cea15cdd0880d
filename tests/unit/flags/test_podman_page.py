"""docs/podman.md and the commands themselves: both are what the tables of podman's options say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

from reconciler.cli import app
from reconciler.flags.podman import LEFT_OUT, TABLES

CHECKOUT = Path(__file__).parents[3]

OURS = frozenset({"--help", "--help-all", "--namespace"})
"""What podman's commands have not, and ours have."""

MORE = {
    "start": {"--ignore"},
}
"""What came to podman after 4.3, or what only ours have, by command."""


def test_the_page_is_what_the_tables_say():
    made = subprocess.run(
        [sys.executable, CHECKOUT / "scripts/podman-options"], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert (CHECKOUT / "docs/podman.md").read_text() == made, "make it again: scripts/podman-options >docs/podman.md"


@pytest.mark.parametrize("name", TABLES)
def test_a_command_has_the_options_that_its_table_says(name: str):
    found: click.Command | None = app.tree
    for word in name.split():
        assert isinstance(found, click.Group)
        found = found.get_command(click.Context(found), word)
    assert found is not None, f"there is no {name}"
    shown = (p for p in found.params if isinstance(p, click.Option) and not p.hidden)
    own = {o for p in shown for o in p.opts if o.startswith("--")}
    said = {option for option, (verdict, _) in TABLES[name].items() if verdict is not LEFT_OUT}
    assert said - own == set(), "the table has more"
    more = {option for option in own - said if option not in OURS | MORE.get(name, set())}
    assert {option for option in more if option in TABLES[name]} == set(), "left out, and there"
