"""Every mistake in a manifest is one sentence with its field; good manifests have none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reconciler.kube import load
from reconciler.kube.load import MAX_PROBLEMS
from reconciler.kube.problem import Problem
from reconciler.model.key import Key
from tests.unit.kube.helpers import POD, pod, read, read_yaml, sentences

C = "spec.containers[0]"
PUBLISH = "metadata.annotations[reconciler/publish]"


def port(**more: Any) -> dict[str, Any]:
    return {"containerPort": 80, **more}


def annotated(spec: dict[str, Any] | None = None, **ours: str) -> dict[str, Any]:
    """The good pod with annotations that we read."""
    made = pod(spec)
    made["metadata"]["annotations"] = {f"reconciler/{name}": value for name, value in ours.items()}
    return made


def mounted(**more: Any) -> dict[str, Any]:
    return {"name": "v", "mountPath": "/v", **more}


VOLUME = {"volumes": [{"name": "v"}]}
LIMIT_1 = {"limits": {"cpu": 1, "memory": "1Gi"}}

TABLE: list[tuple[dict[str, Any], list[str]]] = [
    # fields
    (pod(imagee="x"), [f"{C}.imagee: unknown field, did you mean image?"]),
    (pod(zzz=1), [f"{C}.zzz: unknown field"]),
    (pod(Image="x"), [f"{C}.Image: unknown field, did you mean image?"]),
    (pod(livenessProbe={}), [f"{C}.livenessProbe: says nothing to do: exec, httpGet, tcpSocket…"]),
    (pod(readinessProbe={"exec": {}}), [f"{C}.readinessProbe.exec.command: missing"]),
    (pod(readinessProbe={"exec": {"command": []}}), [f"{C}.readinessProbe.exec.command: must not be empty"]),
    (pod(readinessProbe={"httpGet": {"port": "web"}}, ports=[port(name="http")]), [
        f"{C}.readinessProbe.httpGet.port: the container has no port called 'web'"
    ]),
    (pod(readinessProbe={"tcpSocket": {"port": 1}, "exec": {"command": ["a"]}}), [
        f"{C}.readinessProbe.tcpSocket: a handler does one thing, and this one has exec already"
    ]),
    (pod(readinessProbe={"tcpSocket": {"port": 1}, "terminationGracePeriodSeconds": 1}), [
        f"{C}.readinessProbe.terminationGracePeriodSeconds: a readinessProbe ends nothing, so it has no grace"
    ]),
    (pod(startupProbe={"tcpSocket": {"port": 1}, "successThreshold": 2, "periodSeconds": -1}), [
        f"{C}.startupProbe.periodSeconds: -1 is less than 0",
        f"{C}.startupProbe.successThreshold: must be 1 for a startupProbe",
    ]),
    (pod(livenessProbe={"grpc": {"port": "web"}, "successThreshold": 0, "terminationGracePeriodSeconds": 0}), [
        f"{C}.livenessProbe.grpc.port: must be a whole number, not a string: 'web'",
        f"{C}.livenessProbe.terminationGracePeriodSeconds: 0 is less than 1",
    ]),
    (pod(livenessProbe={"sleep": {"seconds": 1}}), [
        f"{C}.livenessProbe.sleep: unknown field",
        f"{C}.livenessProbe: says nothing to do: exec, httpGet, tcpSocket…",
    ]),
    (pod(livenessProbe={"httpGet": {"port": 80, "scheme": "http"}}), [
        f"{C}.livenessProbe.httpGet.scheme: 'http' must be one of HTTP, HTTPS, did you mean HTTP?"
    ]),
    (pod(lifecycle={"preStop": {"exec": {"comand": []}}}), [
        f"{C}.lifecycle.preStop.exec.comand: unknown field, did you mean command?",
    ]),
    (pod(lifecycle={"preStop": {}}), [f"{C}.lifecycle.preStop: says nothing to do: exec, httpGet, tcpSocket…"]),
    (pod(lifecycle={"postStart": {"exec": {"command": ["a"]}, "tcpSocket": {"port": 1}}}), [
        f"{C}.lifecycle.postStart.tcpSocket: a handler does one thing, and this one has exec already",
    ]),
    (pod(lifecycle={"preStop": {"sleep": {"seconds": 31}}}), [
        f"{C}.lifecycle.preStop.sleep.seconds: 31 is more than terminationGracePeriodSeconds (30)",
    ]),
    (pod({"terminationGracePeriodSeconds": 5}, lifecycle={"postStart": {"sleep": {"seconds": 6}}}), [
        f"{C}.lifecycle.postStart.sleep.seconds: 6 is more than terminationGracePeriodSeconds (5)",
    ]),
    (pod(lifecycle={"preStop": {"sleep": {"seconds": -1}}}), [
        f"{C}.lifecycle.preStop.sleep.seconds: -1 is less than 0",
    ]),
    (pod(lifecycle={"preStop": {"httpGet": {"port": "web"}}}), [
        f"{C}.lifecycle.preStop.httpGet.port: the container has no port called 'web'",
    ]),
    (pod(lifecycle={"stopSignal": "TERM"}), [
        f"{C}.lifecycle.stopSignal: there is no signal 'TERM', did you mean SIGTERM?",
    ]),
    (pod({"initContainers": [{"name": "i", "imagee": 1}]}), [
        "spec.initContainers[0].imagee: unknown field, did you mean image?",
    ]),
    (pod({"securityContext": {"windowsOptions": {}}}), [
        "spec.securityContext.windowsOptions: not supported: this machine runs Linux"
    ]),
    (pod({"runtimeClassName": "gvisor"}), [
        "spec.runtimeClassName: not supported: every pod is run by the OCI runtime that `reconciler info` names"
    ]),
    (pod({"schedulingGates": [{"name": "a"}]}), [
        "spec.schedulingGates: not supported: a pod with gates waits until somebody removes them, and nothing here "
        "does; take them out to have it started"
    ]),
    (pod({"schedulingGates": [], "os": {"name": "linux"}}), []),
    (pod({"os": {"name": "windows"}}), ["spec.os.name: 'windows' must be linux"]),
    (pod({"initContainers": [{"name": "a", "image": "busybox:1"}]}), [
        "spec.containers[0].name: a second container called 'a'",
    ]),
    (pod({"initContainers": [{"name": "i", "image": "busybox:1", "restartPolicy": "Never"}]}), []),
    (pod(restartPolicyRules=[{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]), [
        f"{C}.restartPolicyRules: needs a restartPolicy beside it, for all other exit codes"
    ]),
    (pod(restartPolicy="Never", restartPolicyRules=[
        {"action": "RestartAllContainers"},
        {"action": "Restart", "exitCodes": {"operator": "Is", "values": ["a"]}},
    ]), [
        f"{C}.restartPolicyRules[0].action: 'RestartAllContainers' must be Restart",
        f"{C}.restartPolicyRules[0].exitCodes: missing",
        f"{C}.restartPolicyRules[1].exitCodes.operator: 'Is' must be one of In, NotIn",
        f"{C}.restartPolicyRules[1].exitCodes.values[0]: must be a whole number, not a string: 'a'",
    ]),
    (pod(restartPolicy="Never", restartPolicyRules=[
        {"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}
    ] * 21), [f"{C}.restartPolicyRules: has 21 items, more than 20"]),
    (pod({"initContainers": [{
        "name": "i", "image": "busybox:1", "restartPolicy": "Always",
        "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}],
    }]}), [
        "spec.initContainers[0].restartPolicyRules: a sidecar (restartPolicy: Always) is restarted whatever its exit "
        "code"
    ]),
    (pod({"initContainers": [
        {"name": "i", "image": "busybox:1", "lifecycle": {"preStop": {"sleep": {"seconds": 1}}}},
        {
            "name": "j",
            "image": "busybox:1",
            "restartPolicy": "Always",
            "lifecycle": {"preStop": {"sleep": {"seconds": 1}}},
        },
    ]}), ["spec.initContainers[0].lifecycle: only members and sidecars (restartPolicy: Always) may have it"]),
    (pod({"containers": [{"name": "a", "image": "busybox:1", "restartPolicy": "Always"}]}), []),
    (pod({
        "containers": [{"name": "a", "image": "busybox:1", "ports": [{"containerPort": 80, "hostPort": 80}]}],
        "initContainers": [
            {"name": "i", "image": "busybox:1", "ports": [{"containerPort": 80, "hostPort": 80}]},
            {"name": "j", "image": "b", "restartPolicy": "Always", "ports": [{"containerPort": 8, "hostPort": 80}]},
        ],
    }), ["spec.containers[0].ports[0].hostPort: 80/tcp is already published by container 'j'"]),
    (pod({"restartPolcy": "Never"}), ["spec.restartPolcy: unknown field, did you mean restartPolicy?"]),
    ({**POD, "metadata": {"name": "web", "lables": {}}}, ["metadata.lables: unknown field, did you mean labels?"]),
    # absent and of the wrong type
    ({**POD, "metadata": {}}, ["metadata.name: missing"]),
    ({**POD, "spec": None}, ["spec: missing"]),
    ({**POD, "spec": {}}, ["spec.containers: missing: a pod needs at least one container"]),
    ({**POD, "spec": {"containers": []}}, ["spec.containers: must not be empty"]),
    ({**POD, "spec": {"containers": [{"name": "a"}]}}, [f"{C}.image: missing"]),
    ({**POD, "spec": {"containers": ["a"]}}, [f"{C}: must be a mapping, not a string"]),
    ({**POD, "spec": {"containers": [None]}}, [f"{C}: must be a mapping, not null"]),
    ({**POD, "spec": {"containers": {}}}, ["spec.containers: must be a list, not a mapping"]),
    ({**POD, "apiVersion": "v2"}, ["apiVersion: 'v2' must be v1"]),
    (pod(args="ls"), [f"{C}.args: must be a list, not a string"]),
    (pod(command=[1]), [f"{C}.command[0]: must be a string, not a number (quote it)"]),
    (pod(env=[{"name": "A", "value": True}]), [f"{C}.env[0].value: must be a string, not a boolean (quote it)"]),
    (pod({"hostNetwork": "true"}), ["spec.hostNetwork: must be true or false, not a string (remove the quotes)"]),
    (pod({"hostNetwork": "maybe"}), ["spec.hostNetwork: must be true or false, not a string: 'maybe'"]),
    (pod(ports=[{"containerPort": "80"}]), [
        f"{C}.ports[0].containerPort: must be a whole number, not a string (remove the quotes)"
    ]),
    (pod(resources={"limits": {"ephemeral-storage": "much"}}), [
        f"{C}.resources.limits.ephemeral-storage: 'much' is not a quantity such as 500m, 0.5 or 128Mi"
    ]),
    (pod(resources={"limits": {"ephemeral-storage": "1Gi"}, "requests": {"ephemeral-storage": "2Gi"}}), [
        f"{C}.resources.requests.ephemeral-storage: 2Gi is more than the limit of 1Gi",
        f"{C}.resources.requests.ephemeral-storage: has no effect here: only a cluster uses it",
    ]),
    (pod(ports=[{"containerPort": 8.5}]), [f"{C}.ports[0].containerPort: must be a whole number, not 8.5"]),
    (pod({"restartPolicy": "always"}), [
        "spec.restartPolicy: 'always' must be one of Always, OnFailure, Never, did you mean Always?"
    ]),
    (pod({"terminationGracePeriodSeconds": -1}), ["spec.terminationGracePeriodSeconds: -1 is less than 0"]),
    # names
    ({**POD, "metadata": {"name": "Web"}}, [
        "metadata.name: 'Web' must be lower-case letters, digits, '-' and '.', with a letter or digit at both ends"
    ]),
    ({**POD, "metadata": {"name": "w" * 254}}, ["metadata.name: has 254 characters, more than 253"]),
    ({**POD, "metadata": {"name": "web", "namespace": "a.b"}}, [
        "metadata.namespace: 'a.b' must be lower-case letters, digits and '-', with a letter or digit at both ends"
    ]),
    ({**POD, "metadata": {"name": "web", "labels": {"a b": "c d"}}}, [
        "metadata.labels[a b]: 'a b' must be letters, digits, '-', '_' and '.', with a letter or digit at both ends",
        "metadata.labels[a b]: 'c d' must be letters, digits, '-', '_' and '.', with a letter or digit at both ends",
    ]),
    ({**POD, "metadata": {"name": "web", "labels": {"A.b/": "x"}}}, [
        "metadata.labels[A.b/]: the prefix before '/' 'A.b' must be lower-case letters, digits, '-' and '.', "
        "with a letter or digit at both ends"
    ]),
    ({**POD, "metadata": {"name": "web", "annotations": {"a": "x" * 262_144}}}, [
        "metadata.annotations: the annotations have 262145 bytes, more than 262144"
    ]),
    ({**POD, "metadata": {"name": "web", "annotations": {"io.podman.annotations.pids-limit/a": "many"}}}, [
        "metadata.annotations[io.podman.annotations.pids-limit/a]: 'many' is not a number of processes "
        "(-1 for no limit)"
    ]),
    ({**POD, "metadata": {"name": "web", "annotations": {"io.podman.annotations.pids-limit/b": "5"}}}, [
        "metadata.annotations[io.podman.annotations.pids-limit/b]: the pod has no container 'b'"
    ]),
    (pod({"hostname": "a" * 64}), ["spec.hostname: has 64 characters, more than 63"]),
    (pod({"containers": [POD["spec"]["containers"][0]] * 2}), [
        "spec.containers[1].name: a second container called 'a'"
    ]),
    (pod(env=[{"name": "A=B"}]), [f"{C}.env[0].name: 'A=B' must be printable ASCII characters other than '='"]),
    (pod(env=[{"name": "A"}, {"name": "A"}]), [f"{C}.env[1].name: 'A' is set twice: the later value wins"]),
    (pod(terminationMessagePath="a"), [f"{C}.terminationMessagePath: 'a' must be an absolute path"]),
    (pod(workingDir="tmp"), [f"{C}.workingDir: 'tmp' must be an absolute path"]),
    # ports
    (pod(ports=[port(hostPort=70000)]), [f"{C}.ports[0].hostPort: 70000 is more than 65535"]),
    (pod(ports=[{"containerPort": 0}]), [f"{C}.ports[0].containerPort: 0 is less than 1"]),
    (pod(ports=[port(protocol="SCTP")]), []),
    (pod(ports=[port(protocol="tcp")]), [
        f"{C}.ports[0].protocol: 'tcp' must be one of TCP, UDP, SCTP, did you mean TCP?"
    ]),
    (pod(ports=[port(hostPort=8080), port(hostPort=8080)]), [
        f"{C}.ports[1].hostPort: 8080/tcp is already published by container 'a'"
    ]),
    (pod(ports=[port(hostPort=8080, hostIP="127.0.0.1"), port(hostPort=8080)]), [
        f"{C}.ports[1].hostPort: 8080/tcp is already published by container 'a'"
    ]),
    (pod(ports=[port(hostPort=80, hostIP="127.0.0.1"), port(hostPort=80, hostIP="127.0.0.2")]), []),
    (pod(ports=[port(hostPort=80), port(hostPort=80, protocol="UDP")]), []),
    (pod(ports=[port(name="http"), port(name="http")]), [f"{C}.ports[1].name: a second port called 'http'"]),
    (pod(ports=[port(name="1234")]), [
        f"{C}.ports[0].name: '1234' must be lower-case letters, digits and single '-', with at least one letter"
    ]),
    (pod(ports=[port(hostIP="::1")]), [
        f"{C}.ports[0].hostIP: ports cannot be published on ::1, from which Linux forwards nothing; use 127.0.0.1"
    ]),
    (pod(ports=[port(hostIP="fe80::1")]), [f"{C}.ports[0].hostIP: 'fe80::1' is not an address to publish ports on"]),
    (pod(ports=[port(hostIP="1.2.3")]), [f"{C}.ports[0].hostIP: '1.2.3' is not an IP address"]),
    (pod(ports=[port(hostPort=80, hostIP="0.0.0.0"), port(hostPort=80, hostIP="::")]), []),
    (pod(ports=[port(hostPort=80, hostIP="fd00::1"), port(hostPort=80, hostIP="fd00:0::1")]), [
        f"{C}.ports[1].hostPort: 80/tcp is already published by container 'a'"
    ]),
    (annotated(publish="8080:80, 8080:81"), [f"{PUBLISH}: 8080/tcp is already published by the annotation"]),
    (annotated(publish="8000-8010:9000/udp"), [
        f"{PUBLISH}: '8000-8010:9000/udp' has 11 host ports for 1 container port"
    ]),
    (annotated(publish="80"), [f"{PUBLISH}: '80' names no host port: write 80:80"]),
    (annotated(publish="[::1]:53:53"), [
        f"{PUBLISH}: ports cannot be published on ::1, from which Linux forwards nothing; use 127.0.0.1"
    ]),
    (annotated(network="a b"), [
        "metadata.annotations[reconciler/network]: 'a b' must be letters, digits, '_', '.' and '-', a letter or digit "
        "first (128 at most)"
    ]),
    (annotated(publsh="80:80"), [
        "metadata.annotations[reconciler/publsh]: is not an annotation of reconciler's, "
        "did you mean reconciler/publish?"
    ]),
    (annotated({"hostNetwork": True}, publish="80:80"), [
        f"{PUBLISH}: cannot be used with hostNetwork: the pod has the machine's addresses and ports"
    ]),
    (pod({"hostNetwork": True}, ports=[port(hostPort=81)]), [
        f"{C}.ports[0].hostPort: must be 80 as containerPort, because of hostNetwork"
    ]),
    (pod({"hostNetwork": True}, ports=[port(), port()]), [
        f"{C}.ports[1].containerPort: 80/tcp is already published by container 'a'"
    ]),
    (pod(resizePolicy=[{"resourceName": "cpu", "restartPolicy": "NotRequired"}] * 2), [
        f"{C}.resizePolicy[1].resourceName: a second policy for 'cpu'"
    ]),
    # volumes
    (pod(VOLUME, volumeMounts=[mounted(name="w")]), [f"{C}.volumeMounts[0].name: there is no volume called 'w'"]),
    (pod(VOLUME, volumeMounts=[mounted(), mounted(mountPath="/v/")]), [
        f"{C}.volumeMounts[1].mountPath: a second mount at '/v'"
    ]),
    (pod(VOLUME, volumeMounts=[mounted(mountPath="v")]), [
        f"{C}.volumeMounts[0].mountPath: 'v' must be an absolute path"
    ]),
    (pod(VOLUME, volumeMounts=[mounted(mountPath="/a:b")]), [
        f"{C}.volumeMounts[0].mountPath: '/a:b' must not contain ':'"
    ]),
    (pod(VOLUME, volumeMounts=[mounted(mountPath="//")]), [
        f"{C}.volumeMounts[0].mountPath: cannot mount over the container's root"
    ]),
    (pod({"volumes": [{"name": "v"}, {"name": "v"}]}), ["spec.volumes[1].name: a second volume called 'v'"]),
    (pod({"volumes": [{"name": "v", "configMap": {"nam": "x"}}]}), [
        "spec.volumes[0].configMap.nam: unknown field, did you mean name?",
    ]),
    (pod({"volumes": [{"name": "v", "hostPath": {"path": "/a/../b"}}]}), [
        "spec.volumes[0].hostPath.path: '/a/../b' must not contain '..'"
    ]),
    (pod({"volumes": [{"name": "v", "hostPath": {"path": "a"}}]}), [
        "spec.volumes[0].hostPath.path: 'a' must be an absolute path"
    ]),
    (pod({"volumes": [{"name": "v", "hostPath": {"path": "/a", "type": "directory"}}]}), [
        "spec.volumes[0].hostPath.type: 'directory' must be one of '', DirectoryOrCreate, Directory, FileOrCreate, "
        "File, Socket, CharDevice, BlockDevice, did you mean Directory?"
    ]),
    (pod({"volumes": [{"name": "v", "hostPath": {"path": "/a"}, "emptyDir": {}}]}), [
        "spec.volumes[0]: a volume has one source: hostPath or emptyDir"
    ]),
    (pod({"volumes": [{"name": "v", "hostPath": {"path": "/" + "a" * 4095}}]}), [
        "spec.volumes[0].hostPath.path: has 4096 bytes, more than 4095"
    ]),
    # resources
    (pod(resources={"limits": {"memory": "128MB"}}), [
        f"{C}.resources.limits.memory: '128MB' has an unknown suffix: use one of n, u, m, k, M, G, T, P, E, "
        "Ki, Mi, Gi, Ti, Pi, Ei (did you mean Mi?)"
    ]),
    (pod(resources={"limits": {"cpu": -1}}), [f"{C}.resources.limits.cpu: -1 is negative"]),
    (pod(resources={"limits": {"cpu": "100u"}}), [
        f"{C}.resources.limits.cpu: 100u is less than a thousandth of a core (1m)"
    ]),
    (pod(resources={"limits": {"cpu": True}}), [
        f"{C}.resources.limits.cpu: must be a string or a number, not a boolean"
    ]),
    (pod(resources={**LIMIT_1, "requests": {"cpu": 2}}), [
        f"{C}.resources.requests.cpu: 2 is more than the limit of 1"
    ]),
    (pod(resources={"limits": {"memory": "100m"}}), [
        f"{C}.resources.limits.memory: 100m are thousandths of a byte; did you mean 100Mi?"
    ]),
    (pod(resources={"limits": {"example.org/gpu": 1}}), [
        f"{C}.resources.limits[example.org/gpu]: not supported: devices are given out by a cluster"
    ]),
    (pod(resources={"limits": {"mem": 1}}), [f"{C}.resources.limits.mem: unknown field, did you mean memory?"]),
    # security
    (pod({"hostPID": True, "shareProcessNamespace": True}), [
        "spec.shareProcessNamespace: cannot be true together with hostPID"
    ]),
    (pod(securityContext={"privileged": True, "allowPrivilegeEscalation": False}), [
        f"{C}.securityContext.allowPrivilegeEscalation: cannot be false in a privileged container"
    ]),
    (pod(securityContext={"capabilities": {"add": ["SYS_ADMIN"]}, "allowPrivilegeEscalation": False}), [
        f"{C}.securityContext.allowPrivilegeEscalation: cannot be false together with the capability SYS_ADMIN"
    ]),
    (pod(securityContext={"capabilities": {"drop": ["NET_RAWW"]}}), [
        f"{C}.securityContext.capabilities.drop[0]: 'NET_RAWW' is not a Linux capability, did you mean NET_RAW?"
    ]),
    (pod(securityContext={"runAsUser": 2**31}), [f"{C}.securityContext.runAsUser: 2147483648 is more than 2147483647"]),
    (pod({"hostNetwork": True, "hostname": "x"}), [
        "spec.hostname: has no effect with hostNetwork: the machine's name is used"
    ]),
    # names
    (pod({"subdomain": "a.b"}), [
        "spec.subdomain: 'a.b' must be lower-case letters, digits and '-', with a letter or digit at both ends"
    ]),
    (pod({"hostnameOverride": "a_b"}), [
        "spec.hostnameOverride: 'a_b' must be lower-case letters, digits, '-' and '.', "
        "with a letter or digit at both ends"
    ]),
    (pod({"hostnameOverride": "a" * 65}), ["spec.hostnameOverride: has 65 characters, more than 64"]),
    (pod({"hostnameOverride": ""}), ["spec.hostnameOverride: must not be empty"]),
    (pod({"hostnameOverride": "a", "hostNetwork": True}), [
        "spec.hostnameOverride: cannot be given together with hostNetwork"
    ]),
    (pod({"hostnameOverride": "a", "setHostnameAsFQDN": True, "subdomain": "s"}), [
        "spec.hostnameOverride: cannot be given together with setHostnameAsFQDN"
    ]),
    (pod({"securityContext": {"seLinuxChangePolicy": "Always"}}), [
        "spec.securityContext.seLinuxChangePolicy: 'Always' must be one of MountOption, Recursive"
    ]),
    (pod({"setHostnameAsFQDN": True}), ["spec.setHostnameAsFQDN: has no effect without subdomain"]),
    (pod({"hostNetwork": True, "subdomain": "s"}), [
        "spec.subdomain: has no effect with hostNetwork: the machine's name is used"
    ]),
    (pod({"dnsPolicy": "none"}), [
        "spec.dnsPolicy: 'none' must be one of ClusterFirst, ClusterFirstWithHostNet, Default, None, did you mean None?"
    ]),
    (pod({"dnsPolicy": "None"}), ["spec.dnsPolicy: dnsPolicy None needs at least one of dnsConfig.nameservers"]),
    (pod({"dnsPolicy": "None", "dnsConfig": {"searches": ["a"]}}), [
        "spec.dnsConfig: dnsPolicy None needs at least one of dnsConfig.nameservers"
    ]),
    (pod({"dnsConfig": {"nameservers": ["ns.lan"]}}), ["spec.dnsConfig.nameservers[0]: 'ns.lan' is not an IP address"]),
    (pod({"dnsConfig": {"nameservers": ["192.0.2.1"] * 4}}), [
        "spec.dnsConfig.nameservers: has 4 name servers, more than 3"
    ]),
    (pod({"dnsConfig": {"searches": ["a"] * 33}}), ["spec.dnsConfig.searches: has 33 domains, more than 32"]),
    (pod({"dnsConfig": {"searches": [".", "a_b.c."]}}), []),
    (pod({"dnsConfig": {"searches": ["a b"]}}), [
        "spec.dnsConfig.searches[0]: 'a b' must be lower-case letters, digits, '-' and '.', "
        "with a letter or digit at both ends"
    ]),
    (pod({"dnsConfig": {"options": [{"value": "x"}]}}), ["spec.dnsConfig.options[0].name: missing"]),
    (pod({"dnsConfig": {"options": [{"name": "a\nnameserver"}]}}), [
        "spec.dnsConfig.options[0].name: 'a\\nnameserver' must be one word"
    ]),
    (pod({"hostAliases": [{"ip": "1.2.3", "hostnames": ["A"]}]}), [
        "spec.hostAliases[0].ip: '1.2.3' is not an IP address",
        "spec.hostAliases[0].hostnames[0]: 'A' must be lower-case letters, digits, '-' and '.', "
        "with a letter or digit at both ends",
    ]),
    # too much
    (pod(args=["x" * 131_072]), [
        f"{C}.args[0]: is longer than 128 KiB, the most that a process can be given in one string"
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("document", "expected"), TABLE, ids=[" + ".join(e)[:80] or "fine" for _, e in TABLE])
def test_a_mistake_is_told_in_a_sentence(document: dict[str, Any], expected: list[str]) -> None:
    loaded = read(document)
    assert sorted(sentences(loaded)) == sorted(expected)
    wrong = any(p.is_error for p in loaded.problems)
    assert bool(loaded.pods) is not wrong


def test_all_problems_of_a_file_come_at_once_with_their_places() -> None:
    loaded = read_yaml(
        """\
