"""A pod described as kubectl describes it (pkg/describe/describe.go), from the object that `get -o json` shows. Pure.

Cells are parted by tabs, and each run of lines that have one is aligned (``table.elastic``). Values that come from
Secrets and ConfigMaps are named, never shown: the object has none of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from email.utils import format_datetime
from typing import Any

from reconciler.cli.describedvolumes import volumes
from reconciler.cli.table import age, elastic
from reconciler.cli.terminal import harmless
from reconciler.model.events import Event

Json = Mapping[str, Any]
Lines = Iterator[str]

NONE = "<none>"
SOURCE = "reconciler"
"""Who tells the events."""

TERMINATING = "Terminating"

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
"""kubectl's annotation with the whole manifest again, which it does not show either."""


def describe(pod: Json, events: Sequence[Event], *, node: str, owner: str, word: str, now: float) -> str:
    """The whole text. ``node`` is this machine's name, ``owner`` the pod's source, ``word`` that of the STATUS column,
    ``now`` in seconds of the wall clock."""
    meta, spec, status = pod["metadata"], pod["spec"], pod["status"]
    lines = [
        *_head(meta, spec, status, node, word),
        *([f"Controlled By:\t{owner}"] if owner else []),
        *_pod_resources(spec.get("resources", {})),
        *_containers("Init Containers", spec.get("initContainers", ()), status.get("initContainerStatuses", ())),
        *_containers("Containers", spec["containers"], status.get("containerStatuses", ())),
        *_conditions(status.get("conditions", ())),
        *volumes(spec.get("volumes", ())),
        f"QoS Class:\t{status.get('qosClass', NONE)}",
        *_events(events, now),
    ]
    return elastic("\n".join(harmless_line(line) for line in lines))


def harmless_line(line: str) -> str:
    """The line without what a terminal would obey; its tabs stay."""
    return "\t".join(harmless(cell) for cell in line.split("\t"))


def _head(meta: Json, spec: Json, status: Json, node: str, word: str) -> Lines:
    yield f"Name:\t{meta['name']}"
    yield f"Namespace:\t{meta['namespace']}"
    yield f"Priority:\t{spec.get('priority', 0)}"
    yield f"Node:\t{node}{'/' if status.get('hostIP') else ''}{status.get('hostIP', '')}"
    yield f"Start Time:\t{when(status['startTime']) if 'startTime' in status else NONE}"
    yield from _multiline("Labels", [f"{key}={value}" for key, value in sorted(meta.get("labels", {}).items())])
    shown = [item for item in sorted(meta.get("annotations", {}).items()) if item[0] != LAST_APPLIED]
    yield from _multiline("Annotations", [f"{key}: {value.expandtabs()}" for key, value in shown])
    yield f"Status:\t{word if word == TERMINATING else status['phase']}"
    yield from (f"{name.title()}:\t{status[name].expandtabs()}" for name in ("reason", "message") if name in status)
    addresses = [entry["ip"] for entry in status.get("podIPs", ())]
    yield f"IP:\t{addresses[0] if addresses else ''}"
    yield _opened("IPs", bool(addresses))
    yield from (f"  IP:\t{address}" for address in addresses)


def _opened(title: str, has_some: bool) -> str:
    return f"{title}:" if has_some else f"{title}:\t{NONE}"


def _multiline(title: str, texts: Iterable[str]) -> Lines:
    """Below each other, the first beside the title."""
    first = f"{title}:"
    for text in texts:
        yield f"{first}\t{text.replace(chr(10), ' ')}"
        first = ""
    if first:
        yield f"{first}\t{NONE}"


def _pod_resources(resources: Json) -> Lines:
    if resources:
        yield "Resources:"
        yield from (f"  {line}" for line in _resources(resources))


def _resources(resources: Json) -> Lines:
    for title, name in (("Limits", "limits"), ("Requests", "requests")):
        if amounts := resources.get(name):
            yield f"{title}:"
            yield from (f"  {what}:\t{amount}" for what, amount in sorted(amounts.items()))


