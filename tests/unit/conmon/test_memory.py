"""Where the code lies that monitors run; in a process of its own, for it fills memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from conmon import memory

CHECKOUT = Path(memory.__file__).parents[1]
LAID = """
import sys
sys.path.append(sys.argv[1])
from conmon import memory

SOURCE = '''
def function(one, two={number}):
    try:
        return (lambda: [one, two, {number}])()
    finally:
        one / two
'''
others = []

def function(number):
    space = {}
    for _ in range(20):
        others.append(compile(SOURCE.format(number=number), "other", "exec"))
        exec(compile(SOURCE.format(number=number), "function", "exec"), space)
    return space["function"]

def pages(functions):
    return len({id(one.__code__) // 4096 for one in functions})

def found(functions):
    told = [one(8) for one in functions]
    try:
        functions[0](8, 0)
    except ZeroDivisionError as error:
        told.append(error.__traceback__.tb_next.tb_lineno)
    return told

functions = [function(number) for number in range(1, 65)]
before, results = pages(functions), found(functions)
memory.lay_together(one.__code__ for one in functions)
assert found(functions) == results
print(results[0], results[-1], before > 30, pages(functions))
"""
"""64 functions whose code is as small as obmalloc's largest size at most: 8 in a page, and as many again in them."""


def test_what_is_called_lies_together_and_does_what_it_did() -> None:
    command = [sys.executable, "-I", "-S", "-c", LAID, str(CHECKOUT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.stdout.startswith("[8, 1, 1] 6 True ")
    assert int(done.stdout.split()[-1]) <= 2 * 64 // 8 + 4
