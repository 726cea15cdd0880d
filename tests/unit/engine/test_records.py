"""Records and state files: whole or not there, read back as written, forgiving of damage."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from reconciler.engine import files, locks, processes, records
from reconciler.engine.records import RECORD, ContainerFacts, ContainerRecord, PodRecord
from reconciler.model.key import ContainerId, Key, PodId, SourceId
from reconciler.model.observed import Exit, PidRef
from reconciler.model.spec import (
    ContainerSpec,
    Mount,
    PodSpec,
    PortBinding,
    Resources,
    SandboxSpec,
    Security,
    Volume,
    VolumeKind,
)

KEY = Key("default", "web")


def _spec() -> PodSpec:
    volume = Volume("data", VolumeKind.HOST_PATH, "/srv", "Directory")
    container = ContainerSpec(
        name="web",
        image="busybox:1",
        command=("httpd", "-f"),
        env=(("A", "1"),),
        mounts=(Mount("/data", volume, True),),
        resources=Resources(cpu_limit=500, memory_limit=1 << 26),
        security=Security(run_as_user=7, cap_drop=("ALL",)),
    )
    return PodSpec(KEY, SandboxSpec("web", (PortBinding(8080, 80),)), (container,), volumes=(volume,))


def test_a_pod_record_is_read_back_as_written(tmp_path: Path) -> None:
    record = PodRecord(PodId("aa"), "u-1", KEY, _spec(), SourceId("dir:/x"), "10.0.0.2", 1.5)
    records.write(tmp_path, RECORD, record)
    assert records.read(tmp_path, RECORD, PodRecord) == record


def test_a_container_record_and_its_facts_are_read_back(tmp_path: Path) -> None:
    record = ContainerRecord(
        ContainerId("cc"), PodId("aa"), KEY, "web", 3, _spec().containers[0], last=Exit(1, 2.0, 3.0), restarts=2
    )
    facts = ContainerFacts(boot="b", pid=7, pid_start=9, exit=Exit(0, 1.0, 2.0), resources=Resources(cpu_limit=1))
    records.write(tmp_path, RECORD, record)
    records.write(tmp_path, "state.json", facts)
    assert records.read(tmp_path, RECORD, ContainerRecord) == record
    assert records.read(tmp_path, "state.json", ContainerFacts) == facts


def test_a_record_of_an_older_program_takes_the_defaults_of_new_fields(tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text(
        '{"id":"cc","pod":"aa","key":{"namespace":"n","name":"p"},"name":"web","attempt":0,'
        '"spec":{"name":"web","image":"i"},"field_of_the_future":1}'
    )
    record = records.read(tmp_path, RECORD, ContainerRecord)
    assert record is not None
    assert record.spec == ContainerSpec(name="web", image="i")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"id": 3}'])
def test_a_damaged_record_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / RECORD).write_text(text)
    assert records.read(tmp_path, RECORD, PodRecord) is None


def test_an_atomic_write_leaves_no_temporary_file(tmp_path: Path) -> None:
    for n in range(3):
        files.write_atomic(tmp_path / "f", str(n).encode())
    assert [p.name for p in tmp_path.iterdir()] == ["f"]
    assert (tmp_path / "f").read_text() == "2"


def test_a_discarded_tree_is_gone_and_discarding_again_is_fine(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "deep").mkdir(parents=True)
    files.discard(tree, tmp_path / "trash")
    files.discard(tree, tmp_path / "trash")
    assert not tree.exists()
    assert list((tmp_path / "trash").iterdir()) == []


def test_what_a_killed_removal_left_is_emptied(tmp_path: Path) -> None:
    (tmp_path / "trash" / "x" / "y").mkdir(parents=True)
    files.empty(tmp_path / "trash")
    assert list((tmp_path / "trash").iterdir()) == []


def test_a_key_is_held_by_one_at_a_time_though_the_file_is_unlinked_between(tmp_path: Path) -> None:
    inside, most, guard = 0, 0, threading.Lock()

    def work() -> None:
        nonlocal inside, most
        for _ in range(50):
            with locks.hold(tmp_path / "k", KEY, gone=lambda: True):
                with guard:
                    inside += 1
                    most = max(most, inside)
                with guard:
                    inside -= 1

    several = [threading.Thread(target=work) for _ in range(4)]
    for thread in several:
        thread.start()
    for thread in several:
        thread.join(60)
    assert most == 1
    assert not (tmp_path / "k").exists()


def test_a_lock_file_stays_while_its_pod_is_there(tmp_path: Path) -> None:
    with locks.hold(tmp_path / "k", KEY, gone=lambda: False):
        pass
    assert (tmp_path / "k").exists()


def test_a_pid_given_to_another_process_is_not_the_same_process() -> None:
    me = processes.pid_ref(threading.get_native_id())
    assert me is not None
    assert processes.alive(me)
    assert not processes.alive(PidRef(me.pid, me.start - 1))
    assert processes.wait_gone(PidRef(me.pid, me.start - 1), 5)


def test_a_wanted_0_0_0_0_is_what_a_pod_of_version_1_has() -> None:
    old = PodRecord(PodId("aa"), "u-1", KEY, _spec(), SourceId("dir:/x"), "10.0.0.2", 1.5, version=1)
    spelled_out = PodSpec(KEY, SandboxSpec("web", (PortBinding(8080, 80, host_ip="0.0.0.0"),)))
    assert records.applied(old, spelled_out).sandbox == spelled_out.sandbox
    other = PodSpec(KEY, SandboxSpec("web", (PortBinding(8081, 80, host_ip="0.0.0.0"),)))
    assert records.applied(old, other) == records.applied(old, None) == old.spec


def test_to_a_pod_of_today_0_0_0_0_is_another_binding() -> None:
    record = PodRecord(PodId("aa"), "u-1", KEY, _spec(), SourceId("dir:/x"), "10.0.0.2", 1.5)
    assert (
        records.applied(record, PodSpec(KEY, SandboxSpec("web", (PortBinding(8080, 80, host_ip="0.0.0.0"),))))
        == _spec()
    )


def test_a_file_that_says_the_same_is_the_same_object_and_another_is_read_anew(tmp_path: Path) -> None:
    records.write(tmp_path, RECORD, PodRecord(PodId("aa"), "u-1", KEY, _spec(), SourceId("dir:/x"), "10.0.0.2", 1.5))
    first = records.read(tmp_path, RECORD, PodRecord)
    assert records.read(tmp_path, RECORD, PodRecord) is first
    text = (tmp_path / RECORD).read_text()
    (tmp_path / RECORD).write_text(text.replace("10.0.0.2", "10.0.0.3"))  # as long, and no new file
    second = records.read(tmp_path, RECORD, PodRecord)
    assert second is not None
    assert second.ip == "10.0.0.3"
    (tmp_path / RECORD).unlink()
    assert records.read(tmp_path, RECORD, PodRecord) is None


def test_a_file_that_has_not_been_written_for_a_while_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records.write(tmp_path, RECORD, PodRecord(PodId("aa"), "u-1", KEY, _spec(), SourceId("dir:/x"), "10.0.0.2", 1.5))
    os.utime(tmp_path / RECORD, (1, 1))
    first = records.read(tmp_path, RECORD, PodRecord)
    read: list[str] = []
    real = records.read_or_none
    monkeypatch.setattr(records, "read_or_none", lambda path: (read.append(path), real(path))[1])
    assert records.read(tmp_path, RECORD, PodRecord) is first
    assert read == []
    (tmp_path / RECORD).write_text("{")  # in its place, whoever did that
    assert records.read(tmp_path, RECORD, PodRecord) is None
    (tmp_path / RECORD).unlink()
    assert records.read(tmp_path, RECORD, PodRecord) is None


def test_what_was_written_just_now_may_be_written_again_within_the_same_tick_of_the_clock(tmp_path: Path) -> None:
    record = PodRecord(PodId("aa"), "u-1", KEY, _spec(), SourceId("dir:/x"), "10.0.0.2", 1.5)
    records.write(tmp_path, RECORD, record)
    before = (tmp_path / RECORD).stat()
    records.read(tmp_path, RECORD, PodRecord)
    text = (tmp_path / RECORD).read_text()
    (tmp_path / RECORD).write_text(text.replace("10.0.0.2", "10.0.0.3"))
    os.utime(tmp_path / RECORD, ns=(before.st_atime_ns, before.st_mtime_ns))  # as a coarse clock would have it
    second = records.read(tmp_path, RECORD, PodRecord)
    assert second is not None
    assert second.ip == "10.0.0.3"