def _containers(title: str, specs: Sequence[Json], statuses: Sequence[Json]) -> Lines:
    if not specs:
        return
    by_name = {status["name"]: status for status in statuses}
    yield f"{title}:"
    for spec in specs:
        yield f"  {spec['name']}:"
        yield from (f"    {line}" for line in _container(spec, by_name.get(spec["name"], {})))


def _container(spec: Json, status: Json) -> Lines:
    yield f"Container ID:\t{status.get('containerID', '')}"
    yield f"Image:\t{spec['image']}"
    yield f"Image ID:\t{status.get('imageID', '')}"
    yield from _ports(spec.get("ports", ()))
    for title, name in (("Command", "command"), ("Args", "args")):
        if spec.get(name):
            yield f"{title}:"
            yield from (f"  {part.expandtabs()}" for word in spec[name] for part in word.split("\n"))
    yield from _state("State", status.get("state", {}))
    if "terminated" in status.get("lastState", {}):
        yield from _state("Last State", status["lastState"])
    yield f"Ready:\t{status.get('ready', False)}"
    yield f"Restart Count:\t{status.get('restartCount', 0)}"
    yield from _resources(spec.get("resources", {}))
    for title in ("Liveness", "Readiness", "Startup"):
        if probe := spec.get(f"{title.lower()}Probe"):
            yield f"{title}:\t{_probe(probe)}"
    yield from _environment(spec)
    mounts = sorted(spec.get("volumeMounts", ()), key=lambda mount: str(mount["mountPath"]))
    yield _opened("Mounts", bool(mounts))
    yield from (f"  {mount['mountPath']} from {mount['name']} ({_how(mount)})" for mount in mounts)


def _ports(ports: Sequence[Json]) -> Lines:
    more = "s" if len(ports) > 1 else ""
    inner = [f"{port['containerPort']}/{port['protocol']}{_called(port)}" for port in ports]
    outer = [f"{port.get('hostPort', 0)}/{port['protocol']}{_called(port)}" for port in ports]
    yield f"Port{more}:\t{', '.join(inner) or NONE}"
    yield f"Host Port{more}:\t{', '.join(outer) or NONE}"


def _called(port: Json) -> str:
    return f" ({port['name']})" if port.get("name") else ""


def _state(title: str, state: Json) -> Lines:
    if "running" in state:
        yield f"{title}:\tRunning"
        yield from _facts(state["running"], ("Started", "startedAt"))
    elif "terminated" in state:
        yield f"{title}:\tTerminated"
        facts = (("Reason", "reason"), ("Message", "message"), ("Exit Code", "exitCode"))
        yield from _facts(state["terminated"], *facts, ("Started", "startedAt"), ("Finished", "finishedAt"))
    else:
        yield f"{title}:\tWaiting"
        yield from _facts(state.get("waiting", {}), ("Reason", "reason"), ("Message", "message"))


def _facts(values: Json, *facts: tuple[str, str]) -> Lines:
    for title, name in facts:
        if name in values:
            text = when(values[name]) if name.endswith("At") else str(values[name]).expandtabs()
            yield from _multiline(f"  {title}", text.rstrip("\n").split("\n"))


def _probe(probe: Json) -> str:
    """DescribeProbe: what is asked, and the numbers."""
    numbers = (
        f"delay={probe.get('initialDelaySeconds', 0)}s timeout={probe.get('timeoutSeconds', 1)}s"
        f" period={probe.get('periodSeconds', 10)}s #success={probe.get('successThreshold', 1)}"
        f" #failure={probe.get('failureThreshold', 3)}"
    )
    return f"{_asked(probe)} {numbers}"


