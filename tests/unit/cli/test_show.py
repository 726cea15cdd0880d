"""What `ps`, `events`, `info` and `image ls` make of what they are given."""

from __future__ import annotations

import pytest

from reconciler.cli import events, imagelist, info, ps
from reconciler.model.events import Event, EventType
from reconciler.model.observed import ContainerState
from reconciler.model.spec import PortBinding
from tests.unit.cli.pods import WALL, container, pod

WEB = pod(
    "web",
    container("web", "app", 0, state=ContainerState.EXITED, id_="aa" * 32),
    container("web", "app", 1, id_="bb" * 32),
    ports=(PortBinding(8080, 80),),
)


def test_ps_shows_what_runs():
    shown = ps.as_table(ps.listed((WEB,), everything=False), True, slice(12), WALL).splitlines()
    assert shown[0].split("   ")[0] == "CONTAINER ID"
    assert len(shown) == 2
    for part in ("bbbbbbbbbbbb ", "Up 5 minutes", "0.0.0.0:8080->80/tcp", "web/app", "sleep 1000", "abababababab"):
        assert part in shown[1]


def test_ps_a_shows_old_attempts_and_the_infra_container():
    shown = ps.as_table(ps.listed((WEB,), everything=True), False, slice(12), WALL)
    assert "Exited (3) 1 minute ago" in shown
    assert "abababababab-infra" in shown


def test_ps_json_has_podmans_names():
    (one,) = (ps.as_json(f) for f in ps.listed((WEB,), everything=False))
    assert (one["Id"], one["Names"], one["PodName"], one["Pid"], one["State"]) == (
        "bb" * 32,
        ["web/app"],
        "web",
        42,
        "running",
    )


def event(about: str, count: int = 1) -> Event:
    return Event(about, EventType.WARNING, "BackOff", "again", WALL - 600, WALL - 30, count, 1)


@pytest.mark.parametrize(
    ("about", "wanted", "matches"),
    [
        ("default/web", None, True),
        ("default/web", "web", True),
        ("default/web", "pod/web", True),
        ("default/web", "default/web", True),
        ("default/web", "other/web", False),
        ("default/web", "we", False),
        ("/etc/pods/a.yaml", "/etc/pods/a.yaml", True),
        ("/etc/pods/a.yaml", "a.yaml", False),
    ],
)
def test_events_for(about, wanted, matches):
    assert events.matches(event(about), wanted, None) is matches


def test_events_of_a_namespace():
    assert events.matches(event("other/web"), None, "other")
    assert not events.matches(event("default/web"), None, "other")


def test_events_table():
    shown = events.as_table([event("default/web", 4)], WALL)
    assert "30s (x4 over 10m)" in shown
    assert "pod/default/web" in shown
    assert events.as_table([], WALL) == "No events."


def test_info_nests():
    assert info.as_text({"a": {"b": True, "c": []}, "d": ["x"]}) == ["a:", "  b: yes", "  c: none", "d:", "  - x"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("localhost/busybox:1", ("localhost/busybox", "1")),
        ("host:5000/busybox", ("host:5000/busybox", "<none>")),
        ("host:5000/busybox@sha256:aa", ("host:5000/busybox", "<none>")),
    ],
)
def test_image_names_split(name, shown):
    assert imagelist.split(name) == shown
