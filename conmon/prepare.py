"""--prepare FILE: mount operations in the runtime's process, between fork and exec (not in the C conmon).

Each ``create`` of an OCI runtime then has a mount namespace of its own, so a container's overlay is seen
by nobody else and goes with the container. One operation a line, fields separated by tabs, ``%XX`` for
bytes that would be misread (tab, newline, percent); empty lines and lines that begin with # are skipped.

    unshare                                  a new mount namespace
    private PATH | slave PATH                change propagation at PATH and below
    detach PATH                              umount2(PATH, MNT_DETACH); in files of older containers, that live again
    mkdir PATH MODE                          MODE octal; an existing directory is fine
    chdir PATH                               for relative names in what follows
    mount SOURCE TARGET FSTYPE FLAGS DATA    mount(2); FLAGS decimal
    overlay TARGET UPPER WORK LOWER...       a container's root (see overlay.py), the uppermost LOWER first
    graft NAMESPACE SOURCE TARGET            at TARGET a copy of the mount at SOURCE in another mount namespace
    peer NAMESPACE SOURCE TARGET             the same, TARGET made as needed, and what is mounted below SOURCE, too:
                                             where it is shared there, what is mounted later is seen on both sides
    idmap NAMESPACE SOURCE TARGET            at TARGET, made as needed, SOURCE and what is mounted below it,
                                             its files belonging to whom they would in that user namespace
    part SOURCE VIEW PATH TARGET WRITABLE    at TARGET a part of the volume at SOURCE, as VIEW shows it (see parts.py)
    seal TARGET MUST                         the mount at TARGET and those below it read-only; MUST 0: if that can be
    layers TARGET LOWER...                   at TARGET, made as needed, an image's layers, for reading alone
    own PATH ID                              give PATH to this user and group
    reveal TOP PATH...                       PATHs below TOP, with what is mounted there, for everybody to reach;
                                             of what else is in TOP nothing is seen
"""

from __future__ import annotations

import errno
import os

from conmon import libc, overlay, parts
from conmon.say import Fail

ARITY = {
    "unshare": 0,
    "private": 1,
    "slave": 1,
    "detach": 1,
    "mkdir": 2,
    "chdir": 1,
    "mount": 5,
    "graft": 3,
    "peer": 3,
    "idmap": 3,
    "own": 2,
    "part": 5,
    "seal": 2,
}
AT_LEAST = {"overlay": 4, "reveal": 2, "layers": 2}


class Operation:
    """One line: where it stands, its verb and its decoded arguments."""

    __slots__ = ("arguments", "line", "verb")

    def __init__(self, line: int, verb: str, arguments: list[bytes]) -> None:
        self.line = line
        self.verb = verb
        self.arguments = arguments


def load(path: str) -> list[Operation]:
    """Read a file of operations. Raises Fail naming the line."""
    try:
        return parse(_read(path))
    except OSError as error:
        raise Fail(f"cannot read prepare file {path}: {error.strerror}") from None


def parse(text: bytes) -> list[Operation]:
    """The operations of a file's content. Raises Fail naming the line."""
    operations = []
    for number, line in enumerate(text.split(b"\n"), 1):
        if not line or line.startswith(b"#"):
            continue
        verb, *fields = line.split(b"\t")
        name = verb.decode("ascii", "replace")
        if ARITY.get(name) != len(fields) and not 0 < AT_LEAST.get(name, 0) <= len(fields):
            raise Fail(f"cannot read prepare file: line {number}: {name!r} with {len(fields)} arguments")
        operations.append(Operation(number, name, [_decode(field, number) for field in fields]))
        _check_numbers(operations[-1])
    return operations


def perform(operations: list[Operation]) -> None:
    """Do them in this process, in order. The working directory is the same afterwards.

    Raises Fail that names the operation; those before it stay done, in this process' namespace.
    """
    home = os.getcwd()
    for operation in operations:
        try:
            _perform(operation.verb, operation.arguments)
        except OSError as error:
            names = " ".join(os.fsdecode(argument) for argument in operation.arguments[:3])
            where = f"{operation.verb} {names}".strip()
            raise Fail(f"cannot prepare the container: {where} (line {operation.line}): {error.strerror}") from None
    os.chdir(home)


