"""What a folder says of a key, after this or that was done to it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.model.desired import Absent, Desired, Present, Unknown
from reconciler.model.key import Key
from reconciler.sources.directory import DirectorySource, FileSource
from tests.fakes.clock import FakeClock
from tests.unit.sources.manifests import BROKEN, key, pod, pods


class Folder:
    """A real directory, a clock held in the hand (far from the files' change times), and a source over both."""

    def __init__(self, place: Path, names: tuple[str, ...], *, prune: bool = False) -> None:
        self.place = place
        self.path = place / "manifests"
        self.path.mkdir()
        self.clock = FakeClock()
        for name in names:
            self.write(f"{name}.yaml", pod(name, "a", "b"))
        self.source = self.open(prune=prune)
        self.source.adopt([key(name) for name in names])
        self.source.scan()
        self.clock.advance(100)

    def open(self, *, prune: bool = False) -> DirectorySource:
        return DirectorySource(self.path, clock=self.clock, memory_dir=self.place / "memory", prune=prune)

    def write(self, name: str, text: str) -> None:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def now(self, name: str) -> Desired:
        """Right after the event that told of the change."""
        self.source.touched()
        self.source.scan()
        return self.source.resolve(key(name)).desired

    def settled(self, name: str) -> Desired:
        """After as much time as anybody would wait."""
        self.now(name)
        for _ in range(3):
            self.clock.advance(3)
            answer = self.source.resolve(key(name))
        return answer.desired


Change = Callable[[Folder], object]


def _rm(name: str) -> Change:
    return lambda f: (f.path / name).unlink()


def _write(name: str, text: str) -> Change:
    return lambda f: f.write(name, text)


def _both(*changes: Change) -> Change:
    return lambda f: [change(f) for change in changes]


def _replace_directory(names: tuple[str, ...]) -> Change:
    def change(f: Folder) -> None:
        f.path.rename(f.place / "old")
        f.path.mkdir()
        for name in names:
            f.write(f"{name}.yaml", pod(name, "a", "b"))

    return change


def _instead(f: Folder, make: Callable[[Path], object]) -> None:
    (f.path / "web.yaml").unlink()
    make(f.path / "web.yaml")


STAYS = {
    "its file is broken": _write("web.yaml", BROKEN),
    "its file is half of what it was": lambda f: f.write("web.yaml", pod("web", "a", "b")[:70]),
    "its file has an unknown field": _write("web.yaml", pod("web", "a").replace("spec:", "spec:\n  bogus: 1")),
    "its file is not UTF-8": lambda f: (f.path / "web.yaml").write_bytes(b"\xff\xfe\x00"),
    "its file is empty but another file is new and broken": _both(_rm("web.yaml"), _write("new.yaml", BROKEN)),
    "its file is a link that leads nowhere": lambda f: _instead(f, lambda file: file.symlink_to("nowhere")),
    "its file became a FIFO": lambda f: _instead(f, os.mkfifo),
    "its file became larger than a manifest may be": lambda f: os.truncate(f.path / "web.yaml", 11 << 20),
    "the directory is gone": lambda f: shutil.rmtree(f.path),
    "the directory was renamed": lambda f: f.path.rename(f.place / "elsewhere"),
    "the directory became a file": lambda f: (shutil.rmtree(f.path), f.path.write_text("x")),
    "the directory was replaced by an empty one": _replace_directory(()),
    "the directory was replaced by one without it": _replace_directory(("db",)),
}


@pytest.mark.parametrize("change", STAYS.values(), ids=STAYS.keys())
def test_a_pod_is_never_given_up_when(change: Change, tmp_path: Path) -> None:
    folder = Folder(tmp_path, ("web", "db"))
    change(folder)
    assert isinstance(folder.now("web"), Unknown)
    assert isinstance(folder.settled("web"), Unknown)


def test_a_removed_file_is_believed_after_two_quiet_seconds(tmp_path: Path) -> None:
    folder = Folder(tmp_path, ("web", "db"))
    (folder.path / "web.yaml").unlink()
    assert isinstance(folder.now("web"), Unknown)
    folder.clock.advance(1.9)
    assert isinstance(folder.source.resolve(key("web")).desired, Unknown)
    folder.clock.advance(0.2)
    assert folder.source.resolve(key("web")).desired == Absent("its manifest web.yaml was removed")
    assert isinstance(folder.source.resolve(key("db")).desired, Present)


def test_each_event_puts_the_removal_off(tmp_path: Path) -> None:
    folder = Folder(tmp_path, ("web", "db"))
    (folder.path / "web.yaml").unlink()
    folder.now("web")
    for _ in range(5):
        folder.clock.advance(1.5)
        folder.source.touched()
        folder.source.scan()
        assert isinstance(folder.source.resolve(key("web")).desired, Unknown)


def test_the_files_are_read_again_before_a_removal(tmp_path: Path) -> None:
    """Nobody told us that the file came back: the last look does."""
    folder = Folder(tmp_path, ("web", "db"))
    (folder.path / "web.yaml").unlink()
    folder.now("web")
    folder.write("web.yaml", pod("web", "a", "b"))
    folder.clock.advance(5)
    assert isinstance(folder.source.resolve(key("web")).desired, Present)


def test_the_last_file_of_a_small_folder_may_go(tmp_path: Path) -> None:
    folder = Folder(tmp_path, ("web",))
    (folder.path / "web.yaml").unlink()
    assert isinstance(folder.settled("web"), Absent)


def test_a_file_whose_pod_was_taken_out_of_it(tmp_path: Path) -> None:
    folder = Folder(tmp_path, ("web", "db"))
    folder.write("web.yaml", "# nothing left\n")
    assert isinstance(folder.now("web"), Unknown)
    assert isinstance(folder.settled("web"), Absent)


def test_a_removed_member_waits_until_the_folder_is_quiet_and_an_edit_does_not(tmp_path: Path) -> None:
    folder = Folder(tmp_path, ("web",))
    folder.write("web.yaml", pod("web", "a", command="sleep 7"))
    want = folder.now("web")
    assert isinstance(want, Present)
    assert [c.name for c in want.spec.containers] == ["a"]
    assert not want.settled
    want = folder.settled("web")
    assert isinstance(want, Present)
    assert want.settled


def test_a_git_operation_under_way_holds_removals(tmp_path: Path) -> None:
    folder = Folder(tmp_path, ("web", "db"))
    lock = folder.path / ".git" / "index.lock"
    lock.parent.mkdir()
    lock.touch()
    (folder.path / "web.yaml").unlink()
    want = folder.settled("web")
    assert isinstance(want, Unknown)
    assert str(lock) in want.why
    again = folder.source.resolve(key("web")).again_at
    assert again is not None
    assert again > folder.clock.now(), "no busy loop while git works"
    lock.unlink()
    assert isinstance(folder.settled("web"), Absent)


def test_the_guard_holds_more_than_half_of_more_than_three(tmp_path: Path) -> None:
    names = ("a", "b", "c", "d")
    folder = Folder(tmp_path, names)
    for name in names[:3]:
        (folder.path / f"{name}.yaml").unlink()
    want = folder.settled("a")
    assert isinstance(want, Unknown)
    assert "3 of 4 pods" in want.why
    assert "--yes-prune" in want.why
    folder.source.prune = True
    assert isinstance(folder.settled("a"), Absent)


@pytest.mark.parametrize(("pods_before", "removed"), [(3, 3), (4, 2), (10, 5)])
def test_the_guard_lets_pass(pods_before: int, removed: int, tmp_path: Path) -> None:
    names = tuple(f"p{n}" for n in range(pods_before))
    folder = Folder(tmp_path, names)
    for name in names[:removed]:
        (folder.path / f"{name}.yaml").unlink()
    assert all(isinstance(folder.settled(name), Absent) for name in names[:removed])


def test_what_the_guard_let_pass_stays_decided_while_it_goes(tmp_path: Path) -> None:
    names = ("a", "b", "c", "d")
    folder = Folder(tmp_path, names)
    for name in ("a", "b"):
        (folder.path / f"{name}.yaml").unlink()
    assert isinstance(folder.settled("a"), Absent)
    assert isinstance(folder.settled("b"), Absent)
    folder.source.disown(key("a"))
    (folder.path / "c.yaml").unlink()
    assert isinstance(folder.settled("b"), Absent)


def test_a_renamed_file_is_the_same_pod(tmp_path: Path) -> None:
    folder = Folder(tmp_path, ("web", "db"))
    (folder.path / "web.yaml").rename(folder.path / "www.yaml")
    assert isinstance(folder.now("web"), Present)
    assert folder.source.path_of(key("web")) == str(folder.path / "www.yaml")


def test_a_directory_replaced_by_a_complete_one_is_the_directory_from_then_on(tmp_path: Path) -> None:
    folder = Folder(tmp_path, ("web", "db"))
    _replace_directory(("web", "db"))(folder)
    assert isinstance(folder.now("web"), Present)
    (folder.path / "web.yaml").unlink()
    assert isinstance(folder.settled("web"), Absent)


def test_prune_means_the_other_directory_too(tmp_path: Path) -> None:
    folder = Folder(tmp_path, ("web", "db"), prune=True)
    _replace_directory(("db",))(folder)
    assert isinstance(folder.settled("web"), Absent)


def test_a_lasting_broken_file_does_not_hold_what_comes_from_others(tmp_path: Path) -> None:
    folder = Folder(tmp_path, ("web", "db"))
    folder.write("db.yaml", BROKEN)
    (folder.path / "web.yaml").unlink()
    assert isinstance(folder.settled("web"), Absent)
    assert isinstance(folder.settled("db"), Unknown)


def test_a_pod_in_error_keeps_its_siblings_in_the_file_going(tmp_path: Path) -> None:
    folder = Folder(tmp_path, ("web",))
    folder.write("web.yaml", pods(pod("web", "a").replace("image:", "imag:"), pod("db", "a", command="sleep 3")))
    web, db = folder.now("web"), folder.now("db")
    assert isinstance(db, Present)
    assert isinstance(web, Unknown)
    assert "web.yaml:" in web.why
    assert "imag" in web.why


class TestTwoFilesDefineOnePod:
    def test_the_recorded_file_counts_and_the_other_is_told(self, tmp_path: Path) -> None:
        folder = Folder(tmp_path, ("web",))
        folder.write("a.yaml", pod("web", "other"))
        want = folder.now("web")
        assert isinstance(want, Present)
        assert [c.name for c in want.spec.containers] == ["a", "b"]
        assert "a.yaml" in want.problem
        losers = [p for p in folder.source.problems() if p.reason == "DuplicatePod"]
        assert [p.path for p in losers] == [str(folder.path / "a.yaml")]

    def test_the_record_outlives_the_controller(self, tmp_path: Path) -> None:
        folder = Folder(tmp_path, ("web",))
        folder.write("a.yaml", pod("web", "other"))
        folder.source = folder.open()
        folder.source.adopt([key("web")])
        want = folder.now("web")
        assert isinstance(want, Present)
        assert [c.name for c in want.spec.containers] == ["a", "b"]

    def test_without_a_record_the_first_path_counts(self, tmp_path: Path) -> None:
        folder = Folder(tmp_path, ())
        folder.write("b.yaml", pod("web", "second"))
        folder.write("a.yaml", pod("web", "first"))
        want = folder.now("web")
        assert isinstance(want, Present)
        assert [c.name for c in want.spec.containers] == ["first"]

    def test_a_broken_recorded_file_keeps_its_claim(self, tmp_path: Path) -> None:
        folder = Folder(tmp_path, ("web",))
        folder.write("web.yaml", BROKEN)
        folder.write("a.yaml", pod("web", "other"))
        assert isinstance(folder.settled("web"), Unknown)

    def test_the_other_takes_over_when_the_recorded_file_goes(self, tmp_path: Path) -> None:
        folder = Folder(tmp_path, ("web",))
        folder.write("z.yaml", pod("web", "other"))
        folder.now("web")
        (folder.path / "web.yaml").unlink()
        want = folder.now("web")
        assert isinstance(want, Present)
        assert [c.name for c in want.spec.containers] == ["other"]


def test_no_prefix_of_a_good_file_removes_a_pod_or_a_member(tmp_path: Path) -> None:
    """The file is written in place, piece by piece, and each piece is seen."""
    text = pods(pod("web", "a", "b"), pod("db", "c", "d"))
    folder = Folder(tmp_path, ())
    folder.write("both.yaml", text)
    folder.now("web")
    folder.source.adopt([key("web"), key("db")])
    folder.clock.advance(60)
    shorter = 0
    for end in range(len(text)):
        folder.write("both.yaml", text[:end])
        for name, members in (("web", 2), ("db", 2)):
            want = folder.now(name)
            assert not isinstance(want, Absent), text[:end]
            if isinstance(want, Present) and len(want.spec.containers) < members:
                shorter += 1
                assert not want.settled, text[:end]
        folder.clock.advance(1.9)
    assert shorter > 20, "the test must have met prefixes that lack a member"
    folder.write("both.yaml", text)
    assert isinstance(folder.settled("web"), Present)


def test_a_single_file_is_a_source(tmp_path: Path) -> None:
    file = tmp_path / "web.yaml"
    file.write_text(pod("web"))
    clock = FakeClock()
    source = FileSource(file, clock=clock)
    source.adopt([key("web")])
    assert source.id == f"file:{file}"
    assert isinstance(source.resolve(key("web")).desired, Present)
    file.unlink()
    source.scan()
    clock.advance(10)
    assert isinstance(source.resolve(key("web")).desired, Unknown)


def test_a_key_that_nobody_defines_and_nobody_runs(tmp_path: Path) -> None:
    folder = Folder(tmp_path, ("web",))
    assert folder.settled("other") == Absent("no manifest defines it")
    assert key("other") not in set(folder.source.keys())


def test_change_times_in_the_past_need_no_waiting(tmp_path: Path) -> None:
    """A controller that starts long after the last edit believes what it sees."""
    folder = Folder(tmp_path, ("web", "db"))
    (folder.path / "web.yaml").unlink()
    clock = FakeClock(wall=folder.path.stat().st_ctime + 60)
    source = DirectorySource(folder.path, clock=clock, memory_dir=folder.place / "memory")
    source.adopt([key("web"), key("db")])
    assert isinstance(source.resolve(key("web")).desired, Absent)


def test_the_keys_of_a_source(tmp_path: Path) -> None:
    folder = Folder(tmp_path, ("web",))
    folder.write("new.yaml", pod("new"))
    folder.source.own(key("held"))
    folder.source.scan()
    assert folder.source.keys() == {key("web"), key("new"), Key("default", "held")}
