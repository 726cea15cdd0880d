"""`describe pod`: kubectl's text, from the object that is shown as JSON."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.cli.description import describe
from reconciler.cli.table import elastic
from reconciler.model.events import Event, EventType


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a:\tb\nlonger:\tc", "a:       b\nlonger:  c"),
        ("a:\tb\nno cell\nlonger:\tc", "a:  b\nno cell\nlonger:  c"),
        ("a\tb\tc\nlonger\t\td", "a       b  c\nlonger     d"),
        ("a\tb\nlong\tlonger\tx", "a     b\nlong  longer  x"),
        ("", ""),
    ],
    ids=["aligned", "apart where a line has none", "an empty cell", "the last cell needs no width", "nothing"],
)
def test_cells_are_as_wide_as_their_run(text: str, shown: str) -> None:
    assert elastic(text) == shown


POD: dict[str, Any] = {
    "metadata": {
        "name": "web",
        "namespace": "default",
        "labels": {"tier": "front", "app": "web"},
        "annotations": {"note": "two\nlines", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
    },
    "spec": {
        "initContainers": [{"name": "first", "image": "busybox:1", "command": ["true"]}],
        "containers": [
            {
                "name": "app",
                "image": "nginx:1",
                "args": ["-g", "daemon off;"],
                "ports": [
                    {"containerPort": 80, "protocol": "TCP", "name": "http", "hostPort": 8080},
                    {"containerPort": 53, "protocol": "UDP"},
                ],
                "resources": {"limits": {"memory": "64Mi", "cpu": "500m"}},
                "livenessProbe": {"httpGet": {"path": "/ok", "port": 80}, "periodSeconds": 5},
                "readinessProbe": {"exec": {"command": ["test", "-f", "/x"]}},
                "startupProbe": {"grpc": {"port": 9, "service": "s"}},
                "envFrom": [{"configMapRef": {"name": "all"}, "prefix": "P_"}, {"secretRef": {"name": "hidden"}}],
                "env": [
                    {"name": "A", "value": "one\ntwo"},
                    {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "pass"}}},
                    {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k", "optional": True}}},
                    {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                    {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
                ],
                "volumeMounts": [
                    {"name": "b", "mountPath": "/z", "readOnly": True, "subPath": "part"},
                    {"name": "a", "mountPath": "/a"},
                ],
            }
        ],
        "volumes": [
            {"name": "a", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
            {"name": "b", "hostPath": {"path": "/srv", "type": "Directory"}},
            {"name": "c", "configMap": {"name": "c"}},
            {"name": "p", "projected": {"sources": [{"secret": {"name": "s"}}, {"downwardAPI": {}}]}},
            {"name": "v", "persistentVolumeClaim": {"claimName": "data"}},
        ],
    },
    "status": {
        "phase": "Running",
        "qosClass": "Burstable",
        "startTime": "2026-11-26T03:44:56Z",
        "hostIP": "192.0.2.1",
        "podIPs": [{"ip": "10.0.0.2"}, {"ip": "fd00::2"}],
        "conditions": [
            {"type": "Initialized", "status": "True"},
            {"type": "Ready", "status": "False", "reason": "ContainersNotReady", "message": "why"},
        ],
        "initContainerStatuses": [
            {
                "name": "first",
                "imageID": "sha",
                "containerID": "reconciler://1",
                "ready": True,
                "restartCount": 0,
                "state": {"terminated": {"reason": "Completed", "exitCode": 0, "finishedAt": "2026-11-26T03:44:57Z"}},
            }
        ],
        "containerStatuses": [
            {
                "name": "app",
                "imageID": "sha",
                "ready": False,
                "restartCount": 3,
                "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}},
                "lastState": {"terminated": {"reason": "Error", "exitCode": 1, "message": "bye\nbye\n"}},
            }
        ],
    },
}

EVENTS = [
    Event("default/web", EventType.NORMAL, "Started", "Started container app", 900, 990),
    Event("default/web", EventType.WARNING, "BackOff", "back-off\nagain", 400, 995, count=7),
]

TEXT = """\
Name:         web
Namespace:    default
Priority:     0
Node:         here/192.0.2.1
Start Time:   Thu, 26 Nov 2026 03:44:56 +0000
Labels:       app=web
              tier=front
