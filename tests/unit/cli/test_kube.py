"""`kube play` and `kube down`: what is refused before anything is touched. No root is needed for that."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.cli import app
from reconciler.flags.podman import LEFT_OUT, TABLES

POD = "{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {containers: [{name: c, image: i}]}}"
BROKEN = "{apiVersion: v1, kind: Pod, metadata: {name: side}, spec: {containers: [{name: c, imag: i}]}}"
SECRET = """
apiVersion: v1
kind: Secret
metadata: {name: regcred}
type: kubernetes.io/dockerconfigjson
stringData: {.dockerconfigjson: '{"auths": {}}'}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "web.yaml"


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]):
    """What a command line that is refused says, in lines."""

    def refused(*arguments: object) -> list[str]:
        assert app.run(["kube", *map(str, arguments)]) == 125
        shown = capsys.readouterr()
        assert shown.out == ""
        return shown.err.splitlines()

    return refused


def test_all_errors_of_a_file_are_told_at_once_and_nothing_is_played(file, told):
    file.write_text(f"{POD}\n---\n{BROKEN}\n---\nkind: Nonsense\n")
    lines = told("play", file)
    assert any("spec.containers[0].imag: unknown field" in line for line in lines)
    assert any("Nonsense" in line for line in lines)
    assert lines[-1] == f"reconciler: cannot play {file}: it has 2 errors (told above); nothing was changed"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("", "there is no pod in it", id="an empty file"),
        pytest.param(SECRET, "there is no pod in it; a Secret comes with the pods", id="Secrets alone"),
    ],
)
def test_a_file_without_a_pod(text, says, file, told):
    file.write_text(text)
    assert says in told("play", file)[0]
    assert says in told("down", file)[0]


@pytest.mark.parametrize("option", [o for o, (found, _) in TABLES["kube play"].items() if found is LEFT_OUT])
def test_an_option_that_is_left_out_says_why(option, file, told):
    line, hint = told("play", f"{option}=x", file)
    assert line == f"reconciler: podman's {option} is not here: {TABLES['kube play'][option][1]}"
    assert hint == "hint: see: reconciler kube play --help"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["https://example.org/web.yaml"], "nothing is fetched here", id="a URL"),
        pytest.param(["."], "it is a directory", id="a directory"),
        pytest.param(["no-such.yaml"], "No such file", id="a file that is not there"),
        pytest.param(
            ["--wait", "--start=false", "FILE"], "cannot use --wait with --start=false", id="wait for nothing"
        ),
        pytest.param(["--publish", "80", "FILE"], "cannot publish 80", id="no host port"),
        pytest.param(["--publish", "8080:80", "TWO"], "cannot give --publish to each of 2 pods", id="one port for two"),
        pytest.param(["--ip", "10.0.0.9", "TWO"], "cannot give an address to each of 2 pods", id="one address for two"),
        pytest.param(["--network", "a", "--network", "b", "FILE"], "a pod is in one network", id="two networks"),
        pytest.param(["--annotation", "a b=1", "FILE"], "cannot use --annotation a b", id="a bad key"),
        pytest.param(["FILE", "--start=perhaps"], "--start is true or false", id="neither true nor false"),
        pytest.param([], "Missing argument", id="no file"),
    ],
)
def test_what_is_refused(arguments, says, file, told):
    file.write_text(POD)
    two = file.with_name("two.yaml")
    two.write_text(f"{POD}\n---\n{POD.replace('web', 'side')}")
    places = {"FILE": str(file), "TWO": str(two)}
    assert says in told("play", *[places.get(word, word) for word in arguments])[0]
