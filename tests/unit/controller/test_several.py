"""The same work on several things at once."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from reconciler.controller import several
from tests.slowness import seconds

PATIENCE = seconds(30.0)


def test_each_is_told_in_order_as_soon_as_it_is_known() -> None:
    later = threading.Event()

    def act(number: int) -> int:
        if number > 1:
            assert later.wait(PATIENCE)
        return number * number

    told = several.each([1, 2, 3], act, 3)
    assert next(told) == (1, 1)
    later.set()
    assert list(told) == [(2, 4), (3, 9)]


def test_no_more_at_once_than_wanted() -> None:
    inside, most, lock, both = 0, 0, threading.Lock(), threading.Barrier(2)

    def act(_number: int) -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        both.wait(PATIENCE)
        with lock:
            inside -= 1

    assert len(list(several.each(range(6), act, 2))) == 6
    assert most == 2


def test_a_single_one_takes_no_thread() -> None:
    assert list(several.each(["one"], lambda _: threading.current_thread(), 8)) == [("one", threading.main_thread())]


def test_what_goes_wrong_is_raised_and_nothing_more_is_begun() -> None:
    begun: list[int] = []

    def act(number: int) -> None:
        begun.append(number)
        raise ValueError(number)

    for count in (1, 5):
        begun.clear()
        with pytest.raises(ValueError, match="0"):
            list(several.each(range(count), act, 1))
        assert begun == [0]


def test_nothing() -> None:
    assert list(several.each([], str, 4)) == []


CTRL_C = """
import os, signal, threading
from reconciler.controller import several

stuck = threading.Event()

def act(number):
    if number == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT,))
        os.kill(os.getpid(), signal.SIGINT)
    stuck.wait()

signal.signal(signal.SIGINT, signal.default_int_handler)  # who runs the tests in the background ignores it
signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))
try:
    list(several.each([0, 1], act, 2))
except KeyboardInterrupt:
    print("heard", flush=True)
os._exit(0)
"""


def test_ctrl_c_is_heard_whichever_thread_gets_it() -> None:
    """Here the waiting one has it blocked; a wait for a lock would go on for ever."""
    done = subprocess.run([sys.executable, "-c", CTRL_C], timeout=seconds(90), capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("heard\n", "")


def test_it_waits_in_another_thread_too() -> None:
    told: list[tuple[int, str]] = []
    thread = threading.Thread(target=lambda: told.extend(several.each([1, 2, 3], str, 2)))
    thread.start()
    thread.join(PATIENCE)
    assert told == [(1, "1"), (2, "2"), (3, "3")]
