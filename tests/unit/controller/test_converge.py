"""apply, diff, down and status, with real files and threads and the engine in memory."""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from reconciler.controller import converge, looking
from reconciler.controller.converge import Report
from reconciler.controller.lock import claim
from reconciler.engine.files import write_atomic
from reconciler.engine.layout import Layout
from reconciler.model.clock import SystemClock
from reconciler.model.errors import Busy, InvalidInput, TryLater
from reconciler.model.observed import Problem
from reconciler.model.probe import Handler, Outcome, Verdict
from reconciler.sources.directory import DirectorySource
from reconciler.sources.suspended import Suspensions
from tests.fakes.engine import FakeEngine
from tests.slowness import seconds
from tests.unit.sources.manifests import BROKEN, key, pod

WEB, DB = key("web"), key("db")


PROBED = """
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
  - {name: a, image: "busybox:1", readinessProbe: {exec: {command: [x]}, periodSeconds: 1}}
"""


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + seconds(20)
    while not condition():
        assert time.monotonic() < end
        select.select([], [], [], 0.01)


def fd_infos() -> Iterator[str]:
    for info in Path("/proc/self/fdinfo").glob("*"):
        with suppress(OSError):  # it may be closed meanwhile
            yield info.read_text()


class Commands:
    """One root, one folder, an engine; each command opens its sources anew, as a process would."""

    def __init__(self, place: Path) -> None:
        self.folder = place / "manifests"
        self.folder.mkdir()
        self.layout = Layout.at(place / "root")
        self.layout.make()
        self.suspensions = Suspensions(self.layout.suspended)
        self.engine = FakeEngine(SystemClock())  # type: ignore[arg-type]  # time goes by itself here

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def sources(self, *, prune: bool = False) -> list[DirectorySource]:
        return converge.open_sources([self.folder], self.layout, settle=0.2, prune=prune)

    def apply(self, *, wait: bool = True, timeout: float | None = 20, prune: bool = False) -> Report:
        return converge.apply(self.engine, self.sources(prune=prune), layout=self.layout, wait=wait, timeout=timeout)

    def diff(self) -> dict[str, tuple[str, ...]]:
        found = looking.diff(self.engine, self.sources(), suspensions=self.suspensions)
        return {str(d.key): (*(["suspended"] if d.suspended else []), *d.actions, *d.waiting) for d in found}

    def status(self) -> list[tuple[str, str, str]]:
        rows = looking.status(self.engine, self.sources(), suspensions=self.suspensions)
        return [(Path(row.file).name, row.state, "; ".join(row.problems)) for row in rows]


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Commands]:
    commands = Commands(tmp_path)
    commands.write("web.yaml", pod("web", "a", "b"))
    yield commands
    assert commands.engine.listeners == []


