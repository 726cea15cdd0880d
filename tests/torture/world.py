"""What should run: the shadow that a run of torture keeps of the machine, and the manifests that say so. Pure.

Every container carries a *mark* in its environment: pod, member and the number of the edit that made it what it is. So
what runs can be told from /proc alone.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from tests.host.manifests import Manifest, container, pod

BASE = "localhost/reconciler/busybox:1"
REGISTRY = "registry.test/app"
"""Led to a registry on this machine by the registries.conf of a run."""
IMAGES = 4
"""Images of the registry, by number; 0 is the example image, which is never pulled."""
STAMP = "etc/torture"
"""A file of each image of the registry: its number."""
OBJECTS = "objects.yaml"
MARK, PASSWORD = "TORTURE", "PASSWORD"
PORT = 8080

_TRAP = 'trap "exit 0" TERM; '
_ON = 'echo "$TORTURE"; while :; do sleep 1000 & wait; done'


class Role(StrEnum):
    """What a member does."""

    STEADY = "steady"
    WEB = "web"
    STUBBORN = "stubborn"
    CRASHING = "crashing"
    PROBED = "probed"
    TOLD = "told"
    SIDECAR = "sidecar"
    INIT = "init"
    ONCE = "once"

    @property
    def lasts(self) -> bool:
        """Whether it runs for ever once its turn has come."""
        return self not in (Role.CRASHING, Role.INIT, Role.ONCE)

    @property
    def writes_once(self) -> bool:
        """Whether each version of it runs once in a life of its pod, and writes that down."""
        return self in (Role.INIT, Role.ONCE)


PROGRAMS = {
    Role.STEADY: _TRAP + _ON,
    Role.PROBED: _TRAP + _ON,
    Role.TOLD: _TRAP + _ON,
    Role.SIDECAR: _TRAP + _ON,
    Role.WEB: f'{_TRAP}mkdir -p /tmp/w; echo "$TORTURE" >/tmp/w/index.html; httpd -p {PORT} -h /tmp/w; {_ON}',
    Role.STUBBORN: 'trap "" TERM; ' + _ON,
    Role.CRASHING: 'echo "$TORTURE"; sleep 0.2; exit 3',
    Role.INIT: 'echo "$TORTURE" >>/ran/$POD; echo "$TORTURE" >/data/first',
    Role.ONCE: 'echo "$TORTURE" >>/ran/$POD',
}


class Shape(StrEnum):
    """What a pod is made of."""

    PLAIN = "plain"
    WEB = "web"
    BEGUN = "begun"
    TOLD = "told"
    ONCE = "once"
    CRASH = "crash"
    SHARED = "shared"
    PROBED = "probed"


MEMBERS: dict[Shape, tuple[tuple[str, Role], ...]] = {
    Shape.PLAIN: (("main", Role.STEADY), ("side", Role.STEADY)),
    Shape.WEB: (("web", Role.WEB), ("side", Role.STEADY)),
    Shape.BEGUN: (("first", Role.INIT), ("beside", Role.SIDECAR), ("main", Role.STEADY)),
    Shape.TOLD: (("app", Role.TOLD), ("side", Role.STEADY)),
    Shape.ONCE: (("job", Role.ONCE),),
    Shape.CRASH: (("loop", Role.CRASHING), ("side", Role.STEADY)),
    Shape.SHARED: (("main", Role.STUBBORN), ("side", Role.STEADY)),
    Shape.PROBED: (("main", Role.PROBED), ("side", Role.STEADY)),
}


@dataclass(frozen=True, slots=True)
class Member:
    """``version``: the edit that last changed it; another number is another container. ``crashed``: it was killed once,
    and a second time its next start would wait for the back-off."""

    name: str
    role: Role
    version: int
    image: int = 0
    crashed: bool = False


@dataclass(frozen=True, slots=True)
class Pod:
    """``life``: the edit since which its infra container must be the same. ``again``: something was killed by which
    what runs once may have run again."""

    name: str
    shape: Shape
    file: str
    life: int
    members: tuple[Member, ...]
    port: int = 0
    label: int = 0
    broken: bool = False
    again: bool = False

    def member(self, name: str) -> Member:
        return next(m for m in self.members if m.name == name)

    def with_member(self, changed: Member) -> Pod:
        return replace(self, members=tuple(changed if m.name == changed.name else m for m in self.members))

    def mark(self, member: Member) -> str:
        return f"{self.name}/{member.name}/{member.version}"


@dataclass(frozen=True, slots=True)
class Hand:
    """A container made by `run -d --restart=always`."""

    name: str
    version: int
    running: bool = True
    crashed: bool = False

    @property
    def mark(self) -> str:
        return f"{self.name}/{self.name}/{self.version}"

    def words(self) -> tuple[str, ...]:
        """The command that makes it."""
        options = ("-d", "--restart", "always", "--stop-timeout", "1", "-e", f"{MARK}={self.mark}")
        return ("run", *options, "--name", self.name, BASE, "sh", "-c", PROGRAMS[Role.STEADY])


@dataclass(frozen=True, slots=True)
class World:
    """``edits``: how many there were so far. ``config``, ``secret``: what the objects hold."""

    pods: dict[str, Pod] = field(default_factory=dict)
    hands: dict[str, Hand] = field(default_factory=dict)
    config: int = 0
    secret: int = 0
    edits: int = 0

    def having(self, *changed: Pod) -> World:
        return replace(self, pods={**self.pods, **{pod.name: pod for pod in changed}})

    def without(self, name: str) -> World:
        return replace(self, pods={n: pod for n, pod in self.pods.items() if n != name})

    def holding(self, hand: Hand) -> World:
        return replace(self, hands={**self.hands, hand.name: hand})

    def dropping(self, name: str) -> World:
        return replace(self, hands={n: hand for n, hand in self.hands.items() if n != name})

    def mended(self) -> World:
        """With no broken file."""
        return self.having(*(replace(pod, broken=False) for pod in self.pods.values() if pod.broken))

    def files(self) -> dict[str, str]:
        """Every file of the folder."""
        return {OBJECTS: objects(self), **{pod.file: manifest(pod) for pod in self.pods.values()}}


def image_name(number: int) -> str:
    return f"{REGISTRY}:{number}" if number else BASE


def objects(world: World) -> str:
    """The ConfigMap and the Secret that pods of the shape ``told`` use."""
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}}
    password = base64.b64encode(str(world.secret).encode()).decode()
    return _text(config | {"data": {"level": str(world.config)}}) + "---\n" + _text(secret | {"data": {"p": password}})


def manifest(pod_: Pod) -> str:
    """The pod's file; a broken one ends in its middle."""
    main = [_container(pod_, m) for m in pod_.members if m.role not in (Role.INIT, Role.SIDECAR)]
    before = [_container(pod_, m) for m in pod_.members if m.role in (Role.INIT, Role.SIDECAR)]
    spec: dict[str, Any] = {"terminationGracePeriodSeconds": 1, "volumes": _volumes(pod_.shape)}
    if before:
        spec["initContainers"] = before
    if pod_.shape is Shape.ONCE:
        spec["restartPolicy"] = "OnFailure"
    if pod_.shape is Shape.SHARED:
        spec["shareProcessNamespace"] = True
    made = pod(pod_.name, *main, **spec)
    made["metadata"]["labels"] = {"edit": str(pod_.label)}
    text = _text(made)
    return text[: len(text) // 2] if pod_.broken else text


def _text(one: Manifest) -> str:
    return json.dumps(one, indent=1) + "\n"


RAN = "/ran"
"""Where those that run once write it down: replaced by a directory of the run when files are written."""


def _volumes(shape: Shape) -> list[Manifest]:
    data: Manifest = {"name": "data", "emptyDir": {"medium": "Memory"} if shape is Shape.SHARED else {}}
    volumes = [data]
    if shape in (Shape.BEGUN, Shape.ONCE):
        volumes.append({"name": "ran", "hostPath": {"path": RAN, "type": "Directory"}})
    if shape is Shape.TOLD:
        volumes.append({"name": "settings", "configMap": {"name": "settings"}})
    return volumes


def _container(pod_: Pod, member: Member) -> Manifest:
    env: list[Manifest] = [{"name": MARK, "value": pod_.mark(member)}, {"name": "POD", "value": pod_.name}]
    mounts = [{"name": "data", "mountPath": "/data"}]
    fields: dict[str, Any] = {"command": ["sh", "-c", PROGRAMS[member.role]], "env": env, "volumeMounts": mounts}
    if member.role.writes_once:
        mounts.append({"name": "ran", "mountPath": "/ran"})
    if member.role is Role.SIDECAR:
        fields["restartPolicy"] = "Always"
    if member.role is Role.TOLD:
        env.append({"name": PASSWORD, "valueFrom": {"secretKeyRef": {"name": "keys", "key": "p"}}})
        mounts.append({"name": "settings", "mountPath": "/settings"})
    if member.role is Role.WEB:
        fields["ports"] = [{"containerPort": PORT, **({"hostPort": pod_.port} if pod_.port else {})}]
        fields["readinessProbe"] = {"httpGet": {"port": PORT}, "periodSeconds": 2}
    if member.role is Role.PROBED:
        often = {"periodSeconds": 2, "timeoutSeconds": 20, "failureThreshold": 20}
        fields["livenessProbe"] = {"exec": {"command": ["true"]}, **often}
    return container(member.name, image_name(member.image), **fields)
