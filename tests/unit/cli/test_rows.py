"""What is told of containers and pods, from what was observed of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.cli import resolve, rows
from reconciler.cli.rows import ByHand
from reconciler.model.key import HAND
from reconciler.model.observed import ContainerState, Observed, Sandbox
from reconciler.model.spec import ContainerSpec, PortBinding, RestartPolicy
from tests.unit.cli.pods import WALL, container, pod

PORT = PortBinding(8080, 80)
OLD = container("web", "app", 0, state=ContainerState.EXITED, id_="aa" * 32)
NEW = container("web", "app", 1, id_="bb" * 32)


def web(owner: str = "dir:/etc/pods", **fields: object) -> Observed:
    made = pod("web", OLD, NEW, ports=(PORT,))
    assert made.sandbox is not None
    spec = replace(made.sandbox.applied, labels=(("app", "web"),), **fields)
    return replace(made, sandbox=replace(made.sandbox, applied=spec, owner=owner))


def nothing(_image: str) -> tuple[str, ...]:
    return ()


def test_the_newest_attempt_and_the_infra_container():
    member, infra = rows.of_pod(web(), nothing)
    assert (member.id, member.name, member.state) == ("bb" * 32, "web/app", "running")
    assert (infra.name, infra.infra, infra.command) == ("abababababab-infra", True, ())
    assert infra.image.startswith("localhost/reconciler-pause:")


def test_older_attempts_when_they_are_asked_for():
    assert [row.id[:2] for row in rows.of_pod(web(), nothing, members=web().containers)][:2] == ["aa", "bb"]


@pytest.mark.parametrize(
    ("state", "shown"),
    [(ContainerState.EXITED, ["bb"]), (ContainerState.RUNNING, ["aa", "bb"])],
    ids=["one that has ended is not", "one that makes room for the next is"],
)
def test_whether_an_older_attempt_is_listed(state: ContainerState, shown: list[str]):
    pod = replace(web(), containers=(replace(OLD, state=state), NEW))
    assert [container.id[:2] for container in resolve.listed(pod)] == shown


def test_what_is_the_pods_is_told_of_each_of_its_containers():
    for row in rows.of_pod(web(), nothing):
        assert (row.ports, row.pod, row.pod_name, row.networks) == ((PORT,), "ab" * 32, "web", ("default",))
        assert row.labels == {"app": "web"}


def test_a_container_made_by_hand_has_a_bare_name_and_its_own_labels():
    made = web(HAND)
    (app,) = (replace(NEW, spec=replace(NEW.spec, labels=(("k", "v"),))),)
    member, infra = rows.of_pod(replace(made, containers=(app,)), nothing)
    assert (member.name, member.labels) == ("app", {"k": "v"})
    assert infra.labels == {"app": "web"}


def test_a_container_of_its_own_has_neither_pod_nor_infra_container():
    (row,) = rows.of_pod(web(HAND), nothing, ByHand(solo=True, passing=frozenset({"app"})))
    assert (row.name, row.pod, row.pod_name, row.passing) == ("app", "", "", True)


@pytest.mark.parametrize(
    ("command", "args", "shown"),
    [
        (("sleep",), ("9",), ("sleep", "9")),
        (None, ("9",), ("9",)),
        (None, None, ("nginx", "-g", "daemon off;")),
        ((), (), ("nginx", "-g", "daemon off;")),
    ],
)
def test_the_command_is_the_images_where_the_spec_says_none(command, args, shown):
    plain = replace(NEW, spec=ContainerSpec("app", "nginx", command=command, args=args), image_id="77")
    made = replace(web(), containers=(plain,))
    commands = {"77": ("nginx", "-g", "daemon off;")}
    assert rows.of_pod(made, commands.__getitem__)[0].command == shown


@pytest.mark.parametrize(
    ("state", "paused", "word"),
    [
        (ContainerState.CREATING, False, "created"),
        (ContainerState.CREATED, False, "created"),
        (ContainerState.RUNNING, False, "running"),
        (ContainerState.RUNNING, True, "paused"),
        (ContainerState.EXITED, True, "exited"),
    ],
)
def test_states_in_podmans_words(state, paused, word):
    assert rows.state(replace(NEW, state=state, paused=paused)) == word


@pytest.mark.parametrize(
    ("states", "word"),
    [
        ([], "Created"),
        (["created", "created"], "Created"),
        (["running", "running"], "Running"),
        (["running", "exited"], "Degraded"),
        (["running", "paused"], "Degraded"),
        (["running", "created"], "Degraded"),
        (["paused", "paused"], "Paused"),
        (["paused", "created"], "Created"),
        (["exited", "exited"], "Exited"),
        (["exited", "created"], "Stopped"),
        (["exited", "paused"], "Stopped"),
        (["created", "unknown"], "Error"),
    ],
)
def test_the_status_of_a_pod_as_podman_has_it(states, word):
    assert rows.pod_status(states) == word


def test_a_pod_counts_its_infra_container():
    row = rows.pod_row(web(restart_policy=RestartPolicy.NEVER), nothing)
    assert (row.name, row.status, row.created, len(row.members)) == ("web", "Running", 0.0, 2)
    assert row.infra_id == row.members[-1].id


def test_what_ended_says_how_and_when():
    row = rows.of_pod(replace(web(), containers=(OLD,)), nothing)[0]
    assert (row.state, row.exit_code, row.finished, row.pid) == ("exited", 3, WALL - 60, 0)


def test_a_pod_without_an_infra_container():
    made = web()
    assert isinstance(made.sandbox, Sandbox)
    row = rows.pod_row(replace(made, sandbox=replace(made.sandbox, infra=None)), nothing)
    assert (row.infra_id, len(row.members)) == ("", 1)


@pytest.mark.parametrize(("code", "word"), [(0, "Running"), (1, "Degraded")], ids=["well", "badly"])
def test_an_init_container_that_has_ended(code: int, word: str):
    first = container("web", "first", state=ContainerState.EXITED)
    assert first.exit is not None
    first = replace(first, exit=replace(first.exit, code=code))
    made = pod("web", first, NEW)
    assert made.sandbox is not None
    spec = replace(made.sandbox.applied, init=(first.spec,), containers=(NEW.spec,))
    row = rows.pod_row(replace(made, sandbox=replace(made.sandbox, applied=spec)), nothing)
    assert (row.status, len(row.members)) == (word, 3)