class TestApply:
    def test_ends_when_everything_runs(self, commands: Commands) -> None:
        report = commands.apply()
        assert report.ok
        assert set(commands.engine.running(WEB)) == {"a", "b"}
        assert report.steps > 0
        assert commands.apply().steps == 0

    def test_finishes_a_replacement_without_waiting_for_more(self, commands: Commands) -> None:
        commands.apply()
        commands.engine.deaf.add("a")
        commands.write("web.yaml", pod("web", "a", "b", command="sleep 7"))
        report = commands.apply(wait=False)
        assert report.ok
        assert commands.engine.container(WEB, "a").spec.command == ("sleep", "7")

    def test_removes_what_is_gone_when_the_folder_is_quiet(self, commands: Commands) -> None:
        commands.write("db.yaml", pod("db"))
        commands.apply()
        (commands.folder / "db.yaml").unlink()
        assert commands.apply().ok
        assert commands.engine.keys() == (WEB,)

    def test_names_what_is_not_ready_and_why_when_the_time_is_over(self, commands: Commands) -> None:
        commands.engine.unknown_images.add("busybox:1")
        report = commands.apply(timeout=2)
        assert not report.ok
        assert report.timed_out
        assert "manifest unknown" in " ".join(report.rows[0].why)

    def test_without_wait_an_image_that_cannot_be_had_is_the_end(self, commands: Commands) -> None:
        commands.engine.unknown_images.add("busybox:1")
        report = commands.apply(wait=False)
        assert not report.ok
        assert not report.timed_out
        assert "manifest unknown" in " ".join(report.rows[0].why)

    def test_a_container_that_failed_for_good_ends_the_waiting(self, commands: Commands) -> None:
        commands.write("web.yaml", pod("web", "a").replace("spec:", "spec:\n  restartPolicy: Never"))
        commands.apply()
        commands.engine.exit(WEB, "a", 3)
        report = commands.apply(timeout=20)
        assert not report.ok
        assert not report.timed_out
        assert "a" in report.rows[0].why[0]

    def test_a_container_that_succeeded_for_good_is_as_wanted(self, commands: Commands) -> None:
        commands.write("web.yaml", pod("web", "a").replace("spec:", "spec:\n  restartPolicy: Never"))
        commands.apply()
        commands.engine.exit(WEB, "a", 0)
        assert commands.apply().ok

    def test_waits_until_all_is_ready_by_its_own_asking(self, commands: Commands) -> None:
        answers = iter((False, False, True))
        commands.engine.probing = lambda _handler: Outcome(next(answers, True))
        commands.write("web.yaml", PROBED)
        report = commands.apply()
        assert report.ok and [row.why for row in report.rows] == [()]
        assert next(answers, None) is None

    def test_is_content_with_what_runs_where_nobody_waits(self, commands: Commands) -> None:
        commands.engine.probing = lambda _handler: Outcome(False, "not yet")
        commands.write("web.yaml", PROBED)
        assert commands.apply(wait=False).ok
        late = commands.apply(timeout=2)
        assert not late.ok and late.timed_out
        assert late.rows[0].why == ("container a: its readiness probe has not passed",)

    def test_leaves_the_asking_to_a_controller_and_hears_what_it_finds(self, commands: Commands) -> None:
        asked: list[Handler] = []
        commands.engine.probing = lambda handler: asked.append(handler) or Outcome(False)  # type: ignore[func-returns-value]
        commands.write("web.yaml", PROBED)
        here = f"ino:{commands.layout.verdicts.stat().st_ino:x} "

        def find() -> None:
            until(lambda: any(here in text for text in fd_infos()))
            until(lambda: bool(commands.engine.running(WEB)))
            web = commands.engine.container(WEB, "a")
            commands.engine.note_verdict(web.id, web.started, Verdict())
            write_atomic(commands.layout.verdicts / web.id, b"{}")

        controller = threading.Thread(target=find)
        ids = [source.id for source in commands.sources()]
        with claim(commands.layout.controller_lock, [str(commands.folder)], ids):
            controller.start()
            assert commands.apply().ok
        controller.join()
        assert asked == []

    def test_a_broken_file_is_told_and_stops_nothing(self, commands: Commands) -> None:
        commands.apply()
        commands.write("web.yaml", BROKEN)
        commands.write("db.yaml", pod("db"))
        report = commands.apply()
        assert not report.ok
        assert not report.timed_out
        assert any(p.path.endswith("web.yaml") for p in report.problems)
        assert {DB: True, WEB: False}.items() <= {row.key: row.converged for row in report.rows}.items()
        assert set(commands.engine.running(WEB)) == {"a", "b"}

    def test_the_guard_asks_for_a_yes(self, commands: Commands) -> None:
        for number in range(5):
            commands.write(f"p{number}.yaml", pod(f"p{number}"))
        commands.apply()
        for number in range(5):
            (commands.folder / f"p{number}.yaml").unlink()
        report = commands.apply()
        assert not report.ok
        assert "--yes-prune" in " ".join(why for row in report.rows for why in row.why)
        assert len(commands.engine.keys()) == 6
        assert commands.apply(prune=True).ok
        assert commands.engine.keys() == (WEB,)

    def test_two_pods_that_swap_ports_are_done_when_both_have_them(self, commands: Commands) -> None:
        def ports(number: int) -> str:
            return f"[{{containerPort: 80, hostPort: {number}}}]"

        for one, two in ((8080, 8081), (8081, 8080)):
            commands.write("web.yaml", pod("web", ports=ports(one)))
            commands.write("db.yaml", pod("db", ports=ports(two)))
            assert commands.apply().ok
        assert commands.apply().steps == 0


