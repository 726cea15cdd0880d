"""What runs, as whom, with which rights: rules of Kubernetes, the kubelet and Podman as tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.engine.images.image import Image
from reconciler.engine.images.users import User
from reconciler.engine.oci import process
from reconciler.engine.oci.capabilities import ALL, DEFAULT, bounding, names_of, process_capabilities
from reconciler.engine.oci.host import HostCapabilities
from reconciler.model.errors import ImageProblem, InvalidInput
from reconciler.model.qos import Qos, qos_of
from reconciler.model.spec import ContainerSpec, Resources, SandboxSpec, Security
from tests.unit.oci.samples import FACTS, GIB, bundle

IMAGE = Image("0", ("i",), (Path("/l"),), entrypoint=("/entry",), cmd=("cmd",), env=("A=1", "PATH=/image"))


@pytest.mark.parametrize(
    ("command", "args", "wanted"),
    [
        pytest.param(None, None, ("/entry", "cmd"), id="neither: the image's entrypoint and cmd"),
        pytest.param(("c",), None, ("c",), id="command alone drops the image's cmd"),
        pytest.param(None, ("a",), ("/entry", "a"), id="args alone replace cmd"),
        pytest.param(("c",), ("a",), ("c", "a"), id="both: nothing of the image's"),
        pytest.param((), ("a", "b"), ("a", "b"), id="no entrypoint: args are the command"),
        pytest.param((), None, ("cmd",), id="no entrypoint and no args: the image's cmd"),
    ],
)
def test_arguments(command: tuple[str, ...] | None, args: tuple[str, ...] | None, wanted: tuple[str, ...]) -> None:
    assert process.arguments(ContainerSpec("n", "i", command=command, args=args), IMAGE) == wanted


def test_no_command_anywhere_is_an_image_problem() -> None:
    spec = ContainerSpec("web", "bare")
    with pytest.raises(ImageProblem, match=r"cannot run container web: .*bare"):
        process.member_process(bundle(), spec, Image("0", (), ()), process.ROOT, FACTS, None)


def test_the_specs_environment_wins_over_the_images_and_that_over_the_defaults() -> None:
    env = process.environment(ContainerSpec("n", "i", env=(("A", "spec"), ("B", "x=y"))), IMAGE, "host", "/home/x")
    assert env == ["PATH=/image", "HOSTNAME=host", "HOME=/home/x", "A=spec", "B=x=y"]
    assert process.search_path(ContainerSpec("n", "i"), IMAGE) == "/image"
    assert process.search_path(ContainerSpec("n", "i", env=(("PATH", "/p"),)), IMAGE) == "/p"
    assert process.search_path(ContainerSpec("n", "i"), Image("0", (), ())) == process.PATH


@pytest.mark.parametrize(
    ("security", "wanted"),
    [
        pytest.param(Security(), DEFAULT, id="the defaults"),
        pytest.param(Security(cap_add=("NET_ADMIN",)), DEFAULT | {"CAP_NET_ADMIN"}, id="one more"),
        pytest.param(Security(cap_add=("cap_net_admin",)), DEFAULT | {"CAP_NET_ADMIN"}, id="podman's spelling"),
        pytest.param(Security(cap_drop=("CHOWN",)), DEFAULT - {"CAP_CHOWN"}, id="one less"),
        pytest.param(Security(cap_drop=("ALL",), cap_add=("KILL",)), {"CAP_KILL"}, id="drop ALL, keep one"),
        pytest.param(Security(cap_add=("ALL",)), ALL - {"CAP_SYS_RESOURCE"}, id="ALL is what we have ourselves"),
        pytest.param(
            Security(cap_add=("ALL",), cap_drop=("KILL",)), ALL - {"CAP_SYS_RESOURCE", "CAP_KILL"}, id="ALL but one"
        ),
        pytest.param(Security(cap_add=("SYS_RESOURCE",)), DEFAULT, id="what we lack cannot be given"),
        pytest.param(Security(cap_add=("KILL",), cap_drop=("KILL",)), DEFAULT - {"CAP_KILL"}, id="drop wins over add"),
        pytest.param(Security(privileged=True, cap_drop=("ALL",)), ALL - {"CAP_SYS_RESOURCE"}, id="privileged is all"),
    ],
)
def test_bounding_set(security: Security, wanted: set[str]) -> None:
    assert bounding(security, FACTS.capabilities) == wanted


def test_an_unknown_capability_is_refused() -> None:
    with pytest.raises(InvalidInput, match='capability "NET_ADMINN"'):
        bounding(Security(cap_add=("NET_ADMINN",)), ALL)


def test_root_is_effective_in_all_that_bounds_it_and_others_in_what_was_added() -> None:
    root = process_capabilities(Security(), 0, ALL)
    assert set(root["effective"]) == set(root["permitted"]) == set(root["bounding"]) == DEFAULT
    assert root["ambient"] == root["inheritable"] == []
    user = process_capabilities(Security(cap_add=("NET_RAW",)), 5, ALL)
    assert user["effective"] == user["permitted"] == user["ambient"] == user["inheritable"] == ["CAP_NET_RAW"]
    assert set(user["bounding"]) == DEFAULT | {"CAP_NET_RAW"}


def test_a_capability_mask_is_read_in_the_kernels_order() -> None:
    assert names_of(0b101) == {"CAP_CHOWN", "CAP_DAC_READ_SEARCH"}
    assert names_of((1 << 41) - 1) == ALL


@pytest.mark.parametrize(
    ("security", "wanted"),
    [
        (Security(), False),
        (Security(allow_privilege_escalation=False), True),
        (Security(allow_privilege_escalation=False, privileged=True), False),
    ],
)
def test_no_new_privileges(security: Security, wanted: bool) -> None:
    made = process.member_process(bundle(), ContainerSpec("n", "i", security=security), IMAGE, User(), FACTS, None)
    assert made["noNewPrivileges"] is wanted


def test_a_terminal() -> None:
    made = process.member_process(bundle(), ContainerSpec("n", "i", tty=True), IMAGE, User(), FACTS, None)
    assert made["terminal"] is True
    assert "TERM=xterm" in made["env"]
    env = (("TERM", "dumb"),)
    own = process.member_process(bundle(), ContainerSpec("n", "i", tty=True, env=env), IMAGE, User(), FACTS, None)
    assert [item for item in own["env"] if item.startswith("TERM=")] == ["TERM=dumb"]


@pytest.mark.parametrize(
    ("each", "wanted"),
    [
        pytest.param([Resources()], Qos.BEST_EFFORT, id="nothing set"),
        pytest.param(
            [Resources(cpu_limit=1, memory_limit=1)], Qos.GUARANTEED, id="limits alone: requests are the same"
        ),
        pytest.param([Resources(1, 1, 1, 1), Resources(2, 2, 2, 2)], Qos.GUARANTEED, id="all equal"),
        pytest.param([Resources(1, 1, 1, 1), Resources()], Qos.BURSTABLE, id="one without"),
        pytest.param([Resources(1, 2, 1, 1)], Qos.BURSTABLE, id="request below limit"),
        pytest.param([Resources(memory_limit=1)], Qos.BURSTABLE, id="memory alone"),
    ],
)
def test_quality_of_service(each: list[Resources], wanted: Qos) -> None:
    assert qos_of(ContainerSpec("n", "i", resources=r) for r in each) is wanted


@pytest.mark.parametrize(
    ("resources", "qos", "wanted"),
    [
        (Resources(), None, 1000),
        (Resources(), Qos.BURSTABLE, 999),
        (Resources(memory_request=2 * GIB), None, 750),
        (Resources(memory_limit=2 * GIB), None, 750),
        (Resources(memory_request=8 * GIB), Qos.BURSTABLE, 3),
        (Resources(cpu_limit=1, memory_limit=1), None, -997),
        (Resources(cpu_limit=1, memory_limit=1), Qos.BURSTABLE, 999),
    ],
)
def test_oom_score(resources: Resources, qos: Qos | None, wanted: int) -> None:
    assert process.oom_score(resources, qos, 8 * GIB) == wanted


def test_a_container_made_by_hand_has_podmans_score() -> None:
    for resources in (Resources(), Resources(memory_request=2 * GIB), Resources(cpu_limit=1, memory_limit=1)):
        spec, kept = ContainerSpec("n", "i", resources=resources), replace(bundle(), keep=True)
        made = process.member_process(kept, spec, IMAGE, User(), FACTS, qos_of([spec]))
        bound = process.member_process(kept, spec, IMAGE, User(), replace(FACTS, oom_score_adj_min=100), None)
        assert (made["oomScoreAdj"], bound["oomScoreAdj"]) == (0, 100)


def test_a_score_below_our_own_is_not_asked_for_where_it_would_fail() -> None:
    spec = ContainerSpec("n", "i", resources=Resources(cpu_limit=1, memory_limit=1))
    free = process.member_process(bundle(), spec, IMAGE, User(), FACTS, None)
    bound = process.member_process(bundle(), spec, IMAGE, User(), replace(FACTS, oom_score_adj_min=0), None)
    assert (free["oomScoreAdj"], bound["oomScoreAdj"]) == (-997, 0)
    assert process.infra_process(replace(FACTS, oom_score_adj_min=100))["oomScoreAdj"] == 100


@pytest.mark.parametrize(
    ("security", "wanted"),
    [
        pytest.param(Security(), [5, 7, 8], id="the main group first, then those of the image"),
        pytest.param(Security(groups=(9, 7)), [5, 7, 8, 9], id="supplementalGroups are added, each once"),
        pytest.param(Security(strict_groups=True), [5], id="Strict leaves the image's out"),
        pytest.param(Security(groups=(9,), strict_groups=True, fs_group=3), [5, 3, 9], id="fsGroup is one of them"),
        pytest.param(Security(fs_group=5), [5, 7, 8], id="an fsGroup that is the main group"),
    ],
)
def test_groups(security: Security, wanted: list[int]) -> None:
    assert process.groups(security, User(1, 5, (7, 8))) == wanted


@pytest.mark.parametrize(
    ("security", "wanted"),
    [
        (Security(), "default"),
        (Security(privileged=True), "unconfined"),
        (Security(apparmor="unconfined"), "unconfined"),
        (Security(apparmor="localhost/a/b"), "a/b"),
        (Security(apparmor="localhost/mine", privileged=True), "mine"),
    ],
)
def test_apparmor_profile(security: Security, wanted: str) -> None:
    assert process.apparmor_profile(security, "default") == wanted


def test_labels_are_given_only_where_the_kernel_has_them() -> None:
    spec = ContainerSpec("n", "i", security=Security(selinux=":::s0:c1,c2"))

    def made(facts: HostCapabilities) -> dict[str, object]:
        return process.member_process(bundle(), spec, IMAGE, User(), facts, None)

    assert not {"apparmorProfile", "selinuxLabel"} & made(FACTS).keys()
    there = made(replace(FACTS, apparmor="a", selinux="u:r:t:s0"))
    assert (there["apparmorProfile"], there["selinuxLabel"]) == ("a", "u:r:t:s0:c1,c2")
    assert process.infra_process(replace(FACTS, apparmor="a"))["apparmorProfile"] == "a"
    assert "apparmorProfile" not in process.infra_process(FACTS)


def test_on_the_hosts_network_the_host_name_is_the_hosts() -> None:
    there = bundle(sandbox=SandboxSpec(hostname="ignored", host_network=True))
    made = process.member_process(there, ContainerSpec("n", "i"), IMAGE, User(), FACTS, None)
    assert "HOSTNAME=machine" in made["env"]
