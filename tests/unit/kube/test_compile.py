"""Defaults, normal form, and the half-written file."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.kube import load, pod_manifest
from reconciler.model.key import Key
from reconciler.model.probe import ExecAction, HttpAction
from reconciler.model.spec import (
    ContainerPort,
    ContainerSpec,
    Dns,
    DnsPolicy,
    HostAlias,
    MessagePolicy,
    Mount,
    PodSpec,
    PortBinding,
    Protocol,
    PullPolicy,
    Resources,
    RestartPolicy,
    RestartRule,
    SandboxSpec,
    Security,
    Volume,
    VolumeKind,
)
from tests.unit.kube.helpers import pod, spec_of

TWO_PODS = """\
# Two pods in one file.
apiVersion: v1
kind: Pod
metadata:
  name: web
  labels: {app: web}
spec:
  containers:
  - name: server
    image: busybox:1
    command: ["httpd", "-f"]
    env:
    - name: A
      value: "1"
    ports:
    - containerPort: 80
      hostPort: 8080
    volumeMounts:
    - {name: data, mountPath: /data}
  volumes:
  - name: data
    emptyDir: {}
---
apiVersion: v1
kind: Pod
metadata:
  name: other
spec:
  restartPolicy: Never
  containers:
  - name: a
    image: busybox:1
