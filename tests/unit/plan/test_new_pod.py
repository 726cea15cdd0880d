"""What is done in one round for a pod that is not there yet: one thing different in each row."""

from __future__ import annotations

from dataclasses import replace

from reconciler.model.key import Key
from reconciler.model.observed import PortHolder
from tests.unit.plan.scenes import (
    CREATE_BOTH,
    NGINX,
    Row,
    check,
    missing_reference,
    never_pulled,
    new,
    new_after,
    no_images,
    one_image,
    port_taken,
    port_taken_and_no_images,
    problem,
    pull_failed,
    rows,
)


@rows(
    Row("a new pod begins with its infra container", new, ("create pod default/shop because it is not there yet",)),
    Row(
        "once the infra container runs the network is set up and the members are created at the same time",
        new_after(1),
        (*CREATE_BOTH, "set up the pod's network because its infra container runs"),
    ),
    Row(
        "members that are created start when the network stands",
        new_after(2),
        (
            "start container side because it is created and the pod is ready",
            "start container web because it is created and the pod is ready",
        ),
    ),
    Row("a pod that runs as wanted needs nothing", new_after(3)),
    Row(
        "missing images are pulled while the infra container is made",
        no_images,
        (
            "create pod default/shop because it is not there yet",
            "pull image busybox:1 because image busybox:1 is not here",
            "pull image busybox:2 because image busybox:2 is not here",
        ),
        ("container side waits: pulling image busybox:1", "container web waits: pulling image busybox:2"),
    ),
    Row(
        "a member whose image is pulled waits, its sibling does not",
        one_image,
        (CREATE_BOTH[0], "set up the pod's network because its infra container runs"),
        ("container web waits: pulling image busybox:2",),
    ),
    Row(
        "an image that may not be pulled is waited for, not pulled",
        never_pulled,
        ("create pod default/shop because it is not there yet",),
        ("container web waits: image busybox:1 is not here and imagePullPolicy is Never",),
    ),
    Row(
        "a failed pull is tried again when its time has come, not before",
        pull_failed(4),
        ("set up the pod's network because its infra container runs",),
        ("container web waits: cannot pull image busybox:1: manifest unknown",),
        wake=6,
    ),
    Row(
        "when its time has come a failed pull is tried again",
        pull_failed(10),
        (
            "pull image busybox:1 because the last pull of busybox:1 failed and is tried again",
            "set up the pod's network because its infra container runs",
        ),
        ("container web waits: cannot pull image busybox:1: manifest unknown",),
    ),
    Row(
        "a reference that nothing answers keeps the pod from being created",
        missing_reference,
        waits=('the pod waits: configmap "settings" not found (needed by spec.volumes[0])',),
    ),
    Row(
        "a problem of the whole pod keeps it from being created, and is looked at again",
        problem(""),
        waits=("the pod waits: no such directory: /srv",),
        wake=10,
    ),
    Row(
        "a problem that time does not heal is not looked at again",
        problem("", transient=False),
        waits=("the pod waits: no such directory: /srv",),
    ),
    Row(
        "a problem of one member does not keep the pod from being created",
        problem("web"),
        ("create pod default/shop because it is not there yet",),
        ("container web waits: no such directory: /srv",),
        wake=10,
    ),
    Row(
        "a port that a process holds keeps the pod from being created, and names the process",
        port_taken(NGINX),
        waits=("the pod waits: port 8080/tcp is held by pid 123 (nginx)",),
        wake=3,
    ),
    Row(
        "images are pulled while a pod waits for its port",
        port_taken_and_no_images,
        ("pull image busybox:1 because image busybox:1 is not here",),
        ("the pod waits: port 8080/tcp is held by pid 123 (nginx)", "container web waits: pulling image busybox:1"),
        wake=3,
    ),
    Row(
        "a port on another protocol is no conflict",
        port_taken(replace(NGINX, binding=replace(NGINX.binding, protocol="UDP"))),
        ("create pod default/shop because it is not there yet",),
    ),
    Row(
        "a port that another pod of ours is about to give up is waited for",
        port_taken(PortHolder(NGINX.binding, key=Key("default", "old"), yields=True)),
        waits=("the pod waits: port 8080/tcp is held by pod default/old",),
        wake=1,
    ),
)
def test_a_new_pod(row: Row):
    check(row)
