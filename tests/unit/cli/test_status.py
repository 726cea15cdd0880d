"""`validate` and `status` without an engine: files, exit codes, what is defined twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.cli import app
from reconciler.cli.status import exit_code, shown
from reconciler.controller.looking import StatusRow
from reconciler.model.key import Key

GOOD = """\
apiVersion: v1
kind: Pod
metadata:
  name: {name}
spec:
  containers:
  - name: app
    image: localhost/app:1
"""


def write(path: Path, name: str = "web", more: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(GOOD.format(name=name) + more)
    return path


@pytest.mark.parametrize(
    ("states", "code"),
    [
        ([], 0),
        (["Converged", "Converged"], 0),
        (["Converged", "Converging"], 1),
        (["Converged", "Suspended"], 1),
        (["Suspended", "Error"], 2),
        (["Converging", "Error"], 2),
        (["Held"], 2),
    ],
)
def test_the_worst_state_is_the_exit_code(states: list[str], code: int) -> None:
    assert exit_code(states) == code


def test_good_manifests_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "a.yaml", "a")
    write(tmp_path / "sub" / "b.yml", "b")
    assert app.run(["validate", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "2 files, 2 pods, 0 errors\n"


def test_each_problem_is_a_line_with_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.yaml", more="    comand: [x]\n    nonsense: 1\n")
    assert app.run(["validate", str(path)]) == 1
    first, second, count = capsys.readouterr().out.splitlines()
    assert first == f"{path}:9:5: spec.containers[0].comand: unknown field, did you mean command?"
    assert second.startswith(f"{path}:10:5: spec.containers[0].nonsense: unknown field")
    assert count == "1 file, 0 pods, 2 errors"


def test_quiet_says_nothing_of_what_is_good(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["validate", "-q", str(write(tmp_path / "a.yaml"))]) == 0
    assert capsys.readouterr().out == ""


def test_one_pod_in_two_places_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = write(tmp_path / "one" / "a.yaml"), write(tmp_path / "two" / "b.yaml")
    assert app.run(["validate", str(one.parent), str(two.parent)]) == 1
    assert f"{two}: pod default/web is already defined in {one}" in capsys.readouterr().out


def test_a_folder_named_twice_is_one_folder(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml")
    assert app.run(["validate", str(tmp_path), str(tmp_path)]) == 0


def test_a_terminal_is_not_steered_by_a_file_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "a\x1b[2J.yaml", more="    nonsense: 1\n")
    assert app.run(["validate", str(tmp_path)]) == 1
    assert "\x1b" not in capsys.readouterr().out


def test_what_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    assert app.run(["validate", str(tmp_path / "nowhere")]) == 2


def test_each_problem_of_a_file_has_a_line_of_its_own() -> None:
    rows = [
        StatusRow("/m/a.yaml", (), "Error", ("/m/a.yaml:3:1: x: unknown field", "/m/a.yaml:4:1: y: unknown field")),
        StatusRow("/m/b.yaml", (), "Converged"),
    ]
    assert shown(rows).splitlines() == [
        "FILE        OBJECTS   STATE       PROBLEM",
        "/m/a.yaml             Error       /m/a.yaml:3:1: x: unknown field",
        "                                  /m/a.yaml:4:1: y: unknown field",
        "/m/b.yaml             Converged",
    ]


def test_each_object_of_a_file_has_a_line_of_its_own() -> None:
    objects = tuple(Key("default", f"pod-{n}") for n in range(7))
    assert shown([StatusRow("/m/a.yaml", objects, "Converged", ("one problem",))]).splitlines() == [
        "FILE        OBJECTS         STATE       PROBLEM",
        "/m/a.yaml   default/pod-0   Converged   one problem",
        "            default/pod-1",
        "            default/pod-2",
        "            default/pod-3",
        "            and 3 more",
    ]


def test_of_many_problems_the_first_are_shown_and_the_rest_counted() -> None:
    lines = shown([StatusRow("/m/a.yaml", (), "Error", tuple(f"problem {n}" for n in range(18)))]).splitlines()
    assert [line.split("   ")[-1].strip() for line in lines[1:]] == [*(f"problem {n}" for n in range(4)), "and 14 more"]
    five = shown([StatusRow("/m/a.yaml", (), "Error", tuple(f"problem {n}" for n in range(5)))])
    assert five.endswith("problem 4")


@pytest.mark.parametrize(
    ("strictness", "code", "shown"),
    [
        ("strict", 1, "comand: unknown field, did you mean command?\n1 file, 0 pods, 1 error\n"),
        ("warn", 0, "comand: unknown field, did you mean command? (left out)\n1 file, 1 pod, 0 errors\n"),
        ("ignore", 0, "1 file, 1 pod, 0 errors\n"),
    ],
)
def test_unknown_fields_weigh_as_they_are_to(
    strictness: str, code: int, shown: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "a.yaml", more="    comand: [x]\n")
    assert app.run(["validate", "--strictness", strictness, str(path)]) == code
    assert capsys.readouterr().out.endswith(shown)


def test_the_configuration_file_says_how_strict_to_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.yaml", more="    comand: [x]\n")
    root = tmp_path / "root"
    root.mkdir()
    (root / "config.toml").write_text('[manifests]\nstrictness = "ignore"\n')
    assert app.run(["--root", str(root), "validate", str(path)]) == 0
    (root / "config.toml").write_text("[manifests]\nstrictness = 1\n")
    assert app.run(["--root", str(root), "validate", str(path)]) == 1, "a broken file: strict"
