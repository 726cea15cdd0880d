"""`top` and `pod top` on real containers: process ids and users as they are inside, by both runtimes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.model.key import Key
from tests.host.conftest import IMAGE
from tests.host.instance import Instance, fresh_instance, until
from tests.host.manifests import SERVE, Manifest, container, pod, put

pytestmark = pytest.mark.host

Apply = Callable[..., None]

FAMILY = """trap "exit 0" TERM
sleep 1000 &
su -s /bin/sh www-data -c "exec sleep 2000" &
while :; do wait; done"""
"""A shell with a child of its own, and one that is somebody else's."""


@pytest.fixture(params=["crun", "runc"], scope="module")
def there(request: pytest.FixtureRequest, loaded_images: Path) -> Iterator[Instance]:
    with fresh_instance(loaded_images, "--runtime", request.param) as instance:
        yield instance


@pytest.fixture
def apply(there: Instance, folder: Path) -> Iterator[Apply]:
    """Makes pods of one test, which go with it."""

    def made(*manifests: Manifest) -> None:
        put(folder / "pods.yaml", *manifests)
        there.ok("apply", "--wait", "--timeout", 60, folder)

    yield made
    there.ok("down", folder)


def member(name: str, script: str, **fields: object) -> Manifest:
    return container(name, IMAGE, command=["sh", "-c", script], **fields)


def rows(there: Instance, *words: str) -> list[list[str]]:
    """What ``top`` shows below its headings, each line parted at blanks."""
    return [line.split() for line in there.ok("top", *words).splitlines()[1:]]


def family(there: Instance, name: str, *words: str) -> list[list[str]]:
    """The same of a container that runs FAMILY, once all of it is there, by the last word of its commands."""
    shown = until(
        lambda: [r for r in rows(there, name, *words, "args") if r[-1] in ("done", "1000", "2000")], "it runs"
    )
    return shown if len(shown) == 3 else family(there, name, *words)


def test_processes_have_their_own_numbers_users_and_parents(there: Instance, apply: Apply) -> None:
    apply(pod("family", member("app", FAMILY)))
    first, own, other = family(there, "family", "pid,ppid", "user", "ruser", "group", "hpid")
    assert first[:5] == ["1", "0", "root", "root", "root"]
    assert own[1:5] == ["1", "root", "root", "root"]
    assert other[1:5] == ["1", "www-data", "www-data", "www-data"]
    assert 1 < int(own[0]) < int(other[0])
    assert int(first[5]) == there.running("family")["app"].pid
    by_default = there.ok("top", "family/app").splitlines()
    assert by_default[0].split() == ["USER", "PID", "PPID", "%CPU", "ELAPSED", "TTY", "TIME", "COMMAND"]
    assert len(by_default) == 1 + 3
    assert there.ok("top", "--latest", "pid") == there.ok("top", "family", "pid")


def test_users_of_a_pods_own_have_the_names_that_they_have_inside(there: Instance, apply: Apply) -> None:
    apply(pod("nested", member("app", FAMILY), hostUsers=False))
    first, _, other = family(there, "nested", "user", "uid", "huid")
    assert first[:2] == ["root", "0"]
    assert other[:2] == ["www-data", "33"]
    assert int(other[2]) - int(first[2]) == 33, "the range that the pod has of this machine's users"
    assert int(first[2]) >= 65536


def test_a_command_and_its_children_have_parents_of_the_container_only(there: Instance, apply: Apply) -> None:
    apply(pod("busy", member("app", SERVE)))
    command = there.command("exec", "busy/app", "--", "sh", "-c", "sleep 3000; exit 0")
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as running:
        try:
            child, parent = until(lambda: child_and_parent(there, "busy", ["sleep", "3000"]), "the command sleeps")
        finally:
            running.terminate()
    assert parent[:2] == [child[1], "0"], "who runs the command is out there"
    assert child[1] != "1"


def child_and_parent(there: Instance, name: str, command: list[str]) -> tuple[list[str], list[str]] | None:
    """Two lines of ``top``: of the process that runs a command, and of its parent."""
    shown = {row[0]: row for row in rows(there, name, "pid,ppid,args")}
    child = next((row for row in shown.values() if row[2:] == command), None)
    return (child, shown[child[1]]) if child else None


def test_a_pods_processes_are_those_of_all_its_containers(there: Instance, apply: Apply) -> None:
    apply(pod("two", member("a", SERVE), member("b", SERVE), shareProcessNamespace=True))

    def five() -> list[list[str]]:
        """The infra container's, and of each member a shell and what it waits for."""
        told = there.ok("pod", "top", "two", "container", "pid", "ppid", "comm").splitlines()[1:]
        seen = [line.split() for line in told]
        return seen if [row[3] for row in seen].count("sleep") == 2 else []

    shown = until(five, "both wait for their children")
    infra = there.engine.look(Key("default", "two")).sandbox.infra
    assert shown[0] == [infra.name, "1", "0", "catatonit"]
    assert {(row[0], row[3]) for row in shown[1:]} == {("a", "sh"), ("a", "sleep"), ("b", "sh"), ("b", "sleep")}
    shells = {row[0]: row[1] for row in shown if row[3] == "sh"}
    assert {row[0]: row[2] for row in shown if row[3] == "sleep"} == shells, "one namespace: numbers of the pod's"
    assert len({row[1] for row in shown}) == 5


@pytest.mark.parametrize(
    ("trick", "user"),
    [
        pytest.param("ln -sf {file} /etc/passwd", "0", id="a link to a file of the host's"),
        pytest.param("ln -sf ../../../../../../../../..{file} /etc/passwd", "0", id="a link up and out"),
        pytest.param("rm /etc/passwd; mkfifo /etc/passwd", "0", id="a pipe that nobody writes to"),
        pytest.param("echo me:x:0:0:: >/etc/mine; ln -sf /etc/mine /etc/passwd", "me", id="a link within"),
        pytest.param("printf 'a\\033[31mb:x:0:0::' >/etc/passwd", "a^[[31mb", id="a name that steers terminals"),
    ],
)
def test_names_are_the_containers_own_whatever_it_makes_of_them(
    trick: str, user: str, there: Instance, apply: Apply, tmp_path: Path
) -> None:
    passwd = tmp_path / "passwd"
    passwd.write_text("leaked:x:0:0::/:\n")
    apply(pod("sly", member("app", f"{trick.format(file=passwd)}; exec sleep 1000"), terminationGracePeriodSeconds=0))
    until(lambda: rows(there, "sly", "comm") == [["sleep"]], "it has done so")
    assert rows(there, "sly", "user") == [[user]]


def test_what_does_not_run_has_no_processes(there: Instance, apply: Apply) -> None:
    apply(pod("over", member("app", SERVE)))
    until(lambda: "is up" in there.ok("logs", "over/app"), "it hears TERM")
    there.run("exec", "over/app", "--", "sh", "-c", "kill 1")
    until(lambda: there.run("top", "over/app").returncode == 125, "it has ended")
    failed = there.run("top", "over/app")
    assert failed.stderr.startswith("reconciler: cannot show the processes of over/app: the container is exited")
    assert there.run("pod", "top", "nobody").returncode == 125
