"""The real calls fail as the man pages say, and a thread made for a namespace hands back what happened."""

from __future__ import annotations

import errno
import os
import threading

import pytest

from reconciler.linux.syscalls import DETACH, KERNEL, MountFlag, Namespace, in_network
from tests.fakes.linux import RecordingKernel


def test_a_bad_descriptor_is_refused_with_the_kernels_errno() -> None:
    with pytest.raises(OSError) as e:
        KERNEL.setns(-1, Namespace.NETWORK)
    assert e.value.errno == errno.EBADF


def test_a_failed_unmount_names_the_path(tmp_path) -> None:
    with pytest.raises(OSError) as e:
        KERNEL.umount(str(tmp_path), DETACH)
    assert e.value.errno in (errno.EINVAL, errno.EPERM)
    assert e.value.filename == str(tmp_path)


def test_a_failed_mount_names_the_target(tmp_path) -> None:
    with pytest.raises(OSError) as e:
        KERNEL.mount("none", str(tmp_path / "missing"), "tmpfs", MountFlag.NONE)
    assert e.value.errno in (errno.ENOENT, errno.EPERM)
    assert e.value.filename == str(tmp_path / "missing")


def test_a_descriptor_of_a_process_is_duplicated() -> None:
    r, w = os.pipe()
    pidfd = os.pidfd_open(os.getpid())
    try:
        copy = KERNEL.pidfd_getfd(pidfd, w)
        os.write(copy, b"through the copy")
        assert os.read(r, 100) == b"through the copy"
        assert not os.get_inheritable(copy)
        os.close(copy)
    finally:
        for fd in (r, w, pidfd):
            os.close(fd)


def test_the_call_runs_in_a_thread_that_entered_the_namespace() -> None:
    kernel = RecordingKernel()
    assert in_network(7, threading.get_ident, kernel) != threading.get_ident()
    assert kernel.calls == [("setns", 7, Namespace.NETWORK)]


def test_what_the_call_raises_is_raised_to_the_caller() -> None:
    def fail() -> None:
        raise KeyError("from inside")

    with pytest.raises(KeyError, match="from inside"):
        in_network(7, fail, RecordingKernel())


def test_the_call_does_not_run_where_the_namespace_cannot_be_entered() -> None:
    ran: list[int] = []
    with pytest.raises(PermissionError):
        in_network(7, lambda: ran.append(1), RecordingKernel(refuse={"setns": errno.EPERM}))
    assert ran == []