class TestDiff:
    def test_says_nothing_when_nothing_would_be_done(self, commands: Commands) -> None:
        commands.apply()
        assert commands.diff() == {}

    def test_names_the_change_of_one_member(self, commands: Commands) -> None:
        commands.apply()
        commands.write("web.yaml", pod("web", "a", "b").replace('"100"', '"7"', 1))
        (told,) = commands.diff().values()
        assert len(told) == 1
        assert told[0].startswith("replace container a because")

    def test_says_that_a_pod_is_recreated_and_what_goes_with_it(self, commands: Commands) -> None:
        volume = "spec:\n  volumes: [{name: data, emptyDir: {}}]"
        commands.write("web.yaml", pod("web", "a", "b").replace("spec:", volume))
        commands.apply()
        commands.write("web.yaml", pod("web", "a", "b").replace("spec:", f"{volume}\n  hostNetwork: true"))
        (told,) = commands.diff().values()
        assert told[0].startswith("recreate pod default/web because")
        assert "emptyDir" in told[0]

    def test_changes_nothing_not_even_its_own_notes(self, commands: Commands) -> None:
        commands.diff()
        assert commands.engine.performed == []
        assert commands.engine.emitted == []
        assert not (commands.layout.state / "sources").exists()


class TestDown:
    def test_removes_what_the_folder_owns_even_if_its_files_are_broken(self, commands: Commands) -> None:
        commands.apply()
        commands.write("web.yaml", BROKEN)
        report = converge.down(commands.engine, commands.sources(), layout=commands.layout, timeout=20)
        assert report.ok
        assert commands.engine.keys() == ()

    def test_leaves_the_pods_of_others(self, commands: Commands, tmp_path: Path) -> None:
        commands.apply()
        other = tmp_path / "other"
        other.mkdir()
        (other / "db.yaml").write_text(pod("db"))
        sources = converge.open_sources([other], commands.layout, settle=0.2)
        assert converge.apply(commands.engine, sources, layout=commands.layout, wait=True, timeout=20).ok
        converge.down(commands.engine, commands.sources(), layout=commands.layout, timeout=20)
        assert commands.engine.keys() == (DB,)

    def test_works_for_a_folder_that_is_gone(self, commands: Commands) -> None:
        commands.apply()
        (commands.folder / "web.yaml").unlink()
        commands.folder.rmdir()
        report = converge.down(commands.engine, commands.sources(), layout=commands.layout, timeout=20)
        assert report.ok
        assert commands.engine.keys() == ()

    def test_is_refused_while_a_controller_watches_the_folder(self, commands: Commands) -> None:
        sources = commands.sources()
        with (
            claim(commands.layout.controller_lock, ["x"], [sources[0].id]),
            pytest.raises(Busy, match=r"cannot take down .*: controller \(pid \d+\) watches it"),
        ):
            converge.down(commands.engine, sources, layout=commands.layout)


def test_a_pod_that_never_goes_is_given_up_by_who_erases_it_anyway(commands: Commands) -> None:
    commands.apply()

    def perform(*_: object) -> None:
        raise TryLater("cannot stop it")

    commands.engine.perform = perform  # type: ignore[method-assign]
    report = converge.down_all(commands.engine, layout=commands.layout, timeout=30, tries=2)
    assert not report.timed_out
    assert [(row.converged, row.why) for row in report.rows] == [(False, ("cannot stop it",))]


class TestStatus:
    def test_from_new_to_converged(self, commands: Commands) -> None:
        assert commands.status()[0][:2] == ("web.yaml", "Converging")
        commands.apply()
        assert commands.status() == [("web.yaml", "Converged", "")]

    def test_names_what_is_wrong_with_a_file_and_with_a_pod(self, commands: Commands) -> None:
        commands.engine.judge = lambda spec: (Problem("Bad", "it cannot run here"),) if spec.key == DB else ()
        commands.write("bad.yaml", BROKEN)
        commands.write("db.yaml", pod("db"))
        commands.apply(wait=False)
        rows = {name: (state, problem) for name, state, problem in commands.status()}
        assert rows["web.yaml"] == ("Converged", "")
        assert rows["bad.yaml"][0] == "Error"
        assert "bad.yaml:" in rows["bad.yaml"][1]
        assert rows["db.yaml"][0] == "Error"
        assert "it cannot run here" in rows["db.yaml"][1]

    def test_what_failed_for_good_is_an_error_and_not_on_its_way(self, commands: Commands) -> None:
        commands.write("web.yaml", pod("web", "a", "b").replace("spec:", "spec:\n  restartPolicy: Never"))
        commands.apply()
        commands.engine.exit(WEB, "a", 0)
        assert commands.status() == [("web.yaml", "Converged", "")]
        commands.engine.exit(WEB, "b", 7)
        assert commands.status() == [("web.yaml", "Error", "default/web: container b: exited with code 7")]

    def test_shows_what_is_kept_although_its_file_is_gone(self, commands: Commands) -> None:
        commands.write("db.yaml", pod("db"))
        commands.apply()
        (commands.folder / "db.yaml").unlink()
        commands.write("new.yaml", BROKEN)
        rows = {name: (state, problem) for name, state, problem in commands.status()}
        assert rows["db.yaml"][0] == "Held"
        assert "new.yaml" in rows["db.yaml"][1]

    def test_the_loser_of_two_claimants_is_an_error(self, commands: Commands) -> None:
        commands.apply()
        commands.write("also.yaml", pod("web", "x"))
        rows = {name: (state, problem) for name, state, problem in commands.status()}
        assert rows["web.yaml"][0] == "Converged"
        assert rows["also.yaml"][0] == "Error"
        assert "web.yaml" in rows["also.yaml"][1]

    def test_a_folder_that_is_gone_is_a_row(self, commands: Commands) -> None:
        commands.apply()
        (commands.folder / "web.yaml").unlink()
        commands.folder.rmdir()
        rows = looking.status(commands.engine, commands.sources())
        assert rows[0].state == "Error"
        assert "no such file" in rows[0].problems[0]


