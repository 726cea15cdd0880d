"""What `ps` and `pod ps` make of rows. The seed page's lines, and what podman 4.3 prints for the same."""

from __future__ import annotations

import json
import re

import pytest

from reconciler.cli import containerlist, formats, podlist, ps
from reconciler.cli.maps import Map
from reconciler.cli.rows import ContainerRow, PodRow
from reconciler.model.errors import InvalidInput
from reconciler.model.spec import Mount, PortBinding, Volume, VolumeKind

NOW = 1_700_000_000.0
PORT = PortBinding(32597, 80)
POD = {"pod": "9ad533c54fc7" + "0" * 52, "pod_name": "nginx", "namespace": "default", "networks": ("default",)}
NGINX = ContainerRow(
    "b775f06b6aa8" + "1" * 52,
    "determined_lamarr",
    "determined_lamarr",
    "running",
    image="quay.io/libpod/alpine_nginx:latest",
    image_id="cc" * 32,
    command=("nginx", "-g", "daemon off;"),
    created=NOW - 125,
    started=NOW - 121,
    pid=42,
    ports=(PORT,),
    labels=Map(app="web"),
    mounts=(Mount("/mnt", Volume("d", VolumeKind.HOST_PATH, "/tmp")),),
    **POD,
)
INFRA = ContainerRow(
    "0587f29da798" + "2" * 52,
    "9ad533c54fc7-infra",
    "9ad533c54fc7-infra",
    "running",
    image="localhost/reconciler-pause:1",
    created=NOW - 126,
    started=NOW - 121,
    infra=True,
    ports=(PORT,),
    **POD,
)
SOLO = ContainerRow("aa" * 32, "solo", "solo", "exited", created=NOW - 10, finished=NOW - 3, exit_code=1)
FRESH = ContainerRow("bb" * 32, "fresh", "fresh", "created", created=NOW - 60)
ROWS = [INFRA, NGINX, FRESH, SOLO]


def test_the_seed_pages_listing():
    shown = ps.as_table(containerlist.ordered([INFRA, NGINX]), NOW, with_pod=True)
    assert shown == (
        "CONTAINER ID  IMAGE                               COMMAND               CREATED        STATUS"
        "            PORTS                  NAMES               POD\n"
        "b775f06b6aa8  quay.io/libpod/alpine_nginx:latest  nginx -g daemon o...  2 minutes ago  Up 2 minutes ago"
        "  0.0.0.0:32597->80/tcp  determined_lamarr   9ad533c54fc7\n"
        "0587f29da798  localhost/reconciler-pause:1                              2 minutes ago  Up 2 minutes ago"
        "  0.0.0.0:32597->80/tcp  9ad533c54fc7-infra  9ad533c54fc7"
    )


