"""Commands as forks of a prepared interpreter: where a processor is emulated, one takes seconds to start.

Only with RECONCILER_TEST_FORKS, and only what ``Instance.run`` calls in the plain way: what a test starts for itself,
what monitors call and what a service manager starts is what a user has. A server of each pytest worker has all of
reconciler imported; it forks a keeper for each command, which forks the command, waits for it and tells how it ended.
The command is in the network namespace of who asked, which a test may have for itself (``netlab``).
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path

from reconciler.linux.syscalls import KERNEL, Namespace

WANTED = "RECONCILER_TEST_FORKS" in os.environ
_MOST = 1 << 17


def run(arguments: list[str], timeout: float) -> subprocess.CompletedProcess[str]:
    """As ``subprocess.run`` of ``python -m reconciler ARGUMENT...`` would, with all that is said as text."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        heard, told = os.pipe2(os.O_CLOEXEC)
        with os.fdopen(heard, "rb") as ended:
            request = json.dumps({"arguments": arguments, "environ": dict(os.environ), "cwd": str(Path.cwd())})
            network = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            socket.send_fds(_server()[0], [request.encode()], [out.fileno(), errors.fileno(), told, network])
            os.close(told)
            os.close(network)
            pid = int(ended.readline())
            if not select.select([ended], [], [], timeout)[0]:
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(arguments, timeout)
            status = int(ended.readline())
        texts = []
        for file in (out, errors):
            file.seek(0)
            texts.append(file.read())
    return subprocess.CompletedProcess(arguments, os.waitstatus_to_exitcode(status), *texts)


@cache
def _server() -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """This worker's server, and where it takes requests. It ends when nobody can ask any more."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        words = [sys.executable, "-m", "tests.host.forks", str(theirs.fileno())]
        server = subprocess.Popen(words, pass_fds=(theirs.fileno(),))
    atexit.register(_end, ours, server)
    return ours, server


def _end(requests: socket.socket, server: subprocess.Popen[bytes]) -> None:
    requests.close()
    with suppress(subprocess.TimeoutExpired):
        server.wait(10)


def serve(requests: socket.socket) -> None:
    """Until nobody can ask any more."""
    import reconciler

    for module in pkgutil.walk_packages(reconciler.__path__, "reconciler."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    for name in ("jsonschema", "structlog", "pyroute2", "asyncio", "http.client", "tomllib"):
        import_module(name)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        packet, fds, _, _ = socket.recv_fds(requests, _MOST, 4)
        if not packet:
            return
        if os.fork() == 0:
            _keep(requests, json.loads(packet), fds)
        for fd in fds:
            os.close(fd)


def _keep(requests: socket.socket, request: dict[str, object], fds: list[int]) -> None:
    """In a fork: have the command run, tell its pid and then how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    requests.close()
    command = os.fork()
    if command == 0:
        KERNEL.setns(fds[3], Namespace.NETWORK)
        for fd in fds[2:]:
            os.close(fd)
        _be(request, *fds[:2])
    os.write(fds[2], f"{command}\n".encode())
    _, status = os.waitpid(command, 0)
    os.write(fds[2], f"{status}\n".encode())
    os._exit(0)


def _be(request: dict[str, object], out: int, errors: int) -> None:
    """In a fork of that: be the command."""
    for fd, target in ((out, 1), (errors, 2)):
        os.dup2(fd, target)
        os.close(fd)
    sys.stdout, sys.stderr = (os.fdopen(fd, "w", closefd=False, buffering=size) for fd, size in ((1, -1), (2, 1)))
    environ, arguments = request["environ"], request["arguments"]
    assert isinstance(environ, dict) and isinstance(arguments, list)
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(str(request["cwd"]))
    from reconciler import __main__ as program

    sys.argv = [str(program.__file__), *map(str, arguments)]
    code = 1
    try:
        code = program.main()
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
