"""For all tests: host tests only as root; the outcome's counts for the closing line of scripts/test."""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import warnings
from collections.abc import Generator
from pathlib import Path

import hypothesis
import pytest

from tests import slowness

hypothesis.settings.register_profile(
    "ours", deadline=None
)  # a busy machine is no finding; pytest-timeout has the limit
hypothesis.settings.load_profile("ours")

COUNTED = ("passed", "failed", "error", "skipped", "xfailed", "xpassed")


def pytest_configure(config: pytest.Config) -> None:
    hear_signals()
    if slowness.FACTOR != 1:
        config.option.timeout = slowness.seconds(float(config.getini("timeout")))
        slowness.slow_down_subprocess()


def hear_signals() -> None:
    """Whoever runs the tests in the background or by nohup has these ignored, and so would all that they start."""
    for number, usual in ((signal.SIGHUP, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    leave_out_done(config, items)
    for item in items:
        own = item.get_closest_marker("timeout")
        if own and own.args and slowness.FACTOR != 1:
            item.add_marker(pytest.mark.timeout(slowness.seconds(own.args[0])), append=False)
    if os.geteuid() == 0:
        return
    for item in items:
        if item.get_closest_marker("host"):
            item.add_marker(pytest.mark.skip(reason="needs root: real containers"))


def leave_out_done(config: pytest.Config, items: list[pytest.Item]) -> None:
    """RECONCILER_TEST_DONE: a file of test ids, one a line, that were run before (tests/vm goes on with a run)."""
    if path := os.environ.get("RECONCILER_TEST_DONE"):
        done = set(Path(path).read_text().splitlines())
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid in done])
        items[:] = [item for item in items if item.nodeid not in done]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Say at once what failed: where a run is broken off, nobody gets to see the summary. With xdist, its controller
    does; workers write nothing."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        crash = getattr(report.longrepr, "reprcrash", None)
        reason = str(crash.message if crash else report.longrepr).strip().partition("\n")[0]
        print(f"\nFAILED {report.nodeid} ({report.when}): {reason}", file=sys.stderr, flush=True)


_FAILED_BEFORE = pytest.StashKey[int]()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    item.stash[_FAILED_BEFORE] = item.session.testsfailed
    try:
        return (yield)
    finally:
        let_go_of_failure(item)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    let_go_of_failure(item)
    return (yield)


def let_go_of_failure(item: pytest.Item) -> None:
    """One failure is one failure: what a failed test left open lives on in its traceback, which pytest keeps until the
    next test begins (for debuggers), and would be told as unclosed of whoever is run when it is let go."""
    if item.session.testsfailed > item.stash[_FAILED_BEFORE]:
        for name in ("last_exc", "last_value", "last_traceback", "last_type"):
            vars(sys).pop(name, None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write how many tests ended how, where scripts/test asks for it (with xdist, its controller does)."""
    if path := os.environ.get("RECONCILER_TEST_COUNTS"):
        counts = {outcome: len(terminalreporter.stats.get(outcome, [])) for outcome in COUNTED}
        Path(path).write_text(json.dumps(counts))
