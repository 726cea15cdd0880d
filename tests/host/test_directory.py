"""A real folder, real inotify, a live controller: what editors, tools, git and Kubernetes do to files.

The engine is the one in memory, so this is about noticing, not about containers. Tests wait for the controller's own
report that a key was synced; "nothing happens" is shown by something later that does happen.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.controller.watch import WatchOptions, watch
from reconciler.model.errors import Busy
from reconciler.model.observed import ImageState, ImageStatus
from tests.host.live import SETTLE, Live, git_in
from tests.slowness import seconds
from tests.unit.sources.manifests import BROKEN, key, pod

pytestmark = pytest.mark.host

WEB, DB = key("web"), key("db")


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    folder = tmp_path / "manifests"
    folder.mkdir()
    live = Live(folder, tmp_path / "root")
    live.start()
    yield live
    live.stop()


def test_a_file_renamed_into_the_folder(live: Live) -> None:
    live.write("web.yaml", pod("web"))
    live.until_runs(WEB)


def test_a_file_written_in_place_counts_when_it_is_closed(live: Live) -> None:
    with (live.folder / "web.yaml").open("w") as file:
        file.write(pod("web", command="sleep 1"))
        file.flush()
        live.write("db.yaml", pod("db"))
        live.until_runs(DB)
        assert live.core is not None
        assert live.core.result(WEB) is None, "it is not closed yet"
        file.seek(0)
        file.write(pod("web", command="sleep 2"))
    live.until_runs(WEB, "sleep 2")


def test_a_half_written_edit_keeps_the_last_version(live: Live) -> None:
    live.write("web.yaml", pod("web", command="sleep 1"))
    live.until_runs(WEB, "sleep 1")
    with (live.folder / "web.yaml").open("w") as file:
        file.write(pod("web", command="sleep 2")[:60])
        file.flush()
        live.write("db.yaml", pod("db"))
        live.until_runs(DB)
        assert live.runs(WEB, "sleep 1")
        file.write(pod("web", command="sleep 2")[60:])
    live.until_runs(WEB, "sleep 2")
    assert not [message for about, _, reason, message in live.engine.emitted if reason in ("Held", "Settling")]


def test_vim_saves(live: Live) -> None:
    """Backup by rename, then a new file; and 4913, vim's probe whether it may."""
    live.write("web.yaml", pod("web", command="sleep 1"))
    live.until_runs(WEB, "sleep 1")
    file = live.folder / "web.yaml"
    (live.folder / "4913").touch()
    (live.folder / "4913").unlink()
    file.rename(live.folder / "web.yaml~")
    file.write_text(pod("web", command="sleep 2"))
    (live.folder / "web.yaml~").unlink()
    live.until_runs(WEB, "sleep 2")


def test_emacs_and_sed_save(live: Live) -> None:
    live.write("web.yaml", pod("web", command="sleep 1"))
    live.until_runs(WEB, "sleep 1")
    (live.folder / ".#web.yaml").symlink_to("user@host.1")
    (live.folder / "#web.yaml#").write_text("half")
    (live.folder / "#web.yaml#").unlink()
    subprocess.run(["sed", "-i", 's/sleep 1/sleep 2/; s/"1"/"2"/', live.folder / "web.yaml"], check=True, timeout=30)
    (live.folder / ".#web.yaml").unlink()
    live.until_runs(WEB, "sleep 2")


def test_rm(live: Live) -> None:
    live.write("web.yaml", pod("web"))
    live.until_runs(WEB)
    begin = time.monotonic()
    (live.folder / "web.yaml").unlink()
    live.until_gone(WEB)
    assert time.monotonic() - begin >= SETTLE


def test_a_file_moved_out_of_the_folder_does_not_hold_up_what_follows(live: Live) -> None:
    took = []
    for number in range(10):
        live.write("web.yaml", pod("web"))
        live.until_runs(WEB)
        (live.folder / "web.yaml").rename(live.folder.parent / "kept.yaml")
        begin = time.monotonic()
        live.write("db.yaml", pod("db", command=f"sleep {number}"))
        live.until_runs(DB, f"sleep {number}")
        took.append(time.monotonic() - begin)
        live.until_gone(WEB)
        if took[-1] < 0.4:
            return
    raise AssertionError(f"pairing renames costs half a second each time: {took}")


def test_a_file_renamed_within_the_folder(live: Live) -> None:
    live.write("web.yaml", pod("web"))
    live.until_runs(WEB)
    before = live.engine.running(WEB)
    (live.folder / "web.yaml").rename(live.folder / "www.yaml")
    live.write("db.yaml", pod("db"))
    live.until_runs(DB)
    (live.folder / "db.yaml").unlink()
    live.until_gone(DB)
    assert live.engine.running(WEB) == before