def _asked(probe: Json) -> str:
    if "exec" in probe:
        return f"exec [{' '.join(probe['exec'].get('command', ()))}]"
    if http := probe.get("httpGet"):
        path = str(http.get("path", "/")).removeprefix("/")
        return f"http-get {http.get('scheme', 'HTTP').lower()}://{http.get('host', '')}:{http['port']}/{path}"
    if tcp := probe.get("tcpSocket"):
        return f"tcp-socket {tcp.get('host', '')}:{tcp['port']}"
    if grpc := probe.get("grpc"):
        return f"grpc <pod>:{grpc['port']} {grpc.get('service', '')}".rstrip()
    return "unknown"


def _environment(spec: Json) -> Lines:
    if sources := spec.get("envFrom"):
        yield "Environment Variables from:"
        yield from (f"  {_env_source(source)}" for source in sources)
    variables = spec.get("env", ())
    yield _opened("Environment", bool(variables))
    for variable in variables:
        yield from _multiline(f"  {variable['name']}", _value(variable).split("\n"))


def _env_source(source: Json) -> str:
    kind, name = ("ConfigMap", "configMapRef") if "configMapRef" in source else ("Secret", "secretRef")
    found, prefix = source.get(name, {}), source.get("prefix")
    with_prefix = f" with prefix '{prefix}'" if prefix else ""
    return f"{found.get('name', '')}\t{kind}{with_prefix}\tOptional: {_bool(found.get('optional'))}"


def _value(variable: Json) -> str:
    source = variable.get("valueFrom", {})
    if field := source.get("fieldRef"):
        return f" ({field.get('apiVersion', 'v1')}:{field['fieldPath']})"
    if resource := source.get("resourceFieldRef"):
        return f" ({resource['resource']})"
    if secret := source.get("secretKeyRef"):
        said = f"<set to the key '{secret['key']}' in secret '{secret['name']}'>"
        return f"{said}\tOptional: {_bool(secret.get('optional'))}"
    if config := source.get("configMapKeyRef"):
        said = f"<set to the key '{config['key']}' of config map '{config['name']}'>"
        return f"{said}\tOptional: {_bool(config.get('optional'))}"
    if file := source.get("fileKeyRef"):
        said = f"<set to the key '{file['key']}' in file '{file['path']}' of volume '{file['volumeName']}'>"
        return f"{said}\tOptional: {_bool(file.get('optional'))}"
    return str(variable.get("value", "")).expandtabs()


def _how(mount: Json) -> str:
    part = mount.get("subPath") or mount.get("subPathExpr")
    return ("ro" if mount.get("readOnly") else "rw") + (f',path="{part}"' if part else "")


def _conditions(conditions: Sequence[Json]) -> Lines:
    """kubectl's columns, and the reason where there is one."""
    if not conditions:
        return
    reasons = any("reason" in c for c in conditions)
    yield "Conditions:"
    yield "  Type\tStatus" + ("\tReason" if reasons else "")
    for c in conditions:
        why = ": ".join(c[name] for name in ("reason", "message") if c.get(name))
        yield f"  {c['type']}\t{c['status']}" + (f"\t{why}" if reasons else "")


def _events(events: Sequence[Event], now: float) -> Lines:
    if not events:
        yield f"Events:\t{NONE}"
        return
    yield "Events:"
    yield "  Type\tReason\tAge\tFrom\tMessage"
    yield "  ----\t------\t----\t----\t-------"
    for event in events:
        since = age(now - event.last_wall)
        if event.count > 1:
            since = f"{since} (x{event.count} over {age(now - event.first_wall)})"
        message = " ".join(event.message.split())
        yield f"  {event.type}\t{event.reason}\t{since}\t{SOURCE}\t{message}"


def _bool(value: object) -> str:
    return str(bool(value)).lower()


def when(text: str) -> str:
    """A time of the API as kubectl describes it, in this machine's zone: ``Thu, 26 Nov 2026 03:44:56 +0000``."""
    return format_datetime(datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone())
