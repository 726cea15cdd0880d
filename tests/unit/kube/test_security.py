"""Security contexts: folded, checked, and told again in Kubernetes' shape."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.kube import pod_manifest
from reconciler.model.spec import Security
from tests.unit.kube.helpers import pod, read, sentences, spec_of

C = "spec.containers[0].securityContext"
P = "spec.securityContext"
S = f"{P}.sysctls[0]"

POD_LEVEL = {
    "runAsNonRoot": True,
    "seccompProfile": {"type": "Localhost", "localhostProfile": "a/b.json"},
    "appArmorProfile": {"type": "Unconfined"},
    "seLinuxOptions": {"type": "t", "level": "s0:c1"},
    "supplementalGroups": [9, 7, 9],
    "supplementalGroupsPolicy": "Strict",
    "fsGroup": 5,
    "fsGroupChangePolicy": "OnRootMismatch",
    "seLinuxChangePolicy": "Recursive",
    "sysctls": [{"name": "net/core/somaxconn", "value": "5"}, {"name": "kernel.shm_rmid_forced", "value": "1"}],
}
FOLDED = Security(
    run_as_non_root=True,
    seccomp="localhost/a/b.json",
    apparmor="unconfined",
    selinux="::t:s0:c1",
    groups=(7, 9),
    strict_groups=True,
    fs_group=5,
    fs_group_on_mismatch=True,
    selinux_recursive=True,
)


def both(pods: dict[str, Any], **own: Any) -> dict[str, Any]:
    return pod({"securityContext": pods}, securityContext=own)


def test_the_pods_context_counts_for_each_container() -> None:
    spec = spec_of(both(POD_LEVEL))
    assert spec.containers[0].security == FOLDED
    assert spec.sandbox.sysctls == (("kernel.shm_rmid_forced", "1"), ("net.core.somaxconn", "5"))


def test_a_containers_own_values_win_field_by_field() -> None:
    own = {
        "runAsNonRoot": False,
        "seccompProfile": {"type": "RuntimeDefault"},
        "appArmorProfile": {"type": "Localhost", "localhostProfile": "mine"},
        "seLinuxOptions": {"level": "s9"},
    }
    security = spec_of(both(POD_LEVEL, **own)).containers[0].security
    assert (security.run_as_non_root, security.seccomp, security.apparmor) == (False, "", "localhost/mine")
    assert security.selinux == ":::s9"


@pytest.mark.parametrize(
    ("pods", "own", "label"),
    [
        pytest.param(
            {"type": "t", "level": "s1"}, {"type": "u"}, "::u:", id="one part of its own, and the pods level is no more"
        ),
        pytest.param({"type": "t"}, {}, "", id="none of its own"),
        pytest.param({"type": "t"}, None, "::t:", id="nothing is said"),
        pytest.param(None, {"user": "u"}, "u:::", id="nothing by the pod"),
    ],
)
def test_a_containers_selinux_options_are_taken_as_a_whole(pods: Any, own: Any, label: str) -> None:
    """kubelet: securitycontext/util.go, DetermineEffectiveSecurityContext."""
    fields = {} if own is None else {"seLinuxOptions": own}
    spec = spec_of(both({} if pods is None else {"seLinuxOptions": pods}, **fields))
    assert spec.containers[0].security.selinux == label


@pytest.mark.parametrize(
    "own",
    [
        {"seccompProfile": {"type": "RuntimeDefault"}},
        {"appArmorProfile": {"type": "RuntimeDefault"}},
        {"procMount": "Default"},
        {"runAsNonRoot": False},
        {"seLinuxOptions": {}},
    ],
)
def test_defaults_spelled_out_are_the_same_pod(own: dict[str, Any]) -> None:
    defaults = {"supplementalGroupsPolicy": "Merge", "fsGroupChangePolicy": "Always", "supplementalGroups": []}
    assert spec_of(both(defaults, **own)) == spec_of(pod())


def test_the_manifest_of_a_confined_pod_reads_back_as_the_same_pod() -> None:
    free = pod({"hostUsers": False}, securityContext={"procMount": "Unmasked"})
    assert not spec_of(free).sandbox.host_users
    assert spec_of(free).containers[0].security.unmasked_proc
    assert spec_of(pod({"hostUsers": True})) == spec_of(pod())
    for document in (both(POD_LEVEL), both({}, seccompProfile={"type": "Unconfined"}), free):
        spec = spec_of(document)
        assert spec_of(pod_manifest(spec)) == spec


SYSCTL = [{"name": "net.ipv4.tcp_rmem", "value": "1"}]
IPC = [{"name": "fs.mqueue.msg_max", "value": "1"}]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (both({"seccompProfile": {}}), [f"{P}.seccompProfile.type: missing"]),
        (
            both({"seccompProfile": {"type": "Localhost"}}),
            [f"{P}.seccompProfile.localhostProfile: missing: type Localhost needs the profile's name"],
        ),
        (
            both({}, seccompProfile={"type": "Unconfined", "localhostProfile": "x"}),
            [f"{C}.seccompProfile.localhostProfile: can only be given with type Localhost, not Unconfined"],
        ),
        (
            both({}, seccompProfile={"type": "Localhost", "localhostProfile": "/x"}),
            [f"{C}.seccompProfile.localhostProfile: '/x' must be a relative path"],
        ),
        (
            both({}, seccompProfile={"type": "Localhost", "localhostProfile": "a/../../x"}),
            [f"{C}.seccompProfile.localhostProfile: 'a/../../x' must not contain '..'"],
        ),
        (
            both({}, appArmorProfile={"type": "Localhost", "localhostProfile": " x"}),
            [f"{C}.appArmorProfile.localhostProfile: ' x' must not begin or end with a space"],
        ),
        (both({}, procMount="Unmasked"), [f"{C}.procMount: Unmasked needs hostUsers: false in the pod"]),
        (both({}, procMount="None"), [f"{C}.procMount: 'None' must be one of Default, Unmasked"]),
        (both({"sysctls": [{"name": "a..x", "value": "1"}]}), [f"{S}.name: 'a..x' is not the name of a sysctl"]),
        (both({"sysctls": SYSCTL * 2}), [f"{P}.sysctls[1].name: a second sysctl called 'net.ipv4.tcp_rmem'"]),
        (
            both({"sysctls": [{"name": "vm.swappiness", "value": "1"}]}),
            [f"{S}.name: vm.swappiness is not namespaced: it would be set for the whole machine"],
        ),
        (both({"sysctls": [{"name": "net.x", "value": 1}]}), [f"{S}.value: must be a string, not a number (quote it)"]),
        (
            pod({"hostNetwork": True, "securityContext": {"sysctls": SYSCTL + IPC}}),
            [f"{S}.name: net.ipv4.tcp_rmem cannot be set together with hostNetwork: it would be the machine's"],
        ),
        (
            pod({"hostIPC": True, "securityContext": {"sysctls": SYSCTL + IPC}}),
            [f"{P}.sysctls[1].name: fs.mqueue.msg_max cannot be set together with hostIPC: it would be the machine's"],
        ),
        (
            pod({"hostUsers": False, "hostPID": True}),
            ["spec.hostPID: cannot be true together with hostUsers: false"],
        ),
        (
            pod({"hostUsers": False}, securityContext={"runAsUser": 65536}),
            [f"{C}.runAsUser: 65536 is more than 65535, the last id of a pod with hostUsers: false"],
        ),
        (
            pod({"hostUsers": False, "securityContext": {"supplementalGroups": [1, 70000]}}),
            [f"{P}.supplementalGroups[1]: 70000 is more than 65535, the last id of a pod with hostUsers: false"],
        ),
        (both({"supplementalGroups": [-1]}), [f"{P}.supplementalGroups[0]: -1 is less than 0"]),
        (
            both({}, seLinuxOptions={"type": "a:b"}),
            [f"{C}.seLinuxOptions.type: 'a:b' must not contain ':'"],
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_told_in_a_sentence(document: dict[str, Any], expected: list[str]) -> None:
    assert sentences(read(document)) == expected


def test_a_sysctl_is_the_same_with_slashes() -> None:
    names = ("net/ipv4/conf/eth0.1/forwarding", "net.ipv4.conf.eth0/1.forwarding")
    one, other = (spec_of(both({"sysctls": [{"name": name, "value": "1"}]})) for name in names)
    assert one == other