"""


def test_the_smallest_pod_gets_kubernetes_defaults() -> None:
    assert spec_of(pod()) == PodSpec(
        key=Key("default", "web"),
        sandbox=SandboxSpec(hostname="web"),
        containers=(ContainerSpec(name="a", image="busybox:1", pull_policy=PullPolicy.IF_NOT_PRESENT),),
    )


def test_what_a_pod_says_of_names_arrives() -> None:
    spec = spec_of(
        pod(
            {
                "subdomain": "db",
                "hostnameOverride": "db.example",
                "dnsPolicy": "None",
                "dnsConfig": {
                    "nameservers": ["192.0.2.1"],
                    "searches": ["b.example", "a.example"],
                    "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
                },
                "hostAliases": [{"ip": "192.0.2.2", "hostnames": ["b", "a"]}, {"ip": "::2"}],
            }
        )
    )
    assert spec.sandbox == SandboxSpec(hostname="web", subdomain="db", hostname_override="db.example")
    assert spec.dns == Dns(DnsPolicy.NONE, ("192.0.2.1",), ("b.example", "a.example"), ("ndots:2", "edns0"))
    assert spec.host_aliases == (HostAlias("192.0.2.2", ("b", "a")), HostAlias("::2"))


def test_on_the_hosts_network_the_hosts_name_counts() -> None:
    spec = spec_of(pod({"hostNetwork": True, "subdomain": "db", "setHostnameAsFQDN": True}))
    assert spec.sandbox == SandboxSpec(host_network=True)


@pytest.mark.parametrize(
    ("fields", "policy"),
    [
        ({}, DnsPolicy.CLUSTER_FIRST),
        ({"dnsPolicy": "ClusterFirst"}, DnsPolicy.CLUSTER_FIRST),
        ({"dnsPolicy": "ClusterFirstWithHostNet"}, DnsPolicy.CLUSTER_FIRST),
        ({"dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": True}, DnsPolicy.CLUSTER_FIRST_WITH_HOST_NET),
        ({"dnsPolicy": "Default"}, DnsPolicy.DEFAULT),
    ],
)
def test_policies_that_mean_the_same_are_the_same(fields: dict[str, Any], policy: DnsPolicy) -> None:
    assert spec_of(pod(fields)).dns == Dns(policy)


def test_every_supported_field_arrives() -> None:
    document = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "namespace": "prod", "labels": {"b": "2", "a": "1"}, "annotations": {"x": "y z"}},
        "spec": {
            "hostname": "box",
            "hostPID": True,
            "hostIPC": True,
            "restartPolicy": "OnFailure",
            "terminationGracePeriodSeconds": 0,
            "activeDeadlineSeconds": 60,
            "securityContext": {"runAsUser": 1000, "runAsGroup": 1001},
            "volumes": [
                {"name": "v", "hostPath": {"path": "/srv//x/", "type": "Directory"}},
                {"name": "e", "emptyDir": {}},
            ],
            "containers": [
                {
                    "name": "a",
                    "image": "busybox",
                    "imagePullPolicy": "Never",
                    "command": ["sh", "$(A)"],
                    "args": ["$$(A)"],
                    "terminationMessagePath": "/run/words/",
                    "lifecycle": {
                        "postStart": {"httpGet": {"port": "dns", "path": "x"}},
                        "preStop": {"exec": {"command": ["sh", "$(A)"]}},
                        "stopSignal": "SIGRTMIN+3",
                    },
                    "terminationMessagePolicy": "FallbackToLogsOnError",
                    "workingDir": "/tmp/",
                    "env": [{"name": "B", "value": "2"}, {"name": "A", "value": "$(B)"}, {"name": "C"}],
                    "ports": [
                        {"containerPort": 53, "hostPort": 53, "protocol": "UDP", "hostIP": "127.0.0.1", "name": "dns"},
                        {"containerPort": 80, "hostPort": 8080, "hostIP": "0.0.0.0"},
                        {"containerPort": 9},
                    ],
                    "resources": {"limits": {"cpu": 0.5, "memory": "1Gi"}, "requests": {"cpu": "100m"}},
                    "volumeMounts": [
                        {"name": "v", "mountPath": "/w/", "readOnly": True},
                        {"name": "e", "mountPath": "/e"},
                    ],
                    "securityContext": {
                        "runAsUser": 5,
                        "readOnlyRootFilesystem": True,
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"add": ["net_raw", "CAP_NET_RAW"], "drop": ["ALL"]},
                    },
                    "stdin": True,
                    "stdinOnce": True,
                    "tty": True,
                }
            ],
        },
    }
    v = Volume("v", VolumeKind.HOST_PATH, "/srv/x", "Directory")
    e = Volume("e", VolumeKind.EMPTY_DIR)
    spec = spec_of(document)
    assert (str(spec.key), spec.labels, spec.annotations) == ("prod/web", (("a", "1"), ("b", "2")), (("x", "y z"),))
    assert (spec.restart_policy, spec.grace_period, spec.deadline, spec.volumes) == ("OnFailure", 0, 60, (e, v))
    published = (PortBinding(53, 53, Protocol.UDP, "127.0.0.1"), PortBinding(8080, 80, Protocol.TCP, "0.0.0.0"))
    assert spec.sandbox == SandboxSpec("box", published, host_pid=True, host_ipc=True)
    assert spec.containers == (
        ContainerSpec(
            name="a",
            image="busybox",
            pull_policy=PullPolicy.NEVER,
            command=("sh", "2"),
            args=("$(A)",),
            working_dir="/tmp",
            env=(("A", "2"), ("B", "2"), ("C", "")),
            ports=(
                ContainerPort(9),
                ContainerPort(53, Protocol.UDP, "dns", 53, "127.0.0.1"),
                ContainerPort(80, Protocol.TCP, "", 8080, "0.0.0.0"),
            ),
            mounts=(Mount("/e", e), Mount("/w", v, True)),
            resources=Resources(100, 500, 2**30, 2**30),
            security=Security(5, 1001, False, ("CAP_NET_RAW",), ("ALL",), True, False),
            stdin=True,
            stdin_once=True,
            tty=True,
            message_path="/run/words",
            post_start=HttpAction(53, "/x"),
            pre_stop=ExecAction(("sh", "$(A)")),
            stop_signal="SIGRTMIN+3",
            message_policy=MessagePolicy.FALLBACK_TO_LOGS_ON_ERROR,
        ),
    )


def test_on_the_hosts_network_nothing_is_published() -> None:
    spec = spec_of(pod({"hostNetwork": True}, ports=[{"containerPort": 80}]))
    assert spec.sandbox == SandboxSpec(host_network=True)
    assert spec.containers[0].ports == (ContainerPort(80, host_port=80),)


@pytest.mark.parametrize(
    ("limits", "requests", "expected"),
    [
        ({"cpu": 1}, {}, Resources(1000, 1000)),
        ({"cpu": 1}, {"cpu": 0}, Resources(0, 1000)),
        ({"cpu": 0}, {}, Resources()),
        ({}, {"memory": "0"}, Resources()),
        ({}, {"memory": "1k"}, Resources(memory_request=1000)),
    ],
)
def test_requests_default_to_limits_and_zero_is_no_limit(limits: Any, requests: Any, expected: Resources) -> None:
    assert spec_of(pod(resources={"limits": limits, "requests": requests})).containers[0].resources == expected


RICH = {
    "metadata": {"name": "web", "labels": {"a": "1", "b": "2", "c": "3"}},
    "spec": {"volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "hostPath": {"path": "/w"}}]},
    "container": {
        "ports": [{"containerPort": 80, "hostPort": 80}, {"containerPort": 81}, {"containerPort": 82, "hostPort": 82}],
        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}, {"name": "C", "value": "$(NOPE)"}],
        "volumeMounts": [{"name": "v", "mountPath": "/v"}, {"name": "w", "mountPath": "/w"}],
        "resources": {"limits": {"cpu": "500m", "memory": "64Mi"}},
        "securityContext": {"capabilities": {"drop": ["NET_RAW", "CHOWN"]}},
    },
}
SAME = {
    '"500m"': ['"0.5"', "0.5", '"500m"', '".5"'],
    '"64Mi"': ['"65536Ki"', '"67108864"', "67108864", '"0.0625Gi"'],
    '"NET_RAW"': ['"CAP_NET_RAW"', '"net_raw"'],
    '"/v"': ['"/v/"', '"/./v"'],
    '"emptyDir": {}': ['"emptyDir": null'],
    '"containerPort": 81': ['"containerPort": 81, "protocol": "TCP"', '"containerPort": 81, "hostPort": 0'],
    '"path": "/w"': ['"path": "/w", "type": ""', '"path": "/w/"'],
    '"image": "busybox:1"': [
        '"image": "busybox:1", "imagePullPolicy": "IfNotPresent"',
        '"image": "busybox:1", "args": []',
        '"image": "busybox:1", "terminationMessagePath": ""',
        '"image": "busybox:1", "terminationMessagePolicy": "File"',
    ],
    '"name": "web"': ['"name": "web", "namespace": "default"', '"name": "web", "annotations": {}'],
    '"spec": {': [
        '"spec": {"restartPolicy": "Always", ',
        '"spec": {"hostname": "web", ', '"spec": {"hostPID": false, ',
    ],
}  # fmt: skip


def shuffled(value: Any, dice: random.Random) -> Any:
    """The same document in another order, where order has no meaning."""
    if isinstance(value, dict):
        names = list(value)
        dice.shuffle(names)
        return {name: shuffled(value[name], dice) for name in names}
    if isinstance(value, list):
        return dice.sample([shuffled(item, dice) for item in value], len(value))
    return value


def rich() -> dict[str, Any]:
    fields: dict[str, Any] = copy.deepcopy(RICH)
    return {**pod(fields["spec"], **fields["container"]), "metadata": fields["metadata"]}


@settings(max_examples=150, deadline=None)
@given(st.randoms(use_true_random=False), st.data())
def test_manifests_that_mean_the_same_compile_to_equal_specs(dice: random.Random, data: st.DataObject) -> None:
    text = json.dumps(shuffled(rich(), dice))
    for plain, others in SAME.items():
        text = text.replace(plain, data.draw(st.sampled_from([plain, *others])), 1)
    loaded = load("x.json", text.encode())
    assert [str(p) for p in loaded.problems] == []
    assert loaded.pods[0].spec == spec_of(rich())


@pytest.mark.parametrize(
    "edit",
    [
        lambda c: c.update(image="busybox:2"),
        lambda c: c["env"].append({"name": "D", "value": "1"}),
        lambda c: c["ports"].pop(0),
        lambda c: c.update(command=["x"]),
        lambda c: c["volumeMounts"][0].update(readOnly=True),
        lambda c: c["securityContext"].update(privileged=True),
    ],
)
def test_manifests_that_differ_compile_to_different_specs(edit: Any) -> None:
    document = rich()
    edit(document["spec"]["containers"][0])
    assert spec_of(document) != spec_of(rich())


@settings(max_examples=100, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_manifest_of_a_spec_reads_back_as_that_spec(dice: random.Random) -> None:
    document = rich()
    container = document["spec"]["containers"][0]
    container["env"] = [{"name": n, "value": "".join(dice.choices("$()AB ", k=6))} for n in "ABC"]
    container["command"] = ["".join(dice.choices("$()ABC", k=8)) for _ in range(3)]
    document["spec"] |= {k: True for k in ("hostNetwork", "hostIPC", "hostPID") if dice.random() < 0.3}
    if document["spec"].get("hostNetwork"):
        container["ports"].pop(0)
    spec = spec_of(document)
    assert spec_of(pod_manifest(spec)) == spec


@pytest.mark.parametrize(
    "lifecycle",
    [
        {"postStart": {"exec": {"command": ["sh", "-c", "$(A) $$(B)"]}}, "preStop": {"sleep": {"seconds": 5}}},
        {"postStart": {"tcpSocket": {"port": 80, "host": "::1"}}, "stopSignal": "SIGUSR1"},
        {"preStop": {"httpGet": {"port": 80, "httpHeaders": [{"name": "A", "value": "b"}]}}},
    ],
)
def test_the_end_of_a_life_reads_back(lifecycle: Any) -> None:
    words = {"terminationMessagePath": "/x", "terminationMessagePolicy": "FallbackToLogsOnError"}
    spec = spec_of(pod({"activeDeadlineSeconds": 9}, lifecycle=lifecycle, **words))
    assert spec.containers[0].post_start or spec.containers[0].pre_stop
    assert spec_of(pod_manifest(spec)) == spec


def test_restart_rules_read_back() -> None:
    rules = [
        {"action": "Restart", "exitCodes": {"operator": "In", "values": [42, 7, 42]}},
        {"action": "Restart", "exitCodes": {"operator": "NotIn"}},
    ]
    init = {"name": "i", "image": "busybox:1", "restartPolicy": "Never"}
    spec = spec_of(pod({"initContainers": [init]}, restartPolicy="OnFailure", restartPolicyRules=rules))
    assert spec.containers[0].restart is RestartPolicy.ON_FAILURE
    assert spec.containers[0].restart_rules == (RestartRule((7, 42)), RestartRule((), among=False))
    assert spec.plain_init[0].restart is RestartPolicy.NEVER
    assert spec_of(pod_manifest(spec)) == spec


def test_a_limit_of_the_disk_reads_back() -> None:
    spec = spec_of(pod(resources={"limits": {"ephemeral-storage": "2Gi"}, "requests": {"ephemeral-storage": "1Gi"}}))
    assert spec.containers[0].storage_limit == 2 << 30
    assert spec_of(pod_manifest(spec)) == spec
    assert spec_of(pod(resources={"limits": {"ephemeral-storage": 0}})).containers[0].storage_limit is None


def test_resize_policies_read_back() -> None:
    policies = [("memory", "RestartContainer"), ("cpu", "NotRequired")]
    spec = spec_of(pod(resizePolicy=[{"resourceName": name, "restartPolicy": policy} for name, policy in policies]))
    assert spec.containers[0].resize_restarts == ("memory",)
    assert spec_of(pod_manifest(spec)) == spec


def test_every_prefix_of_a_good_file_is_read_without_an_accident() -> None:
    whole = load("x.yaml", TWO_PODS.encode())
    assert [str(p.spec.key) for p in whole.pods] == ["default/web", "default/other"]
    assert not whole.problems
    broken = 0
    for end in range(len(TWO_PODS)):
        loaded = load("x.yaml", TWO_PODS[:end].encode())
        assert "InternalError" not in {p.reason for p in loaded.problems}
        broken += bool(loaded.problems)
        # What is not understood is always told: never a silent loss of certainty.
        assert loaded.complete or loaded.problems
        assert not loaded.keys_in_error or loaded.problems
    assert broken > len(TWO_PODS) // 2


def test_every_prefix_of_a_good_json_file_but_the_empty_one_has_a_problem() -> None:
    text = json.dumps(rich())
    for end in range(1, len(text)):
        loaded = load("x.json", text[:end].encode())
        assert loaded.problems
        assert not loaded.pods
        assert not loaded.complete


def test_podmans_annotation_limits_a_containers_processes() -> None:
    manifest = pod()
    name = manifest["spec"]["containers"][0]["name"]
    for value, limit in (("100", 100), ("0", None), ("-1", None)):
        manifest["metadata"]["annotations"] = {f"io.podman.annotations.pids-limit/{name}": value}
        assert spec_of(manifest).containers[0].resources == Resources(pids_limit=limit)


def test_annotations_of_ours_are_part_of_the_sandbox() -> None:
    document = pod(ports=[{"containerPort": 80, "hostPort": 8080}])
    document["metadata"]["annotations"] = {
        "reconciler/publish": "[fd00::1]:53:5353/udp\n9000-9001:9000-9001",
        "reconciler/network": "inner",
    }
    box = spec_of(document).sandbox
    assert box.network == "inner"
    assert box.ports == (
        PortBinding(53, 5353, Protocol.UDP, "fd00::1"),
        PortBinding(8080, 80),
        PortBinding(9000, 9000),
        PortBinding(9001, 9001),
    )
