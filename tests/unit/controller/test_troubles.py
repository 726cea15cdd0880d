"""What a sync ran into reaches those who only look, and only where they see nothing newer themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.controller import troubles
from reconciler.model.actions import Reason, Waiting, Why
from reconciler.model.key import Key
from reconciler.model.status import ContainerStatus, Phase, PodStatus
from reconciler.plan.pod_status import with_troubles

KEY = Key("default", "web")
FAILED = {"app": ("CreateContainerError", "cannot create container app: no")}


def status(state: str = "waiting", reason: str = "ContainerCreating", message: str = "") -> PodStatus:
    app = ContainerStatus("app", "busybox:1", state, False, 0, reason=reason, message=message)
    return PodStatus(KEY, Phase.PENDING, reason, containers=(app,))


def test_a_waiting_member_gets_the_word_of_who_tried() -> None:
    told = with_troubles(status(), FAILED)
    assert (told.summary, told.containers[0].reason) == ("CreateContainerError", "CreateContainerError")
    assert told.message == "container app: cannot create container app: no"


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(status("running", ""), id="it runs"),
        pytest.param(status("terminated", "Completed"), id="it has ended"),
        pytest.param(status(reason="CrashLoopBackOff"), id="it waits for its restart"),
        pytest.param(status(reason="ErrImageNeverPull", message="not here"), id="there is a reason to be seen"),
    ],
)
def test_what_is_seen_counts_more(seen: PodStatus) -> None:
    assert with_troubles(seen, FAILED) == seen


def test_the_message_says_the_same_as_the_containers() -> None:
    pulling = ContainerStatus(
        "app", "b:1", "waiting", False, 0, reason="ContainerCreating", message="pulling image b:1"
    )
    told = "container side: ErrImageNeverPull: no; container app: ContainerCreating: pulling image b:1"
    seen = PodStatus(KEY, Phase.PENDING, "ErrImageNeverPull", containers=(pulling,), message=told)
    said = with_troubles(seen, {"app": ("ImagePullBackOff", "cannot pull image b:1: gone")})
    assert said.message == (
        "container side: ErrImageNeverPull: no; container app: ImagePullBackOff: cannot pull image b:1: gone"
    )


def test_an_image_that_a_running_pod_waits_for_in_vain(tmp_path: Path) -> None:
    failed = Waiting("app", Reason(Why.PULL_FAILED, "cannot pull image b:2: gone"))
    pulling = Waiting("app", Reason(Why.PULLING, "pulling image b:2"))
    runs = status("running", "")
    troubles.save(tmp_path, KEY, troubles.troubles_in(runs, (failed,)))
    assert troubles.left_word(runs, tmp_path, KEY, (pulling,)) == ["container app: cannot pull image b:2: gone"]
    assert troubles.left_word(runs, tmp_path, KEY) == [], "nobody waits for it any more"
    assert with_troubles(runs, troubles.load(tmp_path, KEY)) == runs
    assert troubles.troubles_in(runs, (pulling,)) == {}


def test_they_are_kept_until_a_sync_without_them(tmp_path: Path) -> None:
    place = tmp_path / "troubles"
    troubles.save(place, KEY, FAILED)
    assert troubles.load(place, KEY) == FAILED
    assert troubles.left_word(status(), place, KEY) == ["container app: cannot create container app: no"]
    assert troubles.left_word(status("running", ""), place, KEY) == []
    troubles.save(place, KEY, {})
    assert (troubles.load(place, KEY), list(place.iterdir())) == ({}, [])


@pytest.mark.parametrize(
    "text", ["", "[]", '{"app": 1}', '{"app": ["x"]}', "null", "\ud800".encode("utf-8", "surrogatepass")]
)
def test_a_damaged_file_tells_nothing(text: str | bytes, tmp_path: Path) -> None:
    (tmp_path / "Pod.default.web.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert troubles.load(tmp_path, KEY) == {}


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        ("ImagePullBackOff", True),
        ("CreateContainerError", True),
        ("CrashLoopBackOff", False),
        ("ContainerCreating", False),
    ],
)
def test_what_ends_by_itself_is_no_trouble(reason: str, kept: bool) -> None:
    assert bool(troubles.troubles_in(status(reason=reason, message="m"))) == kept