def test_without_pods_headings_or_truncation():
    line = ps.as_table([NGINX], NOW, full=True, header=False)
    assert line.startswith(NGINX.id)
    assert "nginx -g daemon off;" in line
    assert line.endswith("determined_lamarr")
    assert "POD" not in ps.as_table([NGINX], NOW)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (NGINX, "Up 2 minutes ago"),
        (SOLO, "Exited (1) 3 seconds ago"),
        (FRESH, "Created"),
        (ContainerRow("1", "p", "p", "paused"), "Paused"),
        (ContainerRow("1", "p", "p", "running", started=NOW - 18, stopping=True), "Up 18 seconds ago (stopping)"),
        (ContainerRow("1", "p", "p", "exited", exit_code=137, oom=True, finished=NOW), "Exited (137, OOMKilled) Less"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_statuses(row, words):
    assert containerlist.status(row, NOW).startswith(words)


@pytest.mark.parametrize(
    ("wanted", "options", "names"),
    [
        ([], {}, ["9ad533c54fc7-infra", "determined_lamarr"]),
        ([], {"everything": True}, ["9ad533c54fc7-infra", "determined_lamarr", "fresh", "solo"]),
        ([], {"most": 1}, ["solo"]),
        ([], {"most": 2}, ["solo", "fresh"]),
        (["status=exited"], {}, ["solo"]),
        (["name=solo"], {}, []),
        (["name=f"], {"most": 5}, ["fresh", "9ad533c54fc7-infra"]),
    ],
)
def test_which_are_shown(wanted, options, names):
    assert [row.name for row in ps.chosen(ROWS, wanted, NOW, **options)] == names


@pytest.mark.parametrize(
    ("by", "first"),
    [
        ("created", "solo"),
        ("names", "9ad533c54fc7-infra"),
        ("id", "9ad533c54fc7-infra"),
        ("image", "fresh"),
        ("status", "fresh"),
        ("command", "9ad533c54fc7-infra"),
        ("runningfor", "fresh"),
        ("pod", "fresh"),
    ],
)
def test_orders(by, first):
    assert containerlist.ordered(ROWS, by)[0].name == first


def test_json_has_podmans_keys():
    one = json.loads(formats.json_text([containerlist.as_json(NGINX, NOW, with_namespaces=False)]))[0]
    assert {
        "AutoRemove": False,
        "Command": ["nginx", "-g", "daemon off;"],
        "CreatedAt": "2 minutes ago",
        "Exited": False,
        "ExitedAt": -62135596800,
        "ExitCode": 0,
        "Id": NGINX.id,
        "Image": "quay.io/libpod/alpine_nginx:latest",
        "ImageID": "cc" * 32,
        "IsInfra": False,
        "Labels": {"app": "web"},
        "Mounts": ["/mnt"],
        "Names": ["determined_lamarr"],
        "Namespaces": {},
        "Networks": ["default"],
        "Pid": 42,
        "Pod": NGINX.pod,
        "PodName": "nginx",
        "Ports": [{"host_ip": "", "container_port": 80, "host_port": 32597, "range": 1, "protocol": "tcp"}],
        "Size": None,
        "StartedAt": int(NOW) - 121,
        "State": "running",
        "Status": "Up 2 minutes ago",
        "Created": int(NOW) - 125,
    }.items() <= one.items()


def test_json_of_what_has_neither_command_nor_ports():
    one = containerlist.as_json(SOLO, NOW, with_namespaces=False)
    assert (one["Command"], one["Ports"], one["Exited"], one["ExitedAt"]) == (None, None, True, int(NOW) - 3)


def test_every_placeholder_that_podman_documents_can_be_asked_for():
    names = "ID Image ImageID Command CreatedAt RunningFor Status State Pod PodName Ports Names Networks Labels Mounts"
    names += " Pid Restarts Created ExitCode Exited ExitedAt StartedAt IsInfra AutoRemove Namespaces CreatedHuman"
    given = [containerlist.fields(NGINX, NOW, full=False)]
    for name in names.split():
        assert formats.rows_text(f"{{{{.{name}}}}}", given, containerlist.HEADINGS), name
    shown = formats.rows_text("{{.CreatedAt}}|{{.RunningFor}}|{{.Pod}}|{{.ImageID}}", given, containerlist.HEADINGS)
    assert shown == "2023-11-14 22:11:15.000000 +0000 UTC|2 minutes ago|9ad533c54fc7|cccccccccccc\n"


def test_the_size_of_a_container_is_not_known():
    with pytest.raises(InvalidInput, match="sizes are not known"):
        formats.rows_text("{{.Size}}", [containerlist.fields(NGINX, NOW, full=False)], {})


def test_namespaces_of_a_process():
    here = ContainerRow("1", "me", "me", "running", pid=1)
    assert all(number.isdigit() for number in containerlist.namespaces(here).values())
    assert containerlist.as_json(here, NOW, with_namespaces=True)["Namespaces"].keys() == {
        "Cgroup", "Ipc", "Mnt", "Net", "Pidns", "User", "Uts",
    }  # fmt: skip
    assert set(containerlist.namespaces(SOLO).values()) == {""}
    line = ps.as_table([SOLO], NOW, spaces=True).splitlines()[0]
    assert ",".join(re.split("  +", line)) == "CONTAINER ID,NAMES,PID,CGROUPNS,IPC,MNT,NET,PIDNS,USERNS,UTS"


# --- pods ----------------------------------------------------------------------------------------------------------

PODS = [
    PodRow("70401d508418" + "0" * 52, "jolly_mestorf", "default", NOW - 780, "Running", (SOLO, FRESH), Map(a="b")),
    PodRow("9ad533c54fc7" + "0" * 52, "nginx", "default", NOW - 120, "Running", (NGINX, INFRA), Map(), ("default",)),
]


def parent(_row: PodRow) -> str:
    return "/reconciler"


def test_the_seed_pages_columns_of_pods():
    columns = podlist.columns()
    assert [podlist.heading(field) for field in columns] == [
        "POD ID", "NAME", "STATUS", "CREATED", "# OF CONTAINERS", "INFRA ID",
    ]  # fmt: skip
    first = podlist.fields(podlist.ordered(PODS, "created")[0], NOW, parent, full=False)
    assert [first[field] for field in columns] == [
        "9ad533c54fc7", "nginx", "Running", "2 minutes ago", 2, "0587f29da798",
    ]  # fmt: skip


def test_what_is_told_of_each_container_takes_the_place_of_their_number():
    columns = podlist.columns(ids=True, names=True, statuses=True, spaces=True)
    assert [podlist.heading(field) for field in columns] == [
        "POD ID", "NAME", "STATUS", "CREATED", "IDS", "NAMES", "STATUS", "INFRA ID", "CGROUP", "NAMESPACES",
    ]  # fmt: skip
    given = podlist.fields(PODS[0], NOW, parent, full=False)
    assert given["ContainerNames"] == "solo,fresh"
    assert given["ContainerStatuses"] == "exited,created"
    assert given["ContainerIds"] == "aaaaaaaaaaaa,bbbbbbbbbbbb"


def test_json_of_a_pod_has_podmans_keys():
    assert podlist.as_json(PODS[1], parent) == {
        "Cgroup": "/reconciler",
        "Containers": [
            {"Id": NGINX.id, "Names": "determined_lamarr", "Status": "running", "RestartCount": 0},
            {"Id": INFRA.id, "Names": "9ad533c54fc7-infra", "Status": "running", "RestartCount": 0},
        ],
        "Created": "2023-11-14T22:11:20.000000Z",
        "Id": PODS[1].id,
        "InfraId": INFRA.id,
        "Name": "nginx",
        "Namespace": "default",
        "Networks": ["default"],
        "Status": "Running",
        "Labels": {},
    }


def test_fields_of_a_pod_by_template():
    given = [podlist.fields(row, NOW, parent, full=False) for row in PODS]
    form = r"table {{.ID}}\t{{.NumberOfContainers}}\t{{.Labels}}\t{{.Cgroup}}"
    assert formats.rows_text(form, given, podlist.HEADINGS) == (
        "POD ID        # OF CONTAINERS  LABELS    CGROUP\n"
        "70401d508418  2                map[a:b]  /reconciler\n"
        "9ad533c54fc7  2                map[]     /reconciler\n"
    )


@pytest.mark.parametrize(
    ("by", "first"),
    [("created", "nginx"), ("name", "jolly_mestorf"), ("id", "jolly_mestorf"), ("number", "jolly_mestorf")],
)
def test_orders_of_pods(by, first):
    assert podlist.ordered(PODS, by)[0].name == first
