"""Policies, signals, and what runs in a container."""

from __future__ import annotations

import pytest

from reconciler.engine.containers import signal_number
from reconciler.flags import life
from reconciler.model.errors import InvalidInput
from reconciler.model.spec import PullPolicy, RestartPolicy


@pytest.mark.parametrize(
    ("text", "policy", "retries"),
    [
        (None, None, 0),
        ("no", RestartPolicy.NEVER, 0),
        ("never", RestartPolicy.NEVER, 0),
        ("always", RestartPolicy.ALWAYS, 0),
        ("unless-stopped", RestartPolicy.ALWAYS, 0),
        ("on-failure", RestartPolicy.ON_FAILURE, 0),
        ("on-failure:3", RestartPolicy.ON_FAILURE, 3),
    ],
)
def test_restart(text: str | None, policy: RestartPolicy | None, retries: int) -> None:
    assert life.restart(text) == (policy, retries)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "there is no such policy"),
        ("on-fail", "did you mean on-failure?"),
        ("always:3", "only on-failure is given up"),
        ("on-failure:", "'on-failure:': '': it is not a whole number"),
        ("on-failure:x", "it is not a whole number"),
        ("on-failure:-1", "0 seconds or more"),
    ],
)
def test_no_restart(text: str, says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        life.restart(text)
    assert says in refused.value.message


def test_pull() -> None:
    assert life.pull(None) is life.pull("missing") is PullPolicy.IF_NOT_PRESENT
    assert life.pull("always") is life.pull("newer") is PullPolicy.ALWAYS
    assert life.pull("never") is PullPolicy.NEVER
    with pytest.raises(InvalidInput, match="did you mean always"):
        life.pull("allways")


def test_exit_policy() -> None:
    assert [life.stops_when_done(text) for text in (None, "continue", "stop")] == [False, False, True]
    with pytest.raises(InvalidInput, match="--exit-policy 'halt'"):
        life.stops_when_done("halt")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (None, ""),
        ("", ""),
        ("TERM", "SIGTERM"),
        ("sigterm", "SIGTERM"),
        ("15", "SIGTERM"),
        ("RTMIN+3", "SIGRTMIN+3"),
        ("SIGRTMIN", "SIGRTMIN"),
        ("37", "SIGRTMIN+3"),
        ("RTMAX-1", "SIGRTMIN+29"),
    ],
)
def test_stop_signal(text: str | None, name: str) -> None:
    assert life.stop_signal(text) == name
    if text and text.isdigit():
        assert signal_number(name) == int(text)


@pytest.mark.parametrize("text", ["0", "65", "33", "TREM", "RTMIN+31", "RTMAX-60", "-9", "SIG"])
def test_no_stop_signal(text: str) -> None:
    with pytest.raises(InvalidInput, match="cannot use --stop-signal"):
        life.stop_signal(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(None, None, id="the image's"),
        pytest.param("", (), id="none"),
        pytest.param('[""]', (), id="none, as an array"),
        pytest.param("[]", (), id="an empty array"),
        pytest.param("/bin/sh -c", ("/bin/sh -c",), id="a program, and nothing is split"),
        pytest.param('["/bin/sh", "-c"]', ("/bin/sh", "-c"), id="an array"),
        pytest.param(' ["a"]', ("a",), id="a blank before it"),
        pytest.param("[", ("[",), id="a program that is called so"),
        pytest.param('{"a": 1}', ('{"a": 1}',), id="another kind of JSON"),
    ],
)
def test_entrypoint(text: str | None, words: tuple[str, ...] | None) -> None:
    assert life.command(text) == words


def test_an_entrypoints_words_are_strings() -> None:
    with pytest.raises(InvalidInput, match="must be strings"):
        life.command('["sleep", 5]')


def test_user() -> None:
    assert [life.user(text) for text in (None, "", "root", "1000:users", "0:0")] == [
        "",
        "",
        "root",
        "1000:users",
        "0:0",
    ]
    for text in (":", "a:", ":b", "a:b:c", "a b"):
        with pytest.raises(InvalidInput, match="it is not a user"):
            life.user(text)


def test_working_directory() -> None:
    assert [life.working_directory(text) for text in (None, "/a//b/", "/")] == ["", "/a/b", "/"]
    with pytest.raises(InvalidInput, match="not an absolute path"):
        life.working_directory("srv")
