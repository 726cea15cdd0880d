"""For all tests: host tests only as root; the outcome's counts for the closing line of scripts/test."""

from __future__ import annotations

import json
import os
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile(
    "ours", deadline=None
)  # a busy machine is no finding; pytest-timeout has the limit
hypothesis.settings.load_profile("ours")

COUNTED = ("passed", "failed", "error", "skipped", "xfailed", "xpassed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.geteuid() == 0:
        return
    for item in items:
        if item.get_closest_marker("host"):
            item.add_marker(pytest.mark.skip(reason="needs root: real containers"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write how many tests ended how, where scripts/test asks for it (with xdist, its controller does)."""
    if path := os.environ.get("RECONCILER_TEST_COUNTS"):
        counts = {outcome: len(terminalreporter.stats.get(outcome, [])) for outcome in COUNTED}
        Path(path).write_text(json.dumps(counts))
