"""The disruption table: one changed field per row, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace

import pytest

from reconciler.model import spec as spec_module
from reconciler.model.cost import Cost
from reconciler.model.key import Key
from reconciler.model.probe import SleepAction
from reconciler.model.sources import EnvEntry, Reference
from reconciler.model.spec import (
    ContainerPort,
    ContainerSpec,
    Device,
    Dns,
    DnsPolicy,
    HostAlias,
    MessagePolicy,
    Mount,
    PodSpec,
    PortBinding,
    PullPolicy,
    Resources,
    RestartPolicy,
    RestartRule,
    SandboxSpec,
    Security,
    Volume,
    VolumeKind,
)
from reconciler.plan.disruption import USER_PATHS, at_least, container_changes, highest, pod_changes, show, tell
from tests.unit.plan.driver import container, pod

SPEC_CLASSES = [
    c
    for c in vars(spec_module).values()
    if isinstance(c, type) and is_dataclass(c) and c.__module__ == spec_module.__name__
]
COMPARED_BY_FIELD = [PodSpec, Dns, SandboxSpec, ContainerSpec, Resources, Security]


@pytest.mark.parametrize("cls", SPEC_CLASSES, ids=lambda c: c.__name__)
def test_every_field_says_what_its_change_costs(cls: type):
    for f in fields(cls):
        classified = ("cost" in f.metadata) != bool(f.metadata.get("nested"))
        assert classified, f"{cls.__name__}.{f.name} must carry costs() or nested()"


@pytest.mark.parametrize("cls", COMPARED_BY_FIELD, ids=lambda c: c.__name__)
def test_every_field_has_the_path_that_a_user_knows(cls: type):
    own = {f"{cls.__name__}.{f.name}" for f in fields(cls) if not f.metadata.get("nested")}
    assert own <= USER_PATHS.keys()


def test_no_path_is_told_for_a_field_that_is_gone():
    known = {f"{cls.__name__}.{f.name}" for cls in COMPARED_BY_FIELD for f in fields(cls)}
    assert USER_PATHS.keys() <= known


def test_a_field_without_a_cost_is_refused_when_it_is_compared():
    @dataclass(frozen=True)
    class Careless(ContainerSpec):
        extra: int = 0

    with pytest.raises(TypeError, match=r"Careless\.extra does not say"):
        container_changes(Careless("web", "busybox:1"), Careless("web", "busybox:1", extra=1))


DATA = Volume("data", VolumeKind.HOST_PATH, "/srv")
FROM_KEY = EnvEntry("A", source=Reference("Secret", "s", "k"))
WEB = container("web", args=("a",), env=(("A", "1"), ("B", "2")), mounts=(Mount("/data", DATA),))
POD = pod(WEB, container("side"), labels=(("app", "shop"),))


def sandbox(**changed: object) -> PodSpec:
    return replace(POD, sandbox=replace(POD.sandbox, **changed))  # type: ignore[arg-type]


def web(**changed: object) -> PodSpec:
    return replace(POD, containers=(replace(WEB, **changed), POD.containers[1]))  # type: ignore[arg-type]


def secure(**changed: object) -> PodSpec:
    return web(security=replace(WEB.security, **changed))  # type: ignore[arg-type]


ROWS: list[tuple[str, PodSpec, Cost, str]] = [
    ("nothing changed", POD, Cost.NOTHING, ""),
    ("order of containers", replace(POD, containers=POD.containers[::-1]), Cost.NOTHING, ""),
    ("container port", web(ports=(ContainerPort(80),)), Cost.NOTHING, "spec.containers[web].ports"),
    ("a label", replace(POD, labels=(("app", "x"),)), Cost.RECORD, "metadata.labels[app]"),
    ("an annotation", replace(POD, annotations=(("a", "b"),)), Cost.RECORD, "metadata.annotations[a]"),
    ("restart policy", replace(POD, restart_policy=RestartPolicy.NEVER), Cost.RECORD, "spec.restartPolicy"),
    ("grace period", replace(POD, grace_period=1), Cost.RECORD, "spec.terminationGracePeriodSeconds"),
    ("deadline", replace(POD, deadline=9), Cost.RECORD, "spec.activeDeadlineSeconds"),
    ("a volume nobody mounts", replace(POD, volumes=(DATA,)), Cost.RECORD, "spec.volumes[data]"),
    ("pull secrets", web(pull_secrets=("s",)), Cost.RECORD, "spec.containers[web].imagePullSecrets"),
    ("pull policy", web(pull_policy=PullPolicy.NEVER), Cost.RECORD, "spec.containers[web].imagePullPolicy"),
    ("cpu limit", web(resources=Resources(cpu_limit=5)), Cost.LIVE, "spec.containers[web].resources.limits.cpu"),
    ("cpu request", web(resources=Resources(cpu_request=5)), Cost.LIVE, "spec.containers[web].resources.requests.cpu"),
    ("memory", web(resources=Resources(memory_limit=5)), Cost.LIVE, "spec.containers[web].resources.limits.memory"),
    (
        "where last words are read",
        web(message_policy=MessagePolicy.FALLBACK_TO_LOGS_ON_ERROR),
        Cost.RECORD,
        "spec.containers[web].terminationMessagePolicy",
    ),
    ("what comes before a stop", web(pre_stop=SleepAction(1)), Cost.RECORD, "spec.containers[web].lifecycle.preStop"),
    (
        "what follows a start",
        web(post_start=SleepAction(1)),
        Cost.CONTAINER,
        "spec.containers[web].lifecycle.postStart",
    ),
    ("where last words go", web(message_path="/x"), Cost.CONTAINER, "spec.containers[web].terminationMessagePath"),
    ("its own restart policy", web(restart=RestartPolicy.NEVER), Cost.RECORD, "spec.containers[web].restartPolicy"),
    (
        "restart rules",
        web(restart_rules=(RestartRule((42,)),)),
        Cost.RECORD,
        "spec.containers[web].restartPolicyRules",
    ),
    (
        "a limit of the disk",
        web(storage_limit=5),
        Cost.RECORD,
        "spec.containers[web].resources.limits.ephemeral-storage",
    ),
    ("a resize policy", web(resize_restarts=("cpu",)), Cost.RECORD, "spec.containers[web].resizePolicy"),
    ("image", web(image="busybox:2"), Cost.CONTAINER, "spec.containers[web].image"),
    ("command", web(command=("x",)), Cost.CONTAINER, "spec.containers[web].command"),
    ("args", web(args=None), Cost.CONTAINER, "spec.containers[web].args"),
    ("working directory", web(working_dir="/x"), Cost.CONTAINER, "spec.containers[web].workingDir"),
    ("an input", web(stdin=True), Cost.CONTAINER, "spec.containers[web].stdin"),
    ("an input for once", web(stdin_once=True), Cost.CONTAINER, "spec.containers[web].stdinOnce"),
    ("a terminal", web(tty=True), Cost.CONTAINER, "spec.containers[web].tty"),
    ("one variable", web(env=(("A", "1"), ("B", "3"))), Cost.CONTAINER, "spec.containers[web].env[B]"),
    ("variables from elsewhere", web(program=(FROM_KEY,)), Cost.CONTAINER, "spec.containers[web].env[A]"),
    ("values of an object in variables", web(env_digest=(("Secret s", "1"),)), Cost.CONTAINER, "Secret s"),
    ("values of an object in files", replace(POD, contents=(("v", "1"),)), Cost.LIVE, "the files of volume v"),
    ("a mount", web(mounts=()), Cost.CONTAINER, "spec.containers[web].volumeMounts[/data]"),
    (
        "source of a mounted volume",
        web(mounts=(Mount("/data", replace(DATA, host_path="/x")),)),
        Cost.CONTAINER,
        "spec.containers[web].volumeMounts[/data]",
    ),
    ("user", secure(run_as_user=7), Cost.CONTAINER, "spec.containers[web].securityContext.runAsUser"),
    (
        "how volumes are labelled",
        secure(selinux_recursive=True),
        Cost.RECORD,
        "spec.containers[web].securityContext.seLinuxChangePolicy",
    ),
    ("privileged", secure(privileged=True), Cost.CONTAINER, "spec.containers[web].securityContext.privileged"),
    (
        "capabilities",
        secure(cap_drop=("ALL",)),
        Cost.CONTAINER,
        "spec.containers[web].securityContext.capabilities.drop",
    ),
    (
        "a member comes",
        replace(POD, containers=(*POD.containers, container("log"))),
        Cost.CONTAINER,
        "spec.containers[log]",
    ),
    ("a member goes", replace(POD, containers=(WEB,)), Cost.CONTAINER, "spec.containers[side]"),
    ("hostname", sandbox(hostname="x"), Cost.POD, "spec.hostname"),
    ("host name override", sandbox(hostname_override="x"), Cost.POD, "spec.hostnameOverride"),
    ("subdomain", sandbox(subdomain="x"), Cost.POD, "spec.subdomain"),
    ("host name as FQDN", sandbox(fqdn_as_hostname=True), Cost.POD, "spec.setHostnameAsFQDN"),
    ("DNS policy", replace(POD, dns=Dns(DnsPolicy.DEFAULT)), Cost.LIVE, "spec.dnsPolicy"),
    ("name servers", replace(POD, dns=Dns(nameservers=("::1",))), Cost.LIVE, "spec.dnsConfig.nameservers"),
    ("search domains", replace(POD, dns=Dns(searches=("a",))), Cost.LIVE, "spec.dnsConfig.searches"),
    ("resolver options", replace(POD, dns=Dns(options=("a",))), Cost.LIVE, "spec.dnsConfig.options"),
    ("host aliases", replace(POD, host_aliases=(HostAlias("::1", ("a",)),)), Cost.LIVE, "spec.hostAliases"),
    ("a host port", sandbox(ports=(PortBinding(80, 80),)), Cost.POD, "spec.containers[].ports[].hostPort"),
    ("host network", sandbox(host_network=True), Cost.POD, "spec.hostNetwork"),
    ("host pid", sandbox(host_pid=True), Cost.POD, "spec.hostPID"),
    ("host ipc", sandbox(host_ipc=True), Cost.POD, "spec.hostIPC"),
    ("shared pid namespace", sandbox(share_pid=True), Cost.POD, "spec.shareProcessNamespace"),
    ("network", sandbox(network="inner"), Cost.POD, "metadata.annotations[reconciler/network]"),
    ("a member's label", web(labels=(("a", "b"),)), Cost.RECORD, "spec.containers[web].--label[a]"),
    ("a device", web(devices=(Device("/dev/x", "/dev/y"),)), Cost.CONTAINER, "spec.containers[web].--device"),
    (
        "an ulimit",
        web(ulimits=(("nofile", "1:2"),)),
        Cost.CONTAINER,
        "spec.containers[web].--ulimit[nofile]",
    ),
    (
        "how a volume is mounted",
        web(mounts=(Mount("/data", DATA, options=("noexec",)),)),
        Cost.CONTAINER,
        "spec.containers[web].volumeMounts[/data]",
    ),
    ("no infra container", sandbox(infra=False), Cost.POD, "--infra"),
    ("image of the infra container", sandbox(infra_image="x"), Cost.POD, "--infra-image"),
    ("command of the infra container", sandbox(infra_command=("x",)), Cost.POD, "--infra-command"),
    ("name of the infra container", sandbox(infra_name="x"), Cost.RECORD, "--infra-name"),
    ("cgroup parent", sandbox(cgroup_parent="/x"), Cost.POD, "--cgroup-parent"),
    ("shared namespaces", sandbox(shared=("net",)), Cost.POD, "--share"),
    ("an address", sandbox(ip="10.0.0.9"), Cost.POD, "--ip"),
    ("an IPv6 address", sandbox(ip6="fd00::9"), Cost.POD, "--ip6"),
    ("a hardware address", sandbox(mac="02:00:00:00:00:09"), Cost.POD, "--mac-address"),
    ("hosts of the image", sandbox(no_hosts=True), Cost.POD, "--no-hosts"),
    ("size of /dev/shm", sandbox(shm_size=0), Cost.POD, "--shm-size"),
    (
        "whose limits they are",
        web(resources=Resources(of_pod=("cpu",))),
        Cost.RECORD,
        "spec.containers[web].whose limits they are",
    ),
    ("the pod's memory", replace(POD, limits=Resources(memory_limit=5)), Cost.LIVE, "spec.resources.limits.memory"),
    ("mounts of members to come", replace(POD, mounts=(Mount("/x", DATA),)), Cost.RECORD, "--volume[/x]"),
    ("another pod", replace(POD, key=Key("default", "x")), Cost.POD, "metadata.name"),
]


@pytest.mark.parametrize(("want", "cost", "path"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS])
def test_what_a_change_costs(want: PodSpec, cost: Cost, path: str):
    changes = pod_changes(POD, want)
    assert highest(changes) is cost
    assert [c.field for c in changes] == ([path] if path else [])


@pytest.mark.parametrize(
    ("names", "cost"), [((), Cost.LIVE), (("cpu",), Cost.LIVE), (("memory",), Cost.CONTAINER)], ids=str
)
def test_memory_that_is_not_to_change_while_it_runs_replaces_the_container(names: tuple[str, ...], cost: Cost):
    old, new = (replace(WEB, resize_restarts=names, resources=Resources(memory_limit=size)) for size in (5, 6))
    assert highest(container_changes(old, new)) is cost
    assert highest(pod_changes(pod(old), pod(new))) is cost


def test_a_change_knows_its_container_and_both_values():
    (change,) = pod_changes(POD, web(image="busybox:2"))
    assert (change.container, change.before, change.after) == ("web", "busybox:1", "busybox:2")


def test_the_highest_cost_counts_and_lower_ones_can_be_left_out():
    want = replace(web(image="busybox:2"), labels=(), sandbox=SandboxSpec(hostname="x"))
    changes = pod_changes(POD, want)
    assert highest(changes) is Cost.POD
    assert [c.field for c in at_least(Cost.CONTAINER, changes)] == ["spec.hostname", "spec.containers[web].image"]


TOLD = [
    (
        replace(POD, host_aliases=(HostAlias("192.0.2.1", ("a", "b")),)),
        "spec.hostAliases changed: (none) -> [192.0.2.1=a,b]",
    ),
    (replace(POD, dns=Dns(DnsPolicy.NONE)), "spec.dnsPolicy changed: ClusterFirst -> None"),
    (web(image="busybox:2"), "image changed: busybox:1 -> busybox:2"),
    (web(args=("b", "c"), command=("x",)), "command changed: (none) -> [x], args changed: [a] -> [b c]"),
    (web(env=(("A", "1"),)), "env[B] changed: 2 -> (none)"),
    (sandbox(host_network=True), "spec.hostNetwork changed: false -> true"),
    (sandbox(ports=(PortBinding(8080, 80),)), "spec.containers[].ports[].hostPort changed: (none) -> [8080/tcp]"),
    (web(mounts=()), "volumeMounts[/data] changed: /data:data:hostPath:/srv -> (none)"),
    (replace(POD, containers=(WEB,)), "container side was removed"),
    (replace(POD, containers=(*POD.containers, container("log"))), "container log was added"),
]


@pytest.mark.parametrize(("want", "sentence"), TOLD, ids=[t[1] for t in TOLD])
def test_changes_are_told(want: PodSpec, sentence: str):
    assert tell(pod_changes(POD, want)) == sentence


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "(none)"), ("", "(none)"), ((), "(none)"), (False, "false"), (0, "0"), (("a", "b"), "[a b]")],
)
def test_values_are_shown_as_a_user_reads_them(value: object, shown: str):
    assert show(value) == shown


def test_a_long_list_is_cut():
    ports = tuple(PortBinding(n, n) for n in range(8000, 9000))
    assert show(ports).startswith("[8000/tcp 8001/tcp ")
    assert show(ports).endswith(" 8019/tcp and 980 more]")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({"env_digest": (("Secret s", "1"),)}, {"env_digest": (("Secret s", "2"),)}, "Secret s changed"),
        ({}, {"env_digest": (("ConfigMap c", "1"),)}, "ConfigMap c is there"),
        ({"env_digest": (("ConfigMap c", "1"),)}, {}, "ConfigMap c is gone"),
        (
            {"program": (FROM_KEY, EnvEntry("B", "1"))},
            {"program": (FROM_KEY, EnvEntry("B", "2"))},
            "env[B] changed: 1 -> 2",
        ),
        (
            {"program": (FROM_KEY,)},
            {"program": (EnvEntry("A", source=Reference("Secret", "s", "other")),)},
            "env[A] changed: Secret s[k] -> Secret s[other]",
        ),
        (
            {"program": (FROM_KEY,)},
            {"program": (EnvEntry("P_", source=Reference("ConfigMap", "c")), FROM_KEY)},
            "env[P_* of ConfigMap c] changed: (none) -> all",
        ),
        (
            {"program": (FROM_KEY, EnvEntry("B", "1"))},
            {"program": (EnvEntry("B", "1"), FROM_KEY)},
            "env changed: [A=Secret s[k] B=1] -> [B=1 A=Secret s[k]]",
        ),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_objects_are_named_and_their_values_never_told(
    before: dict[str, object], after: dict[str, object], said: str
) -> None:
    old, new = (replace(WEB, **sides) for sides in (before, after))  # type: ignore[arg-type]
    assert tell(container_changes(old, new)) == said
