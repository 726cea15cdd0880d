"""Types are learnt by one thread at a time: msgspec crashes where two begin together."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

from reconciler.engine.records import ContainerRecord, PodRecord

BEGIN_TOGETHER = """
import sys, threading
from pathlib import Path
from reconciler.engine import records
from reconciler.engine.records import ContainerRecord, PodRecord

sys.setswitchinterval(1e-6)
start = threading.Barrier(8)

def work(number):
    start.wait()
    for kind in (PodRecord, ContainerRecord)[:: 1 if number % 2 else -1]:
        assert records.read(Path(sys.argv[1]), "record.json", kind) is None

threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("fine")
"""


def test_many_threads_read_their_first_record_together(tmp_path: Path) -> None:
    last_first = [field.name for kind in (PodRecord, ContainerRecord) for field in reversed(dataclasses.fields(kind))]
    (tmp_path / "record.json").write_text(json.dumps({name: [] for name in last_first}))
    for _ in range(8):
        words = [sys.executable, "-c", BEGIN_TOGETHER, str(tmp_path)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr
