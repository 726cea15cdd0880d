"""Removals are careful: what git, rsync, mv and umount do to a folder under a live controller.

Whatever is the same before and after keeps its processes; what is gone for good goes when the folder is quiet; and
where nobody can be sure that it is meant, nothing goes. The first part is about noticing (pods in memory, a short
settle time), the last has real containers and the real time.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.model.actions import RemoveSandbox
from reconciler.model.key import ContainerId, Key
from reconciler.model.observed import PidRef
from tests.host.instance import Instance, until
from tests.host.live import Live, git_in
from tests.host.manifests import container, put
from tests.host.manifests import pod as manifest
from tests.unit.sources.manifests import key, pod

pytestmark = pytest.mark.host

WEB, DB, NEW = key("web"), key("db"), key("new")

Start = Callable[..., Live]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a controller over ``tmp_path/manifests``, or what else it is given."""
    begun: list[Live] = []

    def begin(folder: Path | None = None, **options: float | bool) -> Live:
        place = folder or tmp_path / "manifests"
        place.mkdir(exist_ok=True)
        begun.append(Live(place, tmp_path / "root", **options))  # type: ignore[arg-type]
        begun[-1].start()
        return begun[-1]

    yield begin
    for live in begun:
        live.stop()


def run(*words: str | Path) -> None:
    subprocess.run(words, check=True, timeout=60, capture_output=True)


def fill(directory: Path, **commands: str) -> None:
    """A file for each pod, by name."""
    directory.mkdir(exist_ok=True)
    for name, command in commands.items():
        (directory / f"{name}.yaml").write_text(pod(name, command=command))


def begun(live: Live, *which: Key) -> dict[str, ContainerId]:
    """What runs of these pods, once they do."""
    found = {}
    for one in which:
        live.until(lambda one=one: bool(live.engine.running(one)), f"{one} runs")  # type: ignore[misc]
        found |= {f"{one}/{name}": id_ for name, id_ in live.engine.running(one).items()}
    return found


def removals(live: Live) -> int:
    return sum(isinstance(action, RemoveSandbox) for action in live.engine.performed)


# --- git ---------------------------------------------------------------------------------------------------------


def test_git_pull(start: Start, tmp_path: Path) -> None:
    author, live = tmp_path / "author", None
    fill(author, web="sleep 1", db="sleep 1", keep="sleep 1", moved="sleep 1")
    git = git_in(author)
    git("init")
    git("add", ".")
    git("commit", "-m", "one")
    git("clone", "--bare", author, tmp_path / "bare.git")
    git("remote", "add", "origin", tmp_path / "bare.git")
    git("clone", tmp_path / "bare.git", tmp_path / "manifests")
    live = start()
    same = begun(live, key("keep"), key("moved"))
    begun(live, WEB, DB)
    fill(author, web="sleep 2", new="sleep 1")
    git("rm", "-q", "db.yaml")
    git("mv", "moved.yaml", "renamed.yaml")
    git("add", ".")
    git("commit", "-m", "two")
    git("push", "origin", "main")
    git_in(live.folder)("pull", "--ff-only")
    live.until_runs(WEB, "sleep 2")
    live.until_runs(NEW, "sleep 1")
    live.until_gone(DB)
    assert begun(live, key("keep"), key("moved")) == same
    assert removals(live) == 1


def test_while_git_is_at_work_nothing_is_removed(start: Start, tmp_path: Path) -> None:
    fill(tmp_path / "manifests", web="sleep 1", db="sleep 1")
    git_in(tmp_path / "manifests")("init")
    live = start()
    begun(live, WEB, DB)
    lock = live.folder / ".git/index.lock"
    lock.touch()
    (live.folder / "db.yaml").unlink()
    live.until(lambda: live.is_held(DB, "a git operation is under way"), "it waits for git")
    assert live.core
    told = live.core.result(DB)
    live.write("web.yaml", pod("web", command="sleep 2"))
    live.until_runs(WEB, "sleep 2")
    # the next look comes when the folder has been quiet for long enough, but for the lock
    live.until(lambda: live.core is not None and live.core.result(DB) is not told, "it is looked at again")
    assert live.is_held(DB, "a git operation is under way") and live.engine.running(DB)
    lock.unlink()
    live.until_gone(DB)


# --- other tools -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["--delete", "--delete-before", "--inplace", "--delay-updates"])
def test_rsync(how: str, start: Start, tmp_path: Path) -> None:
    source = tmp_path / "source"
    fill(source, web="sleep 1", db="sleep 1", keep="sleep 1")
    live = start()
    words = ["rsync", "--archive", "--delete", how, f"{source}/", f"{live.folder}/"]
    run(*words)
    same = begun(live, key("keep"))
    begun(live, WEB, DB)
    fill(source, web="sleep 22", new="sleep 1")
    (source / "db.yaml").unlink()
    run(*words)
    live.until_runs(WEB, "sleep 22")
    live.until_runs(NEW, "sleep 1")
    live.until_gone(DB)
    assert begun(live, key("keep")) == same
    assert removals(live) == 1


def test_mv_of_files_and_of_directories_within_the_folder(start: Start, tmp_path: Path) -> None:
    fill(tmp_path / "manifests", web="sleep 1", db="sleep 1", last="sleep 1")
    live = start()
    same = begun(live, WEB, DB)
    begun(live, key("last"))
    (live.folder / "a").mkdir()
    run("mv", live.folder / "web.yaml", live.folder / "db.yaml", live.folder / "a")
    run("mv", live.folder / "a", live.folder / "b")
    run("mv", live.folder / "b" / "web.yaml", live.folder / "www.yml")
    (live.folder / "last.yaml").unlink()
    live.until_gone(key("last"))
    assert begun(live, WEB, DB) == same
    assert removals(live) == 1


def test_mv_of_the_folder_away_and_back(start: Start, tmp_path: Path) -> None:
    fill(tmp_path / "manifests", web="sleep 1", db="sleep 1")
    live = start()
    same = begun(live, WEB, DB)
    run("mv", live.folder, tmp_path / "elsewhere")
    live.until(lambda: live.is_held(WEB, "cannot read directory"), "the loss is seen")
    run("mv", tmp_path / "elsewhere", live.folder)
    live.write("new.yaml", pod("new"))
    begun(live, NEW)
    assert begun(live, WEB, DB) == same
    (live.folder / "db.yaml").unlink()
    live.until_gone(DB)
    assert removals(live) == 1


def test_an_editor_that_truncates_and_saves_in_two_goes(start: Start, tmp_path: Path) -> None:
    """An empty file is a valid one that defines nothing."""
    fill(tmp_path / "manifests", web="sleep 1")
    live = start(settle=60.0)
    begun(live, WEB)
    (live.folder / "web.yaml").write_text("")
    live.until(lambda: live.is_held(WEB, "waiting until it is quiet"), "the empty file is seen")
    (live.folder / "web.yaml").write_text(pod("web", command="sleep 2"))
    live.until_runs(WEB, "sleep 2")
    assert removals(live) == 0


# --- folders that are not what they were -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_an_unmounted_folder(kind: str, start: Start, tmp_path: Path) -> None:
    """What lies below it is another directory, empty but for what somebody puts there. Of a mount that comes, and
    of a bind mount that goes, inotify tells nothing: the resync notices it."""
    folder = tmp_path / "manifests"
    folder.mkdir()
    (tmp_path / "disk").mkdir()
    mount = ["mount", "-t", "tmpfs", "tmpfs"] if kind == "tmpfs" else ["mount", "--bind", tmp_path / "disk"]
    run(*mount, folder)
    try:
        fill(folder, web="sleep 1", db="sleep 1")
        live = start(resync=0.2)
        same = begun(live, WEB, DB)
        run("umount", folder)
        live.until(lambda: live.is_held(DB, "is not the directory it was"), "the loss is seen")
        live.write("new.yaml", pod("new"))
        begun(live, NEW)
        run(*mount, folder)
        fill(folder, web="sleep 2", db="sleep 1")
        live.until_runs(WEB, "sleep 2")
        assert begun(live, DB).items() <= same.items()
        assert removals(live) == 0
    finally:
        run("umount", "--lazy", folder)


def test_a_link_to_another_directory(start: Start, tmp_path: Path) -> None:
    """As deployment tools switch releases."""
    fill(tmp_path / "v1", web="sleep 1", db="sleep 1")
    fill(tmp_path / "v2", web="sleep 2")
    (tmp_path / "manifests").symlink_to("v1")
    live = start()
    same = begun(live, DB)
    begun(live, WEB)
    (tmp_path / "next").symlink_to("v2")
    run("mv", "--no-target-directory", tmp_path / "next", live.folder)
    live.until_runs(WEB, "sleep 2")
    live.until(lambda: live.is_held(DB, "is not the directory it was"), "the other directory is seen")
    shutil.rmtree(tmp_path / "v1")
    live.write("new.yaml", pod("new"))
    begun(live, NEW)
    assert begun(live, DB) == same


def test_an_emptied_folder_is_guarded_until_somebody_says_yes(start: Start, tmp_path: Path) -> None:
    names = [f"pod{number}" for number in range(4)]
    fill(tmp_path / "manifests", **dict.fromkeys(names, "sleep 1"))
    live = start(settle=60.0)
    same = begun(live, *map(key, names))
    for name in names:
        (live.folder / f"{name}.yaml").unlink()
    said = "4 of 4 pods of"
    live.until(lambda: all(live.is_held(key(name), said) for name in names), "the guard holds them")
    assert any(reason == "Held" and "--yes-prune" in text for _, _, reason, text in live.engine.emitted)
    fill(live.folder, pod0="sleep 1", pod1="sleep 1", pod2="sleep 1")
    live.until(lambda: live.is_held(key("pod3"), "waiting until it is quiet"), "one of four may go")
    assert begun(live, *map(key, names)) == same


# --- real containers ---------------------------------------------------------------------------------------------


def all_run(instance: Instance, pods: dict[str, int]) -> dict[str, dict[str, PidRef]]:
    """The processes of pods, by name, once each has so many, its infra container's among them."""
    found: dict[str, dict[str, PidRef]] = {}

    def complete() -> bool:
        found.update({name: instance.running(name) for name in pods})
        return all(len(found[name]) == count for name, count in pods.items())

    until(complete, f"all of {pods} run")
    return found


def is_gone(instance: Instance, name: str) -> bool:
    return key(name) not in set(instance.engine.keys())


def test_git_checkout_with_real_containers(instance: Instance, image: str, folder: Path) -> None:
    git = git_in(folder)
    git("init")
    two = container("two", image)
    put(folder / "web.yaml", manifest("web", container("one", image), two))
    put(folder / "db.yaml", manifest("db", container("one", image)))
    put(folder / "cache.yaml", manifest("cache", container("one", image)))
    git("add", ".")
    git("commit", "-m", "one")
    git("checkout", "-b", "other")
    put(folder / "web.yaml", manifest("web", container("one", image, args=["other"]), two))
    git("rm", "-q", "db.yaml")
    git("mv", "cache.yaml", "renamed.yaml")
    git("commit", "-a", "-m", "two")
    git("checkout", "main")
    instance.watch(folder)
    before = all_run(instance, {"web": 3, "db": 2, "cache": 2})
    git("checkout", "other")
    until(lambda: instance.running("web").get("one") not in (None, before["web"]["one"]), "the edit is taken up")
    until(lambda: is_gone(instance, "db"), "what the branch has not is gone")
    after = all_run(instance, {"web": 3, "cache": 2})
    assert after["cache"] == before["cache"]
    assert {name: after["web"][name] for name in ("infra", "two")} == {n: before["web"][n] for n in ("infra", "two")}
    reasons = [event.reason for event in instance.engine.events(about="default/cache")]
    assert "Killing" not in reasons and "Removed" not in reasons


def test_a_directory_of_all_pods_is_moved_away(instance: Instance, image: str, folder: Path, tmp_path: Path) -> None:
    """Four of four pods: the guard says so and waits, over a restart too, until --yes-prune."""
    names = [f"pod{number}" for number in range(4)]
    (folder / "team").mkdir()
    for name in names:
        put(folder / "team" / f"{name}.yaml", manifest(name, container("one", image), hostNetwork=True))
    instance.watch(folder)
    before = all_run(instance, dict.fromkeys(names, 2))
    run("mv", folder / "team", tmp_path / "away")

    def told() -> set[str]:
        return {e.about for e in instance.engine.events() if e.reason == "Held" and "4 of 4 pods" in e.message}

    until(lambda: told() == {f"default/{name}" for name in names}, "the guard tells of each")
    shown = instance.run("status", folder)
    assert "--yes-prune removes them" in shown.stdout
    assert all_run(instance, dict.fromkeys(names, 2)) == before
    instance.stop_controllers()
    instance.watch("--yes-prune", folder)
    until(lambda: all(is_gone(instance, name) for name in names), "all are removed")
