from __future__ import annotations

import threading

from reconciler.cli.crilog import Line, Reader, follow, read

T = "2026-01-02T03:04:05.000000006Z"


def records(*lines: str) -> bytes:
    return "".join(f"{T} {line}\n" for line in lines).encode()


def texts(lines) -> list[bytes]:
    return [line.text for line in lines]


def test_pieces_are_joined_each_stream_by_itself(tmp_path):
    log = tmp_path / "0.log"
    log.write_bytes(records("stdout P one, ", "stderr F oops", "stdout P two, ", "stdout F three", "stdout F "))
    assert texts(read(log, None)) == [b"oops", b"one, two, three", b""]


def test_a_line_that_never_ended_is_shown_without_a_newline(tmp_path):
    log = tmp_path / "0.log"
    log.write_bytes(records("stdout F whole", "stdout P prompt> "))
    assert list(read(log, None)) == [Line(T, b"whole"), Line(T, b"prompt> ", whole=False)]


def test_tail_counts_lines_not_records(tmp_path):
    log = tmp_path / "0.log"
    log.write_bytes(records("stdout F one", "stdout P tw", "stdout F o", "stdout F three"))
    assert texts(read(log, 2)) == [b"two", b"three"]
    assert texts(read(log, 0)) == []


def test_a_log_that_is_not_there_is_empty(tmp_path):
    assert list(read(tmp_path / "0.log", None)) == []


def test_what_is_no_record_is_passed_on(tmp_path):
    log = tmp_path / "0.log"
    log.write_bytes(b"garbage\n" + records("stdout F fine"))
    assert texts(read(log, None)) == [b"garbage", b"fine"]


def test_a_record_written_in_two_writes_is_one_line(tmp_path):
    log = tmp_path / "0.log"
    whole = records("stdout F hello")
    log.write_bytes(whole[:20])
    reader = Reader(log)
    assert list(reader.new()) == []
    with log.open("ab") as file:
        file.write(whole[20:])
    assert texts(reader.new()) == [b"hello"]
    reader.close()


def test_a_rotated_log_is_read_on_in_its_new_file(tmp_path):
    log = tmp_path / "0.log"
    log.write_bytes(records("stdout F old"))
    reader = Reader(log)
    assert texts(reader.new()) == [b"old"]
    with log.open("ab") as file:
        file.write(records("stdout F last of old"))
    log.rename(tmp_path / "0.log.1")
    log.write_bytes(records("stdout F new"))
    assert texts(reader.new()) == [b"last of old", b"new"]
    reader.close()


def test_follow_ends_with_the_container_and_loses_nothing(tmp_path):
    log, exits = tmp_path / "c" / "0.log", tmp_path / "exits"
    log.parent.mkdir()
    exits.mkdir()
    log.write_bytes(records("stdout F skipped", "stdout F first"))
    over, seen, arrived = threading.Event(), [], threading.Event()

    def read_on() -> None:
        for line in follow(log, 1, exits, over.is_set):
            seen.append(line.text)
            arrived.set()

    reader = threading.Thread(target=read_on)
    reader.start()
    assert arrived.wait(10)
    with log.open("ab") as file:
        file.write(records("stdout F second", "stdout P unended"))
    over.set()
    (exits / "id").write_text("0")
    reader.join(10)
    assert not reader.is_alive()
    assert seen == [b"first", b"second", b"unended"]