def test_new_directories_and_what_lies_in_them(live: Live) -> None:
    deep = live.folder / "team" / "deep"
    deep.mkdir(parents=True)
    (deep / "web.yaml").write_text(pod("web"))
    live.until_runs(WEB)
    (deep / "web.yaml").write_text(pod("web", command="sleep 2"))
    live.until_runs(WEB, "sleep 2")


def test_a_directory_moved_in_and_out(live: Live) -> None:
    outside = live.folder.parent / "outside"
    outside.mkdir()
    (outside / "web.yaml").write_text(pod("web"))
    outside.rename(live.folder / "team")
    live.until_runs(WEB)
    (live.folder / "team").rename(outside)
    live.until_gone(WEB)


def test_the_folder_is_replaced_under_us(live: Live) -> None:
    live.write("web.yaml", pod("web", command="sleep 1"))
    live.write("db.yaml", pod("db"))
    live.until_runs(WEB, "sleep 1")
    live.until_runs(DB)
    new = live.folder.parent / "new"
    new.mkdir()
    (new / "web.yaml").write_text(pod("web", command="sleep 2"))
    live.folder.rename(live.folder.parent / "old")
    new.rename(live.folder)
    live.until_runs(WEB, "sleep 2")
    live.write("web.yaml", pod("web", command="sleep 3"))
    live.until_runs(WEB, "sleep 3")
    live.write("tmp.yaml", pod("tmp"))
    live.until_runs(key("tmp"))
    held = live.core.result(DB) if live.core else None
    assert held is not None
    assert live.engine.running(DB), "it is not in the new folder, but that is another folder"


def test_the_folder_vanishes_and_comes_back(live: Live) -> None:
    live.write("web.yaml", pod("web", command="sleep 1"))
    live.until_runs(WEB, "sleep 1")
    shutil.rmtree(live.folder)

    def is_told() -> bool:
        return any(reason == "Held" and "cannot read directory" in text for _, _, reason, text in live.engine.emitted)

    live.until(is_told, "the loss is told")
    assert live.engine.running(WEB)
    live.folder.mkdir()
    (live.folder / "web.yaml").write_text(pod("web", command="sleep 2"))
    live.until_runs(WEB, "sleep 2")


