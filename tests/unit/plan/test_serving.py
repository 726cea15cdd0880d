"""Which Services' names lead to a pod, and from when to when."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.model.actions import UpdateNames
from reconciler.model.desired import Absent, Present, Unknown
from reconciler.model.key import Key
from reconciler.model.probe import Verdict
from reconciler.model.service import Service, ServiceName
from reconciler.plan.sentences import describe
from tests.fakes.engine import FakeEngine
from tests.unit.plan.driver import KEY, container, plan, pod, present, settle

WEB, ANY = ServiceName("web"), ServiceName("all", unready_too=True)
SPEC = pod()


def selected(*services: ServiceName) -> Present:
    return present(SPEC, services=services)


def leading(engine: FakeEngine) -> tuple[str, ...]:
    sandbox = engine.observe(KEY, None).sandbox
    assert sandbox is not None
    return sandbox.services


def step(engine: FakeEngine, want: Present | Absent | Unknown) -> UpdateNames | None:
    found = [s for s in plan(engine, want).steps if isinstance(s, UpdateNames)]
    assert len(found) <= 1
    return found[0] if found else None


def test_they_lead_to_it_when_it_is_ready():
    engine = FakeEngine()
    settle(engine, selected(WEB, ANY))
    assert leading(engine) == ("all", "web")


def test_one_that_is_not_ready_has_but_the_names_that_want_it_so():
    engine = FakeEngine()
    engine.stop_takes["web"] = 5
    settle(engine, selected(WEB, ANY))
    engine.exit(KEY, "web", 1)
    engine.tick(1)
    found = step(engine, selected(WEB, ANY))
    assert found is not None and found.services == ("all",)
    assert describe(found) == "have the names of Services lead to the pod: all because it is not ready"


def test_a_readiness_probe_that_fails_takes_them():
    engine = FakeEngine()
    settle(engine, selected(WEB))
    web = engine.container(KEY, "web")
    engine.note_verdict(web.id, web.started, Verdict(is_ready=False))
    settle(engine, selected(WEB))
    assert leading(engine) == ()
    engine.note_verdict(web.id, web.started, Verdict())
    settle(engine, selected(WEB))
    assert leading(engine) == ("web",)


@pytest.mark.parametrize(
    ("want", "services"),
    [
        pytest.param(selected(ANY), ("all",), id="one that does not select it any more"),
        pytest.param(selected(WEB, ANY, ServiceName("api")), ("all", "api", "web"), id="one that is new"),
        pytest.param(present(SPEC, services=()), (), id="none is left"),
    ],
)
def test_they_change_in_a_pod_that_runs(want: Present, services: tuple[str, ...]):
    engine = FakeEngine()
    settle(engine, selected(WEB, ANY))
    before = engine.running(KEY)
    settle(engine, want)
    assert (leading(engine), engine.running(KEY)) == (services, before)


@pytest.mark.parametrize("want", [present(SPEC), Unknown("its file is broken")], ids=["of none", "of the pod"])
def test_while_nothing_is_known_they_stay(want: Present | Unknown):
    engine = FakeEngine()
    settle(engine, selected(WEB))
    settle(engine, want)
    assert leading(engine) == ("web",)


def test_nobody_new_is_led_to_a_pod_that_is_about_to_end():
    engine = FakeEngine()
    engine.deaf.add("web")
    settle(engine, selected(WEB))
    found = step(engine, Absent())
    assert found is not None and found.services == ()
    engine = FakeEngine()
    settle(engine, selected(WEB))
    changed = replace(selected(WEB), spec=replace(SPEC, sandbox=replace(SPEC.sandbox, hostname="other")))
    found = step(engine, changed)
    assert found is not None and found.services == ()
    settle(engine, changed)
    assert leading(engine) == ("web",), "they lead to the new one"


@pytest.mark.parametrize(
    ("namespace", "selector", "labels", "selects"),
    [
        ("default", (("a", "1"),), (("a", "1"), ("b", "2")), True),
        ("default", (("a", "1"), ("b", "1")), (("a", "1"), ("b", "2")), False),
        ("other", (("a", "1"),), (("a", "1"),), False),
        ("default", (), (("a", "1"),), False),
    ],
    ids=["all its labels are there", "one has another value", "another namespace's", "without a selector"],
)
def test_selects(
    namespace: str, selector: tuple[tuple[str, str], ...], labels: tuple[tuple[str, str], ...], selects: bool
):
    assert Service(Key(namespace, "web"), selector).selects(KEY, labels) is selects


def test_a_member_that_is_added_and_cannot_be_made_takes_them_from_nobody():
    engine = FakeEngine()
    settle(engine, selected(WEB))
    engine.unknown_images.add("nobody:1")
    more = replace(selected(WEB), spec=replace(SPEC, containers=(*SPEC.containers, container("new", "nobody:1"))))
    settle(engine, more, patience=1.0)
    assert leading(engine) == ("web",)


def test_a_new_pod_waits_for_all_of_its_members():
    engine = FakeEngine()
    engine.unknown_images.add("nobody:1")
    both = replace(selected(WEB), spec=pod(container("web"), container("new", "nobody:1")))
    settle(engine, both, patience=1.0)
    assert (set(engine.running(KEY)), leading(engine)) == ({"web"}, ())
