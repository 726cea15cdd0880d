"""What is done in the machine, told step by step: a sentence for each, with its time and outcome."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.vm.machine import GuestError


class Failed(Exception):
    """A step failed; what comes after it in its part makes no sense."""


class Story:
    """Steps and how they went. One line each; what went wrong below it."""

    def __init__(self) -> None:
        self.done: list[tuple[str, bool, float]] = []

    def say(self, text: str) -> None:
        print(f"== {time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)

    @contextmanager
    def step(self, sentence: str) -> Iterator[None]:
        begun = time.monotonic()
        try:
            yield
        except (GuestError, AssertionError) as error:
            took = time.monotonic() - begun
            self.done.append((sentence, False, took))
            self.say(f"FAILED ({took:.0f} s): {sentence}")
            print("   " + str(error).strip().replace("\n", "\n   "), file=sys.stderr, flush=True)
            raise Failed(sentence) from None
        took = time.monotonic() - begun
        self.done.append((sentence, True, took))
        self.say(f"ok ({took:.0f} s): {sentence}")

    @property
    def failures(self) -> list[str]:
        return [sentence for sentence, good, _ in self.done if not good]