apiVersion: v1
kind: Pod
metadata:
  name: web
spec:
  containers:
  - name: a
    imagee: busybox
    ports:
    - containerPort: 80
      hostPort: 70000
  - image: busybox
---
kind: Deployment
---
kind: Pods
---
apiVersion: v1
kind: Pod
metadata: {name: ok}
spec: {containers: [{name: a, image: b}]}
"""
    )
    assert [str(p) for p in loaded.problems] == [
        "web.yaml:8:5: spec.containers[0].imagee: unknown field, did you mean image?",
        "web.yaml:11:17: spec.containers[0].ports[0].hostPort: 70000 is more than 65535",
        "web.yaml:12:5: spec.containers[1].name: missing",
        "web.yaml:14:7: kind: Deployment is not supported yet",
        "web.yaml:16:7: kind: 'Pods' is not a known kind, did you mean Pod?",
    ]
    assert [p.key for p in loaded.problems] == [Key("default", "web")] * 3 + [None] * 2
    assert loaded.keys_in_error == (Key("default", "web"),)
    assert [(p.spec.key.name, p.line, p.document) for p in loaded.pods] == [("ok", 18, 3)]
    assert not loaded.complete


def test_an_object_of_another_kind_leaves_no_doubt_about_the_pods() -> None:
    loaded = read_yaml("kind: Deployment\nmetadata: {name: web}")
    assert loaded.complete
    assert not loaded.keys_in_error
    assert sentences(loaded) == ["kind: Deployment is not supported yet"]


def test_a_custom_resource_is_no_misspelt_kind_and_leaves_no_doubt_either() -> None:
    loaded = read_yaml("apiVersion: stable.example.com/v1\nkind: CronTab\nmetadata: {name: x}")
    assert loaded.complete and not loaded.keys_in_error
    assert sentences(loaded) == [
        "kind: 'CronTab' is not supported: what a custom resource means is known to its cluster alone"
    ]
    misspelt = read_yaml("apiVersion: networking.k8s.io/v1\nkind: Ingres\nmetadata: {name: x}")
    assert sentences(misspelt) == ["kind: 'Ingres' is not a known kind, did you mean Ingress?"]


def test_a_namespace_need_not_be_made() -> None:
    loaded = read_yaml("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}")
    (said,) = loaded.problems
    assert not said.is_error and loaded.complete
    assert said.message == "Namespace has no effect here: a namespace is there with its first pod"


def test_a_name_that_is_to_be_made_up_is_missing() -> None:
    loaded = read_yaml(
        "apiVersion: v1\nkind: Pod\nmetadata: {generateName: a-}\nspec: {containers: [{name: a, image: b}]}"
    )
    assert "metadata.name: missing: nobody here completes generateName" in sentences(loaded)


@pytest.mark.parametrize(
    "text", ["kind: Po", "metadata: {name: web}", "kind: Pod\nmetadata: {nam: x}", "kind: 5", "- a"]
)
def test_a_document_that_names_no_pod_leaves_the_file_incomplete(text: str) -> None:
    loaded = read_yaml(text)
    assert loaded.problems
    assert not loaded.complete


def test_one_pod_twice_in_a_file_runs_as_the_first_one_says() -> None:
    text = json.dumps(POD).encode()
    loaded = load("x.json", text + b"\n" + text)
    assert [str(p) for p in loaded.problems] == [
        "x.json:2:58: metadata.name: pod default/web is already defined in line 1"
    ]
    assert loaded.problems[0].reason == "DuplicatePod"
    assert len(loaded.pods) == 1
    assert not loaded.keys_in_error
    assert loaded.complete


def test_a_list_of_pods_is_its_items() -> None:
    other = {**POD, "metadata": {"name": "other"}}
    bad = {**POD, "metadata": {"name": "bad"}, "spec": {"containers": [{"name": "a", "imge": "x"}]}}
    loaded = read({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": [POD, other, bad]})
    assert [p.spec.key.name for p in loaded.pods] == ["web", "other"]
    assert sentences(loaded) == ["items[2].spec.containers[0].imge: unknown field, did you mean image?"]
    assert loaded.keys_in_error == (Key("default", "bad"),)
    assert loaded.complete


def test_a_field_written_twice_in_a_list_item_is_that_items_problem() -> None:
    rest = "spec: {containers: [{name: a, image: b}]}"
    loaded = read_yaml(
        f"kind: List\nitems:\n- {{apiVersion: v1, kind: Pod, metadata: {{name: a}}, {rest}}}\n"
        f"- apiVersion: v1\n  kind: Pod\n  kind: Pod\n  metadata: {{name: b}}\n  {rest}\n"
    )
    assert [str(p) for p in loaded.problems] == ["web.yaml:6:3: items[1].kind: written twice (first in line 5)"]
    assert [p.spec.key.name for p in loaded.pods] == ["a"]
    assert loaded.keys_in_error == (Key("default", "b"),)


@pytest.mark.parametrize("text", ["kind: List\nitem: []", "kind: List\nitems: {}", "kind: List"])
def test_a_list_that_is_misspelt_is_no_empty_list(text: str) -> None:
    loaded = read_yaml(text)
    assert loaded.problems
    assert not loaded.complete


def test_null_means_not_set_as_kubectl_writes_it() -> None:
    loaded = read_yaml(
        """\
