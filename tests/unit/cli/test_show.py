"""What `events`, `info` and `image ls` make of what they are given."""

from __future__ import annotations

import pytest

from reconciler.cli import events, imagelist, info
from reconciler.model.events import Event, EventType
from tests.unit.cli.pods import WALL


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