def test_a_path_that_never_was_is_refused(commands: Commands) -> None:
    with pytest.raises(InvalidInput, match="no such file"):
        converge.open_sources([commands.folder / "nothing"], commands.layout)


class TestSuspended:
    @pytest.fixture(autouse=True)
    def suspended(self, commands: Commands) -> None:
        commands.apply()
        commands.suspensions.suspend(WEB, 1.0)

    def test_apply_leaves_it_alone_and_says_so_without_waiting(self, commands: Commands) -> None:
        commands.write("web.yaml", pod("web", "a"))
        commands.write("db.yaml", pod("db"))
        report = commands.apply(timeout=None)
        assert {row.key: (row.converged, row.why) for row in report.rows} == {
            DB: (True, ()),
            WEB: (False, ("it is suspended: `reconciler resume web` takes it up again",)),
        }
        assert set(commands.engine.running(WEB)) == {"a", "b"}

    def test_one_that_is_as_wanted_is_no_complaint(self, commands: Commands) -> None:
        report = commands.apply()
        assert (report.ok, report.steps) == (True, 0)

    def test_one_that_has_ended_is_not_as_wanted(self, commands: Commands) -> None:
        commands.engine.exit(WEB, "a", 0)
        report = commands.apply(timeout=None)
        assert (report.ok, report.steps) == (False, 0)

    def test_diff_says_so_and_what_resuming_it_would_do(self, commands: Commands) -> None:
        assert commands.diff() == {"default/web": ("suspended",)}
        commands.write("web.yaml", pod("web", "a", "b", command="sleep 7"))
        flag, *rest = commands.diff()["default/web"]
        assert flag == "suspended"
        assert any("replace container a because command changed" in sentence for sentence in rest)

    def test_status_says_so(self, commands: Commands) -> None:
        told = "default/web: it is suspended: `reconciler resume web` takes it up again"
        assert commands.status() == [("web.yaml", "Suspended", told)]
        (commands.folder / "web.yaml").unlink()
        assert commands.status() == [("web.yaml", "Suspended", told.removeprefix("default/web: "))]

    def test_an_error_is_worse(self, commands: Commands) -> None:
        bad = pod("bad").replace("command:", "comand:")
        commands.write("web.yaml", f"{pod('web', 'a', 'b')}---\n{bad}")
        ((_, state, told),) = commands.status()
        assert state == "Error"
        assert "comand" in told
        assert "suspended" in told

    def test_down_removes_it_and_the_word_about_it(self, commands: Commands) -> None:
        report = converge.down(commands.engine, commands.sources(), layout=commands.layout, timeout=20)
        assert report.ok
        assert commands.engine.keys() == ()
        assert commands.suspensions.keys() == set()
        assert commands.apply().ok
        assert set(commands.engine.running(WEB)) == {"a", "b"}

    def test_down_takes_the_word_back_before_it_removes_anything(self, commands: Commands) -> None:
        held = []
        converge.down(
            commands.engine,
            commands.sources(),
            layout=commands.layout,
            timeout=20,
            on_progress=lambda *_: held.append(commands.suspensions.keys()),
        )
        assert held
        assert not any(held)