def _perform(verb: str, arguments: list[bytes]) -> None:
    match verb:
        case "unshare":
            libc.unshare(libc.CLONE_NEWNS)
        case "private":
            libc.mount(b"none", arguments[0], b"", libc.MS_REC | libc.MS_PRIVATE, b"")
        case "slave":
            libc.mount(b"none", arguments[0], b"", libc.MS_REC | libc.MS_SLAVE, b"")
        case "detach":
            libc.umount(arguments[0], libc.MNT_DETACH)
        case "mkdir":
            _mkdir(arguments[0], int(arguments[1], 8))
        case "chdir":
            os.chdir(arguments[0])
        case "mount":
            source, target, fstype, flags, data = arguments
            libc.mount(source, target, fstype, int(flags), data)
        case "overlay":
            target, upper, work, *lowers = arguments
            overlay.mount(target, upper, work, lowers)
        case "graft":
            namespace, source, target = arguments
            _graft(namespace, source, target)
        case "peer":
            namespace, source, target = arguments
            _make_place(source, target)
            _graft(namespace, source, target, deep=True)
        case "idmap":
            _idmap(*arguments)
        case "own":
            os.chown(arguments[0], int(arguments[1]), int(arguments[1]))
        case "part":
            source, view, path, target, writable = arguments
            parts.mount(source, view, path, target, writable=writable == b"1")
        case "seal":
            parts.seal(arguments[0], must=arguments[1] == b"1")
        case "layers":
            target, *lowers = arguments
            _mkdir(target, 0o711)
            overlay.show(target, lowers)
        case "reveal":
            _reveal(*arguments)


def _make_place(source: bytes, target: bytes) -> None:
    """Something like ``source`` that it can be mounted on."""
    if os.path.isdir(source):
        _mkdir(target, 0o711)
    else:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))


def _idmap(namespace: bytes, source: bytes, target: bytes) -> None:
    _make_place(source, target)
    users = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        tree = libc.open_tree(source, deep=True)
        try:
            _map(tree, users)
            libc.move_mount(tree, target)
        finally:
            os.close(tree)
    finally:
        os.close(users)


def _map(tree: int, users: int) -> None:
    try:
        libc.map_ids(tree, users)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise OSError(errno.EINVAL, "a file system there cannot show its files with other owners") from None


def _reveal(top: bytes, *paths: bytes) -> None:
    """An empty file system takes the place of ``top``, which others may not pass, and in it are the paths alone."""
    trees = [libc.open_tree(path, deep=True) for path in paths]
    try:
        libc.mount(b"tmpfs", top, b"tmpfs", libc.MS_NOSUID | libc.MS_NODEV, b"mode=711")
        for tree, path in zip(trees, paths, strict=True):
            os.makedirs(path, 0o711)
            libc.move_mount(tree, path)
    finally:
        for tree in trees:
            os.close(tree)


def _graft(namespace: bytes, source: bytes, target: bytes, deep: bool = False) -> None:
    """setns changes root and working directory as well: both are as before at the end."""
    fds = [os.open(b".", os.O_PATH), os.open("/proc/self/ns/mnt", os.O_RDONLY), os.open(namespace, os.O_RDONLY)]
    home, here, there = fds
    try:
        libc.setns(there, libc.CLONE_NEWNS)
        try:
            tree = libc.open_tree(source, deep=deep)
            fds.append(tree)
        finally:
            libc.setns(here, libc.CLONE_NEWNS)
            os.fchdir(home)
        libc.move_mount(tree, target)
    finally:
        for fd in fds:
            os.close(fd)


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = b""
        while piece := os.read(fd, 65536):
            text += piece
        return text
    finally:
        os.close(fd)


def _mkdir(path: bytes, mode: int) -> None:
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        return
    os.chmod(path, mode)  # whatever the umask


def _check_numbers(operation: Operation) -> None:
    try:
        if operation.verb == "mkdir":
            int(operation.arguments[1], 8)
        if operation.verb == "mount":
            int(operation.arguments[3])
        if operation.verb == "own":
            int(operation.arguments[1])
    except ValueError:
        raise Fail(f"cannot read prepare file: line {operation.line}: not a number") from None


def _decode(field: bytes, line: int) -> bytes:
    first, *rest = field.split(b"%")
    if any(len(part) < 2 or not set(part[:2]) <= set(b"0123456789abcdefABCDEF") for part in rest):
        raise Fail(f"cannot read prepare file: line {line}: % without two hexadecimal digits")
    return first + b"".join(bytes.fromhex(part[:2].decode()) + part[2:] for part in rest)