Annotations:  note: two lines
Status:       Running
IP:           10.0.0.2
IPs:
  IP:           10.0.0.2
  IP:           fd00::2
Controlled By:  dir:/etc/pods
Init Containers:
  first:
    Container ID:  reconciler://1
    Image:         busybox:1
    Image ID:      sha
    Port:          <none>
    Host Port:     <none>
    Command:
      true
    State:          Terminated
      Reason:       Completed
      Exit Code:    0
      Finished:     Thu, 26 Nov 2026 03:44:57 +0000
    Ready:          True
    Restart Count:  0
    Environment:    <none>
    Mounts:         <none>
Containers:
  app:
    Container ID:
    Image:         nginx:1
    Image ID:      sha
    Ports:         80/TCP (http), 53/UDP
    Host Ports:    8080/TCP (http), 0/UDP
    Args:
      -g
      daemon off;
    State:          Waiting
      Reason:       CrashLoopBackOff
      Message:      back-off 10s
    Last State:     Terminated
      Reason:       Error
      Message:      bye
                    bye
      Exit Code:    1
    Ready:          False
    Restart Count:  3
    Limits:
      cpu:      500m
      memory:   64Mi
    Liveness:   http-get http://:80/ok delay=0s timeout=1s period=5s #success=1 #failure=3
    Readiness:  exec [test -f /x] delay=0s timeout=1s period=10s #success=1 #failure=3
    Startup:    grpc <pod>:9 s delay=0s timeout=1s period=10s #success=1 #failure=3
    Environment Variables from:
      all     ConfigMap with prefix 'P_'  Optional: false
      hidden  Secret                      Optional: false
    Environment:
      A:         one
                 two
      PASSWORD:  <set to the key 'pass' in secret 'db'>  Optional: false
      C:         <set to the key 'k' of config map 'c'>  Optional: true
      IP:         (v1:status.podIP)
      CPU:        (limits.cpu)
    Mounts:
      /a from a (rw)
      /z from b (ro,path="part")
Conditions:
  Type         Status  Reason
  Initialized  True
  Ready        False   ContainersNotReady: why
Volumes:
  a:
    Type:       EmptyDir (a temporary directory that shares a pod's lifetime)
    Medium:     Memory
    SizeLimit:  1Mi
  b:
    Type:          HostPath (bare host directory volume)
    Path:          /srv
    HostPathType:  Directory
  c:
    Type:      ConfigMap (a volume populated by a ConfigMap)
    Name:      c
    Optional:  false
  p:
    Type:         Projected (a volume that contains injected data from multiple sources)
    SecretName:   s
    Optional:     false
    DownwardAPI:  true
  v:
    Type:       PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)
    ClaimName:  data
    ReadOnly:   false
QoS Class:      Burstable
Events:
  Type     Reason   Age               From        Message
  ----     ------   ----              ----        -------
  Normal   Started  10s               reconciler  Started container app
  Warning  BackOff  5s (x7 over 10m)  reconciler  back-off again"""


def test_a_pod_is_described_as_kubectl_does_it() -> None:
    assert described(POD) == TEXT


def described(pod: dict[str, Any], word: str = "Running") -> str:
    return describe(pod, EVENTS, node="here", owner="dir:/etc/pods", word=word, now=1000)


def test_a_bare_one() -> None:
    bare = {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"containers": [{"name": "app", "image": "x"}]},
        "status": {"phase": "Pending", "reason": "Evicted", "message": "a\tb"},
    }
    shown = describe(bare, [], node="here", owner="", word="Terminating", now=0)
    assert "Start Time:   <none>\nLabels:       <none>\nAnnotations:  <none>\nStatus:       Terminating\n" in shown
    assert "Reason:       Evicted\nMessage:      a       b\nIP:\nIPs:          <none>\nContainers:\n" in shown
    assert "    State:          Waiting\n    Ready:          False\n" in shown
    assert shown.endswith("Volumes:            <none>\nQoS Class:          <none>\nEvents:             <none>")


def test_what_a_terminal_would_obey_is_shown_harmless() -> None:
    pod = {**POD, "metadata": {**POD["metadata"], "labels": {"a": "\x1b[31mred"}}}
    assert "\x1b" not in described(pod)
