"""What the zygote plays through before its first fork: it works, and leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from conmon import memory

CHECKOUT = Path(memory.__file__).parents[1]
PLAYED = """
import os, sys
sys.path.append(sys.argv[1])
from conmon import memory
memory.before_imports()
from conmon import libc, rehearsal, zygote
os.environ.clear()

def standing():
    names = ("oom_score_adj", "limits", "environ")
    files = [open(f"/proc/self/{name}").read() for name in names]
    return sorted(os.listdir("/proc/self/fd")), os.getcwd(), dict(os.environ), files

output = os.dup(1)
null = os.open("/dev/null", os.O_RDWR)
for number in range(3):
    os.dup2(null, number)
os.close(null)
os.chdir("/")
os.umask(0o022)
libc.become_subreaper()
before = standing()
assert rehearsal.rehearse(), "it failed"
memory.before_forks()
assert standing() == before, (standing(), before)
assert open("/proc/self/comm").read() == "conmon-zygote\\n"
assert b"only this test" in open("/proc/self/cmdline", "rb").read()
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    os.write(output, b"no child is left\\n")
"""


def test_nothing_is_left_of_a_rehearsal() -> None:
    command = [sys.executable, "-I", "-S", "-c", PLAYED, str(CHECKOUT), "only this test"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("no child is left\n", "")
