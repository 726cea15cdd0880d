"""What containers, manifests and file names say, at a terminal: it obeys none of it. Elsewhere it is byte for byte."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time
from pathlib import Path

import pytest

from tests.host.instance import DEADLINE, Instance, until
from tests.host.manifests import container, pod, put

pytestmark = [pytest.mark.host, pytest.mark.timeout(120)]

EVIL = (
    b"\x1b]0;title\x07\x1b[2J\x1b[8mhidden \x1b]52;c;ZXZpbA==\x07 \x1b]8;;http://evil/\x1b\\link \xc2\x9b31m \x08\x08 "
    b"\xe2\x80\xae txet \xe2\x81\xa6 over\rwritten \xff\xfe"
)
"""A title, an empty screen, the clipboard, a link, a C1 control, backspaces, other directions, a return, no UTF-8."""

SEEN = (
    "^[]0;title^G^[[2J^[[8mhidden ^[]52;c;ZXZpbA==^G ^[]8;;http://evil/^[\\link \\u009b31m ^H^H \\u202e txet \\u2066"
    " over^Mwritten \\xff\\xfe"
)

TEXT = "\x1b[2J\x1b]0;title\x07\u009b31m \u202e over\rwritten"
SEEN_TEXT = "^[[2J^[]0;title^G\\u009b31m \\u202e over^Mwritten"

OUR_COLOURS = re.compile(r"\x1b\[\d*m")


def at_a_terminal(command: list[str]) -> str:
    """What a command writes to a terminal, which puts a return before each line's end."""
    return seen(command).replace(b"\r\n", b"\n").decode()


def seen(command: list[str]) -> bytes:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm"}
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        said = read(ours)
        process.wait(DEADLINE)
    os.close(ours)
    return said


def read(terminal: int) -> bytes:
    """Until nobody has it open any more."""
    said, deadline = b"", time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 1)[0]:
            try:
                said += os.read(terminal, 65536)
            except OSError:
                return said
    raise AssertionError(f"it does not end: {said!r}")


def nothing_to_obey(said: str) -> None:
    """No more than our own colours."""
    for line in OUR_COLOURS.sub("", said).split("\n"):
        assert line.replace("\t", "").isprintable(), repr(line)


def test_a_terminal_obeys_nothing_that_others_say(instance: Instance, image: str, folder: Path) -> None:
    octal = "".join(f"\\{byte:03o}" for byte in EVIL)
    script = f"printf '{octal}\\n'; printf '{octal}' >/dev/termination-log; exit 3"
    made = pod("evil", container("a", image, command=["sh", "-c", script]), restartPolicy="Never")
    made["metadata"]["annotations"] = {"note": TEXT}
    put(folder / "evil.yaml", made)
    (folder / f"{TEXT}.yaml").write_text("kind: Pod\nmetadata: {name: b}\nspec: {a\u202eb: 1}\n")
    instance.run("apply", folder)
    until(lambda: instance.containers("evil")["a"].exit is not None, "it has ended")

    logs = at_a_terminal(instance.command("logs", "evil"))
    assert logs == f"{SEEN}\n"
    assert at_a_terminal(instance.command("pod", "logs", "evil")) == logs
    assert EVIL in seen(instance.command("logs", "--raw", "evil"))
    piped = subprocess.run(instance.command("logs", "evil"), capture_output=True, timeout=DEADLINE, check=True)
    assert piped.stdout == EVIL + b"\n"

    for words, shown in [
        (("describe", "pod", "evil"), SEEN_TEXT),
        (("get", "pod", "evil", "-o", "yaml"), "title"),
        (("inspect", "evil/a"), "title"),
        (("kube", "generate", "evil"), "title"),
        (("events",), ""),
        (("status", folder), SEEN_TEXT),
        (("validate", folder), SEEN_TEXT),
        (("apply", folder), SEEN_TEXT),
        (("kube", "play", folder / f"{TEXT}.yaml"), SEEN_TEXT),
        (("get", "pod", TEXT), "^[[2J^[]0;title^G"),
    ]:
        said = at_a_terminal(instance.command(*words))
        nothing_to_obey(said)
        assert shown in said, (words, said)