def test_a_parent_of_the_folder_is_renamed_away_and_back(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b" / "manifests"
    folder.mkdir(parents=True)
    live = Live(folder, tmp_path / "root")
    live.start()
    try:
        live.write("web.yaml", pod("web", command="sleep 1"))
        live.until_runs(WEB, "sleep 1")
        (tmp_path / "a").rename(tmp_path / "x")
        (tmp_path / "x" / "b" / "manifests" / "web.yaml").write_text(pod("web", command="sleep 2"))
        (tmp_path / "x").rename(tmp_path / "a")
        live.until_runs(WEB, "sleep 2")
    finally:
        live.stop()


def test_kubernetes_swaps_data(live: Live) -> None:
    """As the kubelet's atomic writer does: a new directory, a link renamed over ``..data``, the old one removed."""

    def publish(version: str, command: str) -> None:
        new = live.folder / f"..{version}"
        new.mkdir()
        (new / "web.yaml").write_text(pod("web", command=command))
        (live.folder / "..data_tmp").symlink_to(new.name)
        (live.folder / "..data_tmp").rename(live.folder / "..data")

    publish("v1", "sleep 1")
    (live.folder / "web.yaml").symlink_to("..data/web.yaml")
    live.until_runs(WEB, "sleep 1")
    publish("v2", "sleep 2")
    shutil.rmtree(live.folder / "..v1")
    live.until_runs(WEB, "sleep 2")
    publish("v3", "sleep 3")
    live.until_runs(WEB, "sleep 3")


def test_an_edit_behind_a_link(live: Live) -> None:
    outside = live.folder.parent / "outside"
    outside.mkdir()
    (outside / "web.yaml").write_text(pod("web", command="sleep 1"))
    (outside / "db.yaml").write_text(pod("db", command="sleep 1"))
    (live.folder / "web.yaml").symlink_to(outside / "web.yaml")
    (outside / "more").mkdir()
    (outside / "db.yaml").rename(outside / "more" / "db.yaml")
    (live.folder / "more").symlink_to(outside / "more")
    live.until_runs(WEB, "sleep 1")
    live.until_runs(DB, "sleep 1")
    (outside / "web.yaml").write_text(pod("web", command="sleep 2"))
    (outside / "more" / "db.yaml").write_text(pod("db", command="sleep 2"))
    live.until_runs(WEB, "sleep 2")
    live.until_runs(DB, "sleep 2")


def test_a_broken_file_stops_nobody_and_is_told_with_its_line(live: Live) -> None:
    live.write("bad.yaml", BROKEN)
    live.write("web.yaml", pod("web"))
    live.until_runs(WEB)
    bad = str(live.folder / "bad.yaml")
    told = [message for about, _, _, message in live.engine.emitted if about == bad]
    assert len(told) == 1
    assert f"{bad}:" in told[0]


def test_git_switches_branches(live: Live) -> None:
    """Between two branches of a checkout, a pod that is in both is never touched, one that is in one comes and goes."""

    git = git_in(live.folder)
    git("init")
    live.write("web.yaml", pod("web"))
    live.write("db.yaml", pod("db", command="sleep 1"))
    git("add", ".")
    git("commit", "-m", "one")
    git("checkout", "-b", "two")
    (live.folder / "db.yaml").rename(live.folder / "data.yaml")
    live.write("new.yaml", pod("new"))
    git("add", "-A")
    git("commit", "-m", "two")
    live.until_runs(key("new"))
    live.until_runs(WEB)
    live.until_runs(DB, "sleep 1")
    before = live.engine.running(WEB) | live.engine.running(DB)
    for _ in range(3):
        git("checkout", "main")
        live.until_gone(key("new"))
        git("checkout", "two")
        live.until_runs(key("new"))
    assert live.engine.running(WEB) | live.engine.running(DB) == before


def test_a_second_controller_is_refused_by_name(live: Live) -> None:
    with pytest.raises(Busy, match=rf"another controller \(pid {os.getpid()}\) watches {live.folder}"):
        watch(live.engine, [live.folder], WatchOptions(live.layout))


def test_an_edit_is_noticed_within_milliseconds(live: Live) -> None:
    took = []
    for number in range(1, 21):
        begin = time.monotonic()
        live.write("web.yaml", pod("web", command=f"sleep {number}"))
        live.until_runs(WEB, f"sleep {number}")
        took.append(time.monotonic() - begin)
    assert best_quarter(took) < seconds(0.1), took


def test_exits_reach_the_plan_within_milliseconds(live: Live) -> None:
    """From the moment the exit file is there to the end of the sync that saw it, without any polling."""
    live.write("web.yaml", pod("web"))
    live.until_runs(WEB)
    took = []
    for _ in range(30):
        assert live.core is not None
        container = live.engine.container(WEB, "main").id
        listeners, live.engine.listeners = live.engine.listeners, []
        live.engine.exit(WEB, "main", 0)
        live.engine.listeners = listeners
        seen = live.core.result(WEB)
        temporary = live.layout.exits / f".{container}"
        temporary.write_text("0")
        begin = time.monotonic()
        temporary.rename(live.layout.exits / container)
        live.until(lambda seen=seen: live.core is not None and live.core.result(WEB) is not seen, "the exit is seen")  # type: ignore[misc]
        took.append(time.monotonic() - begin)
    assert best_quarter(took) < seconds(0.1), took


def best_quarter(took: list[float]) -> float:
    """At most so long took the quickest quarter: the others tell when we were given the processor. Who polls or waits
    for a quiet moment fails here, too."""
    return sorted(took)[len(took) // 4]


def test_a_process_whose_monitor_died_is_noticed_by_its_pidfd(live: Live) -> None:
    from reconciler.engine import processes
    from reconciler.model.key import ContainerId

    live.write("web.yaml", pod("web"))
    live.until_runs(WEB)
    assert live.core is not None
    exits = live.core._exits
    assert exits is not None
    process = subprocess.Popen(["sleep", "1000"])
    there = processes.pid_ref(process.pid)
    assert there is not None
    exits.watch(WEB, [(ContainerId("ab" * 32), there)])
    seen = live.core.result(WEB)
    process.kill()
    process.wait()
    live.until(lambda: live.core is not None and live.core.result(WEB) is not seen, "the end of the process is seen")


def test_an_image_that_another_process_loaded_is_taken_up_at_once(live: Live) -> None:
    live.write("web.yaml", pod("web").replace("busybox:1", "busybox:9\n    imagePullPolicy: Never"))
    live.until(lambda: live.core is not None and live.core.result(WEB) is not None, "the first look")
    assert not live.engine.running(WEB)
    live.engine.images["busybox:9"] = ImageState(ImageStatus.PRESENT, id="sha256:9")
    index = live.layout.images / "index"
    (index / ".new").write_text("{}")
    (index / ".new").rename(index / "9.json")
    live.until_runs(WEB)
