"""SIGINT and SIGTERM end a wait, whichever thread the kernel gives them to."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

from reconciler.controller.interruption import Interruption

OF_ANOTHER_THREAD = """
import os, signal, threading
from reconciler.controller.interruption import until_interrupted

def send():
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT,))
    os.kill(os.getpid(), signal.SIGINT)
    threading.Event().wait()

with until_interrupted() as stop:
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))
    threading.Thread(target=send, daemon=True).start()
    print(stop.wait(60))
    os._exit(0)
"""


def test_a_signal_that_another_thread_gets_is_heard() -> None:
    """A wait for a lock goes on for ever there."""
    done = subprocess.run([sys.executable, "-c", OF_ANOTHER_THREAD], timeout=90, capture_output=True, text=True)
    assert done.stdout == "True\n"


def test_it_waits_until_it_is_set_or_long_enough() -> None:
    event = Interruption()
    begun = time.monotonic()
    assert not event.wait(0.05)
    assert time.monotonic() - begun >= 0.05
    threading.Timer(0.05, event.set).start()
    assert event.wait(60)
    assert event.is_set() and event.wait(0)
    event.close()
    event.set()
