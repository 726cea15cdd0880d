"""What is done in threads of their own beside the making of a pod."""

from __future__ import annotations

import threading

import pytest

from reconciler.engine import beside
from reconciler.model.errors import RuntimeFailed


def test_it_is_waited_for_and_may_be_waited_for_again() -> None:
    go, done = threading.Event(), []

    def work() -> None:
        go.wait()
        done.append(threading.current_thread().name)

    end = beside.begun(work, "cgroup")
    assert not done
    go.set()
    end()
    end()
    assert done == ["cgroup"]


def test_what_went_wrong_is_raised_to_whoever_waits() -> None:
    def work() -> None:
        raise RuntimeFailed("cannot make it")

    end = beside.begun(work, "cgroup")
    for _ in range(2):
        with pytest.raises(RuntimeFailed, match="cannot make it"):
            end()