apiVersion: v1
kind: Pod
metadata:
  creationTimestamp: null
  labels: {run: web, empty: }
  name: web
spec:
  initContainers:
  containers:
  - image: nginx
    name: web
    resources: {}
    livenessProbe: null
  restartPolicy: Always
status: {}
"""
    )
    assert loaded.problems == ()
    assert loaded.pods[0].spec.labels == (("empty", ""), ("run", "web"))


def test_more_problems_than_anyone_reads_are_counted() -> None:
    loaded = read(pod(**{f"x{i}": 1 for i in range(1000)}))
    assert len(loaded.problems) <= MAX_PROBLEMS + 1
    loaded = read_yaml("a: 1\n---\n" * 500)
    assert len(loaded.problems) == MAX_PROBLEMS + 1
    assert loaded.problems[-1].message == "and 400 more problems"


def test_a_problem_is_one_short_line_whatever_the_file_holds() -> None:
    wild = "-\n\x1b[31m" + "x" * 10_000
    loaded = read({**pod(image=wild), "metadata": {"name": "web", "labels": {wild: wild}}, wild: wild})
    assert len(loaded.problems) == 4
    for problem in loaded.problems:
        assert str(problem).isprintable()
        assert len(str(problem)) < 700


def test_references_that_multiply_are_stopped() -> None:
    doubling = [{"name": "V0", "value": "x" * 1000}]
    doubling += [{"name": f"V{i}", "value": f"$(V{i - 1})$(V{i - 1})"} for i in range(1, 60)]
    loaded = read(pod(env=doubling))
    assert any("128 KiB" in p.message for p in loaded.problems)
    many = [{"name": "A", "value": "x" * 100_000}] + [{"name": f"B{i}", "value": "$(A)"} for i in range(50)]
    assert ["in all" in p.message for p in read(pod(env=many)).problems] == [True]


@pytest.mark.parametrize(
    ("line", "column", "field", "message", "told"),
    [
        (3, 7, "spec.a", "unknown field", "/p/a.yaml:3:7: spec.a: unknown field"),
        (3, 0, "", "pod default/a is already defined", "/p/a.yaml:3: pod default/a is already defined"),
        (0, 0, "", "it is strange", "/p/a.yaml: it is strange"),
        (
            0,
            0,
            "",
            "cannot read /p/a.yaml: it is not a regular file",
            "cannot read /p/a.yaml: it is not a regular file",
        ),
    ],
)
def test_a_problem_tells_the_place_as_far_as_there_is_one(
    line: int, column: int, field: str, message: str, told: str
) -> None:
    assert str(Problem("/p/a.yaml", line, column, field, message, "Any")) == told
