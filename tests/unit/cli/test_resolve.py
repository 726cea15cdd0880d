from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.cli.naming import find_container, find_pod
from reconciler.cli.resolve import current, named_pod
from reconciler.model.errors import InvalidInput, NotFound
from reconciler.model.observed import ContainerState
from tests.unit.cli.pods import container, pod

APP0 = container("web", "app", 0, state=ContainerState.EXITED, id_="aa11" + "0" * 60)
APP1 = container("web", "app", 1, id_="aa22" + "0" * 60)
LOG = container("web", "log", id_="bb33" + "0" * 60)
DB = container("db", "postgres", id_="cc44" + "0" * 60)
LOG2 = container("db2", "log", id_="dd55" + "0" * 60)
FAR = container("other-db", "postgres", id_="ee66" + "0" * 60)
SEEN = (pod("web", APP0, APP1, LOG), pod("db", DB), pod("db2", LOG2), pod("other-db", FAR))
PODS = tuple(map(named_pod, SEEN))


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        pytest.param("aa11" + "0" * 60, APP0, id="a whole id names an old attempt too"),
        pytest.param("aa2", APP1, id="a unique beginning of an id"),
        pytest.param("app", APP1, id="a container's name means its newest attempt"),
        pytest.param("web/log", LOG, id="POD/CONTAINER"),
        pytest.param("default/web/log", LOG, id="NAMESPACE/POD/CONTAINER"),
        pytest.param("db2", LOG2, id="a pod with a single member"),
        pytest.param("pod/db2", LOG2, id="kubectl's pod/NAME"),
        pytest.param("other/db", FAR, id="NAMESPACE/POD with a single member"),
    ],
)
def test_a_name_finds(name, wanted):
    assert find_container(PODS, name).id == wanted.id


def test_a_pod_with_a_single_member_beside_its_init_containers():
    first, app = container("web", "first", state=ContainerState.EXITED), container("web", "app")
    made = pod("web", first, app)
    assert made.sandbox is not None
    spec = replace(made.sandbox.applied, init=(first.spec,), containers=(app.spec,))
    begun = replace(made, sandbox=replace(made.sandbox, applied=spec))
    assert find_container((named_pod(begun),), "web").id == app.id
    assert find_container((named_pod(begun),), "web/first").id == first.id
    assert [c.name for c in current(begun)] == ["first", "app"]


def test_a_namespace_narrows_the_choice():
    assert find_container(PODS, "postgres", namespace="other").id == FAR.id


def test_c_chooses_a_member_of_a_pod():
    assert find_container(PODS, "web", member="log").id == LOG.id


@pytest.mark.parametrize(
    ("name", "candidates"),
    [
        pytest.param("aa", ["default/web/app (aa11", "default/web/app (aa22"], id="an id's beginning that two share"),
        pytest.param("log", ["default/web/log", "default/db2/log"], id="a name in two pods"),
        pytest.param("web", ["app, log"], id="a pod of two"),
        pytest.param("db", ["default/db", "other/db"], id="a pod's name in two namespaces"),
    ],
)
def test_what_is_not_clear_lists_the_candidates(name, candidates):
    with pytest.raises(InvalidInput) as caught:
        find_container(PODS, name)
    for candidate in candidates:
        assert candidate in caught.value.message


def test_an_unknown_name_lists_what_there_is():
    with pytest.raises(NotFound) as caught:
        find_container(PODS, "nothing")
    assert caught.value.message.startswith('cannot find container "nothing"')
    assert "web/app" in caught.value.hint
    assert caught.value.hint.count("web/app") == 1


def test_an_unknown_member_lists_the_members():
    with pytest.raises(NotFound, match="it has app, log"):
        find_container(PODS, "web", member="nope")


def test_a_pod_without_containers_says_so():
    with pytest.raises(NotFound, match="it has none yet"):
        find_container((named_pod(pod("empty")),), "empty")


def test_a_pod_is_found_by_name_and_by_key():
    assert find_pod(PODS, "web") is PODS[0]
    assert find_pod(PODS, "other/db") is PODS[3]
    assert find_pod(PODS, "db", "other") is PODS[3]
    assert find_pod(PODS[:1], "abab") is PODS[0]
    with pytest.raises(InvalidInput):
        find_pod(PODS, "abab")
    with pytest.raises(NotFound, match="in namespace other"):
        find_pod(PODS, "web", "other")


def test_members_come_in_the_order_of_the_spec_each_once():
    assert current(SEEN[0]) == (APP1, LOG)
