"""What a zygote forks must find everything in memory: an upgrade may take away the files that it came from."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import conmon

PROBE = """
import sys
from conmon import zygote
zygote._preload()
print("\\n".join(name for name in sys.modules if name.split(".")[0] == "conmon"))
"""


def test_every_module_of_conmon_is_loaded_before_the_first_fork() -> None:
    top = Path(conmon.__file__).parent
    on_disk = {
        ".".join(("conmon", *file.relative_to(top).with_suffix("").parts)).removesuffix(".__init__")
        for file in top.rglob("*.py")
    }
    loaded = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True, timeout=60)
    assert on_disk - set(loaded.stdout.split()) == {"conmon.__main__"}
