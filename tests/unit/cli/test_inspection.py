"""What `inspect` and `pod inspect` tell: podman's keys for what is known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.cli import naming
from reconciler.cli.formats import json_text, object_text
from reconciler.cli.inspection import Seen, container_json
from reconciler.cli.podjson import SeenPod, pod_json
from reconciler.cli.resolve import named_pod
from reconciler.cli.rows import ByHand, of_pod, pod_row
from reconciler.engine.dossier import Address, ContainerDossier
from reconciler.engine.images.image import Image
from reconciler.model.errors import InvalidInput, NotFound
from reconciler.model.key import Named
from reconciler.model.observed import ContainerState
from reconciler.model.spec import (
    ContainerSpec,
    Dns,
    HostAlias,
    Mount,
    PortBinding,
    Resources,
    RestartPolicy,
    SandboxSpec,
    Security,
    Volume,
    VolumeKind,
)
from tests.unit.cli.pods import WALL, container, pod

IMAGE = Image("77" * 32, ("busybox:1",), (Path("/l/low"), Path("/l/high")), ("/entry",), ("serve",), digest="sha256:ab")
CONFIG = {
    "ociVersion": "1.0.2",
    "process": {
        "terminal": True,
        "user": {"uid": 0, "gid": 0, "umask": 18},
        "args": ["/entry", "serve"],
        "env": ["HOSTNAME=webhost", "A=b"],
        "cwd": "/srv",
        "capabilities": {"effective": ["CAP_KILL", "CAP_CHOWN"], "bounding": ["CAP_KILL"]},
        "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 2, "soft": 1}],
        "oomScoreAdj": 998,
        "noNewPrivileges": True,
    },
    "mounts": [
        {"destination": "/mnt", "type": "bind", "source": "/tmp", "options": ["rbind", "rprivate", "ro", "nosuid"]},
        {"destination": "/data", "type": "bind", "source": "/state/v/data", "options": ["rbind", "rslave"]},
    ],
    "linux": {
        "namespaces": [{"type": "mount"}, {"type": "pid"}, {"type": "network", "path": "/proc/79/ns/net"}],
        "resources": {"cpu": {"shares": 2}},
    },
}
SPEC = ContainerSpec(
    "app",
    "busybox:1",
    mounts=(
        Mount("/mnt", Volume("tmp", VolumeKind.HOST_PATH, "/tmp"), read_only=True),
        Mount("/data", Volume("data", VolumeKind.NAMED)),
        Mount("/run", Volume("run", VolumeKind.TMPFS, options=("size=1",))),
    ),
    resources=Resources(cpu_limit=500, memory_limit=64 << 20),
    security=Security(run_as_user=5, run_as_group=6, cap_add=("NET_RAW",)),
    restart=RestartPolicy.ON_FAILURE,
    retries=3,
    grace=7,
    labels=(("k", "v"),),
)
APP = replace(container("web", "app", id_="bb" * 32), spec=SPEC, image_id="77" * 32, log_path="/logs/0.log")
WEB = pod("web", APP, ports=(PortBinding(8080, 80), PortBinding(8081, 80, host_ip="127.0.0.1")))
LIES = ContainerDossier(
    Path("/state/c"), Path("/state/p"), Path("/run/pids/x"), CONFIG, "crun", 41, "/rc/pod-ab/bb", IMAGE
)
ADDRESS = Address("default", "37", "rc-x", "10.0.0.2", 20, "10.0.0.1", "0a:58:0a:00:00:02")


def nothing(_image: str) -> tuple[str, ...]:
    return ()


def seen(**changes: object) -> Seen:
    row = of_pod(WEB, nothing)[0]
    return replace(Seen(row, APP, WEB, LIES, ADDRESS, ("reconciler", "run")), **changes)


def test_a_container():
    told = json.loads(json_text(container_json(seen())))
    assert (told["Id"], told["Name"], told["Path"], told["Args"]) == ("bb" * 32, "web/app", "/entry", ["serve"])
    assert told["State"] | {"Status": "running", "Running": True, "Pid": 42, "ConmonPid": 41} == told["State"]
    assert told["State"]["StartedAt"] == "2023-11-14T22:08:20.000000Z"
    assert told["State"]["FinishedAt"] == "0001-01-01T00:00:00Z"
    assert told["State"]["CgroupPath"] == "/rc/pod-ab/bb"
    assert told["EffectiveCaps"] == ["CAP_CHOWN", "CAP_KILL"]
    assert told["GraphDriver"]["Data"]["LowerDir"] == "/l/high:/l/low"
    assert told["Dependencies"] == [WEB.sandbox.infra.id]
    assert (told["OCIRuntime"], told["HostsPath"]) == ("crun", "/state/p/hosts")


def test_its_mounts():
    path, volume, memory = container_json(seen())["Mounts"]
    assert path == {
        "Type": "bind",
        "Source": "/tmp",
        "Destination": "/mnt",
        "Driver": "",
        "Mode": "",
        "Options": ["rbind", "nosuid"],
        "RW": False,
        "Propagation": "rprivate",
    }
    assert (volume["Type"], volume["Name"], volume["Source"], volume["RW"]) == ("volume", "data", "/state/v/data", True)
    assert (memory["Type"], memory["Destination"]) == ("tmpfs", "/run")


def test_its_network():
    told = container_json(seen())["NetworkSettings"]
    assert (told["IPAddress"], told["Gateway"], told["MacAddress"]) == ("10.0.0.2", "10.0.0.1", "0a:58:0a:00:00:02")
    assert told["Networks"]["default"]["IPPrefixLen"] == 20
    assert told["Ports"] == {
        "80/tcp": [{"HostIp": "", "HostPort": "8080"}, {"HostIp": "127.0.0.1", "HostPort": "8081"}]
    }
    assert container_json(seen(address=Address()))["NetworkSettings"]["Networks"] == {}


def test_its_config():
    told = container_json(seen())["Config"]
    assert (told["Hostname"], told["User"], told["Tty"], told["WorkingDir"]) == ("webhost", "5:6", True, "/srv")
    assert (told["Entrypoint"], told["Cmd"]) == (["/entry"], ["serve"])
    assert (told["Umask"], told["StopTimeout"], told["StopSignal"]) == ("0022", 7, "SIGTERM")
    assert (told["Labels"], told["CreateCommand"]) == ({"k": "v"}, ["reconciler", "run"])


@pytest.mark.parametrize(
    ("command", "args", "entrypoint", "cmd"),
    [
        (("sh",), None, ["sh"], []),
        (("sh",), ("-c",), ["sh"], ["-c"]),
        (None, ("x",), ["/entry"], ["x"]),
        ((), None, [], ["serve"]),
    ],
)
def test_entrypoint_and_command_as_the_spec_and_the_image_have_them(command, args, entrypoint, cmd):
    one = replace(APP, spec=replace(SPEC, command=command, args=args))
    told = container_json(seen(container=one))["Config"]
    assert (told["Entrypoint"], told["Cmd"]) == (entrypoint, cmd)


def test_its_host_config():
    told = container_json(seen())["HostConfig"]
    infra = f"container:{WEB.sandbox.infra.id}"
    assert (told["NetworkMode"], told["PidMode"], told["IpcMode"]) == (infra, "private", infra)
    assert told["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3}
    assert (told["Memory"], told["NanoCpus"], told["CpuQuota"]) == (64 << 20, 500_000_000, 50_000)
    assert told["Binds"] == ["/tmp:/mnt:ro,rprivate,rbind,nosuid", "data:/data:rw,rslave,rbind"]
    assert told["Tmpfs"] == {"/run": "size=1"}
    assert (told["CapAdd"], told["SecurityOpt"]) == (["NET_RAW"], ["no-new-privileges"])
    assert told["Ulimits"] == [{"Name": "RLIMIT_NOFILE", "Soft": 1, "Hard": 2}]
    assert (told["CgroupManager"], told["CgroupParent"]) == ("cgroupfs", "/rc/pod-ab")
    assert told["LogConfig"]["Path"] == "/logs/0.log"


def test_a_container_of_its_own_depends_on_none():
    row = of_pod(WEB, nothing, ByHand(solo=True))[0]
    told = container_json(seen(row=row))
    assert (told["Dependencies"], told["Pod"]) == ([], "")
    assert told["HostConfig"]["NetworkMode"] == "bridge"
    assert list(told["HostConfig"]["PortBindings"]) == ["80/tcp"]


def test_what_is_lost_is_not_made_up():
    ended = replace(APP, state=ContainerState.EXITED, pid=None)
    row = replace(of_pod(WEB, nothing)[0], state="exited", pid=0)
    lost = ContainerDossier(Path("/state/c"), Path("/state/p"), Path("/run/pids/x"))
    told = container_json(seen(row=row, container=ended, lies=lost, address=Address()))
    assert (told["Path"], told["Args"], told["OCIConfigPath"], told["State"]["ConmonPid"]) == ("", [], "", 0)


def test_the_infra_container():
    row = of_pod(WEB, nothing)[-1]
    told = container_json(seen(row=row, container=WEB.sandbox.infra))
    assert (told["IsInfra"], told["Dependencies"], told["ResolvConfPath"]) == (True, [], "")
    assert list(told["HostConfig"]["PortBindings"]) == ["80/tcp"]


@pytest.mark.parametrize(
    ("form", "shown"),
    [
        ("{{.ID}}", "bb" * 32),
        ("{{.State.Pid}} {{.State.Running}}", "42 true"),
        ("{{.State.StartedAt}}", "2023-11-14 22:08:20.000000 +0000 UTC"),
        ("{{.State.FinishedAt}}", "0001-01-01 00:00:00 +0000 UTC"),
        ("{{.Config.Labels}} {{.Config.Labels.no}}", "map[k:v] <no value>"),
        ("{{.NetworkSettings.Ports}}", "map[80/tcp:[{ 8080} {127.0.0.1 8081}]]"),
        ("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", "10.0.0.2"),
        ('{{join .Config.Cmd " "}}', "serve"),
        ("{{json .Config.Labels}} {{json .State.FinishedAt}}", '{"k":"v"} "0001-01-01T00:00:00Z"'),
    ],
)
def test_templates_of_a_container(form, shown):
    assert object_text(form, container_json(seen())) == f"{shown}\n"


# --- pods ----------------------------------------------------------------------------------------------------------


def test_a_pod():
    applied = replace(
        WEB.applied,
        stop_when_done=True,
        restart_policy=RestartPolicy.NEVER,
        limits=Resources(cpu_limit=1500, memory_limit=1 << 20),
        dns=Dns(nameservers=("1.1.1.1",)),
        host_aliases=(HostAlias("10.1.1.1", ("a", "b")),),
    )
    made = replace(WEB, sandbox=replace(WEB.sandbox, applied=applied, created_wall=WALL))
    told = json.loads(json_text(pod_json(SeenPod(pod_row(made, nothing), applied, "/rc/pod-ab", ("pod", "create")))))
    assert (told["Name"], told["State"], told["ExitPolicy"], told["RestartPolicy"]) == ("web", "Running", "stop", "no")
    assert (told["CgroupParent"], told["CgroupPath"]) == ("/rc", "/rc/pod-ab")
    assert (told["NumContainers"], told["InfraContainerID"]) == (2, WEB.sandbox.infra.id)
    assert told["Containers"][0] == {"Id": "bb" * 32, "Name": "web/app", "State": "running"}
    assert told["SharedNamespaces"] == ["ipc", "net", "uts"]
    assert told["InfraConfig"]["PortBindings"]["80/tcp"][0] == {"HostIp": "", "HostPort": "8080"}
    assert told["InfraConfig"]["HostAdd"] == ["a:10.1.1.1", "b:10.1.1.1"]
    assert told["InfraConfig"]["DNSServer"] == ["1.1.1.1"]
    assert (told["cpu_quota"], told["cpu_period"], told["memory_limit"]) == (150_000, 100_000, 1 << 20)
    assert (told["Created"], told["CreateCommand"]) == ("2023-11-14T22:13:20.000000Z", ["pod", "create"])


# --- whom a name means ---------------------------------------------------------------------------------------------

FAR = pod("other-web", container("other-web", "app", id_="dd" * 32))
BB = pod("bb", container("bb", "solo", id_="cc" * 32))


def found(name: str, **kinds: bool) -> str:
    there = naming.anything([named_pod(WEB), named_pod(BB)], name, **kinds)
    if there is None:
        return ""
    return f"container {there.id[:4]}" if isinstance(there, Named) else f"pod {there.key.name}"


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("app", "container bbbb"),
        ("web/app", "container bbbb"),
        ("default/web/app", "container bbbb"),
        ("bb" * 32, "container bbbb"),
        ("bbb", "container bbbb"),
        ("web", "pod web"),
        ("default/web", "pod web"),
        ("bb", "pod bb"),
        ("cc", "container cccc"),
        ("nope", ""),
        ("c", ""),
    ],
)
def test_a_name_means(name, what):
    assert found(name) == what


def test_an_infra_container_has_a_name():
    pods = [named_pod(WEB)]
    assert naming.find_container(pods, "abababababab-infra", infra=True).id == WEB.sandbox.infra.id
    with pytest.raises(NotFound):
        naming.find_container(pods, "abababababab-infra")


def test_an_infra_container_that_was_named_is_called_so():
    spec = replace(WEB.sandbox.applied, sandbox=SandboxSpec(infra_name="holder"))
    named = named_pod(replace(WEB, sandbox=replace(WEB.sandbox, applied=spec)))
    assert naming.find_container([named], "holder", infra=True).id == WEB.sandbox.infra.id


def test_only_one_kind():
    assert found("app", containers=False) == ""
    assert found("web", whole_pods=False) == ""


@pytest.mark.parametrize("name", ["app", "abab"])
def test_several_that_are_meant_are_listed(name):
    with pytest.raises(InvalidInput, match="cannot tell which"):
        naming.anything([named_pod(WEB), named_pod(FAR)], name)
