"""A pod as a manifest: what is written reads back, and what cannot be written is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.controller.generated import generated
from reconciler.kube import load
from reconciler.kube.written import to_yaml
from reconciler.model.errors import InvalidInput
from reconciler.model.key import Key
from reconciler.model.spec import (
    NO_NETWORK,
    ContainerPort,
    ContainerSpec,
    Device,
    Mount,
    PodSpec,
    PortBinding,
    Resources,
    RestartPolicy,
    SandboxSpec,
    Security,
    Volume,
    VolumeKind,
)
from tests.unit.kube.helpers import pod, spec_of

MANIFESTS = sorted((Path(__file__).resolve().parents[3] / "manifests").glob("*.y*ml"))
ON_FAILURE, NEVER = RestartPolicy.ON_FAILURE, RestartPolicy.NEVER


def back(spec: PodSpec) -> PodSpec:
    """The pod that is played from the manifest of ``spec``."""
    loaded = load("generated.yaml", generated(spec).text.encode())
    assert not loaded.problems
    assert len(loaded.pods) == 1
    return loaded.pods[0].spec


def by_hand(*members: ContainerSpec, **fields: Any) -> PodSpec:
    """As `run` and `pod create` make them."""
    made = PodSpec(
        Key("default", "web"),
        SandboxSpec(hostname="web"),
        members or (ContainerSpec("web", "busybox"),),
        restart_policy=NEVER,
        grace_period=10,
        keep=True,
        stop_when_done=True,
    )
    return replace(made, **fields)


def member(name: str = "web", **fields: Any) -> ContainerSpec:
    return replace(ContainerSpec(name, "busybox"), **fields)


# --- manifests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_the_examples_come_out_as_they_went_in(path: Path) -> None:
    for found in load(str(path), path.read_bytes()).pods:
        assert back(found.spec) == found.spec
        assert generated(found.spec).lost == ()


def test_annotations_that_we_obey_stay_as_they_are() -> None:
    document = pod({"volumes": [{"name": "unused", "emptyDir": {}}]}, ports=[{"containerPort": 80, "hostPort": 8080}])
    document["metadata"]["annotations"] = {
        "reconciler/publish": "9000-9001:9000-9001, 127.0.0.1:53:53/udp",
        "reconciler/network": "inner",
        "io.podman.annotations.pids-limit/a": "100",
    }
    spec = spec_of(document)
    assert back(spec) == spec


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12), max_size=6))
def test_any_text_comes_out_as_it_went_in(words: list[str]) -> None:
    spec = by_hand(member(args=tuple(words) or None, env=tuple((f"V{n}", w) for n, w in enumerate(words))))
    read = back(spec).containers[0]
    assert (read.args, read.env) == (spec.containers[0].args, spec.containers[0].env)


@pytest.mark.parametrize("text", ["y", "1e3", "0o17", "22:22", "1_000", "~", "", "null", "-.inf", "yes", "2001-01-01"])
def test_words_that_yaml_takes_for_something_else_are_quoted(text: str) -> None:
    assert to_yaml({"a": text}) in (f'a: "{text}"\n', f"a: {text}\n", f"a: '{text}'\n")
    assert back(by_hand(member(args=(text,)))).containers[0].args == (text,)


# --- podman's words in a manifest's terms -----------------------------------------------------------------------------


def test_a_container_of_its_own_is_the_same_pod_but_for_its_lives() -> None:
    spec = by_hand(member(restart=ON_FAILURE, grace=3, user="1000:100", labels=(("tier", "front"),)))
    read = back(spec)
    assert generated(spec).lost == ()
    assert (read.restart_policy, read.grace_period, read.labels) == (ON_FAILURE, 3, (("tier", "front"),))
    assert read.containers[0] == member(security=Security(run_as_user=1000, run_as_group=100))
    assert not read.keep


def test_published_ports_are_a_members_host_ports() -> None:
    ports = (PortBinding(8080, 80), PortBinding(8443, 443, host_ip="127.0.0.1"))
    said = member("b", ports=(ContainerPort(443, name="https"),))
    spec = by_hand(member("a"), said, sandbox=SandboxSpec(hostname="web", ports=ports))
    read = back(spec)
    assert read.sandbox.ports == ports
    assert read.containers[0].ports == (ContainerPort(80, host_port=8080),)
    assert read.containers[1].ports == (ContainerPort(443, name="https", host_port=8443, host_ip="127.0.0.1"),)


def test_ports_that_a_command_has_overruled_are_not_published_again() -> None:
    document = pod()
    document["metadata"]["annotations"] = {"reconciler/publish": "8080:80"}
    played = spec_of(document)
    overruled = replace(played, sandbox=replace(played.sandbox, ports=(PortBinding(9090, 80),)))
    assert back(overruled).sandbox.ports == (PortBinding(9090, 80),)


def test_a_network_and_a_limit_of_processes_are_annotations() -> None:
    box = SandboxSpec(hostname="web", network="blue")
    spec = by_hand(member(resources=Resources(pids_limit=50)), sandbox=box)
    read = back(spec)
    assert (read.sandbox, read.containers[0].resources.pids_limit) == (box, 50)
    assert generated(spec).lost == ()


def test_a_command_without_the_images_entrypoint() -> None:
    read = back(by_hand(member(command=(), args=("sh", "-c", "true"))))
    assert (read.containers[0].command, read.containers[0].args) == (("sh", "-c", "true"), None)


def test_paths_of_the_host_become_volumes_with_names() -> None:
    one = Mount("/data", Volume("/srv/my data", VolumeKind.HOST_PATH, "/srv/my data"))
    two = Mount("/more", Volume("/srv/my-data", VolumeKind.HOST_PATH, "/srv/my-data"), True)
    read = back(by_hand(member(mounts=(one, two))))
    assert [(m.path, m.volume.name, m.volume.host_path, m.read_only) for m in read.containers[0].mounts] == [
        ("/data", "srv-my-data", "/srv/my data", False),
        ("/more", "srv-my-data-2", "/srv/my-data", True),
    ]


def test_named_volumes_are_claims_and_memory_is_the_pods() -> None:
    db = Mount("/db", Volume("db", VolumeKind.NAMED), options=("nocopy",))
    other = Mount("/c", Volume("My_Cache", VolumeKind.NAMED))
    memory = Mount("/m", Volume("tmpfs:/m", VolumeKind.TMPFS, options=("size=64",)))
    spec = by_hand(member(mounts=(db, memory)), key=Key("prod", "web"))
    read = back(spec)
    assert read.containers[0].mounts == (
        Mount("/m", Volume("web-tmpfs-m", VolumeKind.EMPTY_DIR, memory=True, size_limit=64)),
    ), "in another namespace it would be another volume"
    spec = by_hand(member(mounts=(db, memory, other)))
    read = back(spec)
    assert [m.volume for m in read.containers[0].mounts if m.path == "/db"] == [
        Volume("db", VolumeKind.NAMED, claim="db")
    ]
    assert "kind: PersistentVolumeClaim" in generated(spec).text
    assert generated(spec).lost == ("container web: nothing is mounted at /c (volume my-cache)",)


def test_what_only_manifests_say_of_mounts_comes_out_as_it_went_in() -> None:
    document = pod(
        {"volumes": [{"name": "v", "secret": {"secretName": "s"}}, {"name": "i", "image": {"reference": "busybox:1"}}]},
        volumeMounts=[
            {"name": "v", "mountPath": "/v", "subPath": "a"},
            {"name": "i", "mountPath": "/i", "mountPropagation": "HostToContainer"},
        ],
    )
    assert back(spec_of(document)) == spec_of(document)
    assert generated(spec_of(document)).lost == ()


# --- what is lost -----------------------------------------------------------------------------------------------------

DB = Mount("/db", Volume("db", VolumeKind.NAMED))
A1 = Mount("/db", Volume("a1", VolumeKind.NAMED, anonymous=True))
RUN = Mount("/run", Volume("tmpfs:/run", VolumeKind.TMPFS, options=("mode=700", "size=64")), options=("noexec",))
SRV = Mount("/srv", Volume("/srv", VolumeKind.HOST_PATH, "/srv"), options=("noexec", "nosuid"))


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        pytest.param(
            by_hand(key=Key("default", "jolly_mestorf")), "the pod is called jolly-mestorf", id="a pod's name"
        ),
        pytest.param(by_hand(member("My_Web")), "container My_Web is called my-web", id="a container's name"),
        pytest.param(
            by_hand(member(ulimits=(("nofile", "10:20"),))),
            "container web: --ulimit[nofile] 10:20 is left out",
            id="a limit",
        ),
        pytest.param(by_hand(member(user="nobody")), "container web: --user nobody is left out", id="a user's name"),
        pytest.param(
            by_hand(member(restart=ON_FAILURE, retries=3)), "container web: --restart 3 is left out", id="retries"
        ),
        pytest.param(
            by_hand(member("a", restart=ON_FAILURE), member("b")),
            "container a: restartPolicy OnFailure is left out",
            id="two policies",
        ),
        pytest.param(
            by_hand(member("a", grace=3), member("b")), "container a: --stop-timeout 3 is left out", id="two graces"
        ),
        pytest.param(by_hand(member(devices=(Device("/dev/x", "/dev/y"),))), "container web: --device", id="a device"),
        pytest.param(
            by_hand(member(mounts=(A1,))), "container web: nothing is mounted at /db (volume a1)", id="volume"
        ),
        pytest.param(
            by_hand(member(mounts=(RUN,))), "container web: /run is mounted without noexec, mode=700", id="tmpfs"
        ),
        pytest.param(
            by_hand(member(mounts=(SRV,))), "container web: /srv is mounted without noexec, nosuid", id="mount options"
        ),
        pytest.param(
            by_hand(sandbox=SandboxSpec(hostname="web", network=NO_NETWORK)),
            "metadata.annotations[reconciler/network] none is left out",
            id="no network",
        ),
        pytest.param(
            by_hand(sandbox=SandboxSpec(hostname="web", infra=False, shared=())),
            "--infra false becomes true",
            id="no infra container",
        ),
        pytest.param(
            by_hand(sandbox=SandboxSpec(hostname="My_Host")), "spec.hostname My_Host becomes my-host", id="a host name"
        ),
        pytest.param(
            by_hand(member(resources=Resources(cpu_request=2000, cpu_limit=1000))),
            "container web: resources.requests.cpu 2000 becomes 1000",
            id="more asked for than allowed",
        ),
        pytest.param(
            by_hand(labels=(("bad key!", "x"),)), "metadata.labels[bad key!] x is left out", id="a label's key"
        ),
        pytest.param(
            by_hand(member(stop_signal="SIGRTMIN+20")),
            "container web: lifecycle.stopSignal SIGRTMIN+20 is left out",
            id="a signal that Kubernetes has another name for",
        ),
        pytest.param(
            by_hand(limits=Resources(cpu_limit=500)),
            "container web: resources.limits.cpu (none) becomes 500",
            id="the pod's limits are what each of its containers has",
        ),
    ],
)
def test_what_a_manifest_has_no_words_for_is_told(spec: PodSpec, told: str) -> None:
    written = generated(spec)
    assert any(text.startswith(told) for text in written.lost), written.lost
    assert f"#   {told}" in written.text
    again = back(spec)
    assert generated(again).lost == ()
    assert back(again) == again


def test_init_containers_and_what_a_sidecar_publishes_read_back() -> None:
    init = [
        {"name": "first", "image": "busybox:1", "ports": [{"containerPort": 1, "hostPort": 1}]},
        {
            "name": "car",
            "image": "busybox:1",
            "restartPolicy": "Always",
            "ports": [{"containerPort": 80, "hostPort": 8080}],
        },
    ]
    spec = spec_of(pod({"initContainers": init, "restartPolicy": "Never"}))
    assert [c.restart for c in spec.init] == [None, RestartPolicy.ALWAYS]
    assert spec.sandbox.ports == (PortBinding(8080, 80),)
    assert generated(spec).lost == ()
    assert back(spec) == spec


def test_what_is_needed_besides_is_told() -> None:
    text = generated(by_hand(member(pull_secrets=("regcred",)))).text
    assert "# It needs what is not in it: Secret regcred\n" in text


def test_nothing_from_a_spec_can_break_out_of_a_comment() -> None:
    written = generated(by_hand(member(user="a\nkind: Service")))
    assert "\nkind: Service" not in written.text


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        pytest.param(by_hand(containers=()), 'of pod "web": it has no containers', id="no members"),
        pytest.param(by_hand(member(env=(("ü", "x"),))), "spec.containers[0].env[0].name: ", id="an odd variable"),
    ],
)
def test_where_there_can_be_no_manifest(spec: PodSpec, says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        generated(spec)
    assert "cannot write a manifest" in refused.value.message
    assert says in refused.value.message


# --- and a Service ----------------------------------------------------------------------------------------------------


def service_of(spec: PodSpec) -> tuple[PodSpec, dict[str, Any]]:
    """The pod that is played from a manifest with a Service, and that, as plain values."""
    written = generated(spec, service=True)
    loaded = load("generated.yaml", written.text.encode())
    assert not [p for p in loaded.problems if p.is_error]
    assert [one.value.kind for one in loaded.objects] == ["Service"]
    return loaded.pods[0].spec, yaml.safe_load(written.text.rpartition("---\n")[2])


def test_a_service_for_the_ports_of_a_pod_selects_it_by_the_label_that_it_is_given() -> None:
    ports = [{"containerPort": 80, "hostPort": 30080}, {"containerPort": 53, "protocol": "UDP"}, {"containerPort": 53}]
    read, service = service_of(spec_of(pod(ports=ports)))
    assert read.labels == (("app", "web"),)
    assert service == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "default", "labels": {"app": "web"}},
        "spec": {
            "selector": {"app": "web"},
            "type": "NodePort",
            "ports": [
                {"name": "53-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
                {"name": "53-udp", "port": 53, "protocol": "UDP", "targetPort": 53},
                {"name": "80", "port": 80, "protocol": "TCP", "targetPort": 80, "nodePort": 30080},
            ],
        },
    }


def test_a_service_takes_the_label_that_there_is_and_is_headless_without_ports() -> None:
    document = pod()
    document["metadata"] |= {"name": "web.one", "labels": {"app": "shop", "x": "y"}}
    read, service = service_of(spec_of(document))
    assert dict(read.labels) == {"app": "shop", "x": "y"}
    assert service["metadata"]["name"] == "web-one"
    assert service["spec"] == {"selector": {"app": "shop"}, "clusterIP": "None"}
