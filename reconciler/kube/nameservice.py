"""What a pod says of names: its own (hostname, subdomain), those it looks up (dnsPolicy, dnsConfig), hostAliases.

The rules are those of the Kubernetes API (core/validation: validatePodDNSConfig, validateHostAliases). Pure.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from reconciler.kube import names
from reconciler.kube.problem import Flaw, Path, Reason
from reconciler.model.spec import Dns, DnsPolicy, HostAlias, PodSpec

HOSTNAME_MAX = 64
"""The longest name that Linux takes (sethostname(2))."""
NAMESERVERS_MAX = 3
SEARCHES_MAX = 32
SEARCH_CHARACTERS_MAX = 2048

Flaws = Iterator[Flaw]


def check(spec: dict[str, Any]) -> Flaws:
    """Every rule over one pod's ``spec``."""
    if spec.get("subdomain"):
        yield from _bad(names.dns_label(spec["subdomain"]), ("spec", "subdomain"))
    if spec.get("setHostnameAsFQDN") and not spec.get("subdomain"):
        text = "has no effect without subdomain"
        yield Flaw(text, Reason.INVALID_VALUE, ("spec", "setHostnameAsFQDN"), warning=True)
    for field in ("subdomain", "setHostnameAsFQDN"):
        if spec.get(field) and spec.get("hostNetwork"):
            text = "has no effect with hostNetwork: the machine's name is used"
            yield Flaw(text, Reason.INVALID_VALUE, ("spec", field), warning=True)
    yield from _override(spec)
    yield from _aliases(spec)
    config = spec.get("dnsConfig", {})
    if spec.get("dnsPolicy") == DnsPolicy.NONE and not config.get("nameservers"):
        field = "dnsConfig" if "dnsConfig" in spec else "dnsPolicy"
        yield from _bad("dnsPolicy None needs at least one of dnsConfig.nameservers", ("spec", field))
    yield from _config(config)


def _override(spec: dict[str, Any]) -> Flaws:
    """core/validation: validatePodHostName."""
    name, at = spec.get("hostnameOverride"), ("spec", "hostnameOverride")
    if name is None:
        return
    too_long = f"has {len(name)} characters, more than {HOSTNAME_MAX}" if len(name) > HOSTNAME_MAX else ""
    yield from _bad(too_long or names.dns_subdomain(name), at)
    for field in ("hostNetwork", "setHostnameAsFQDN"):
        if spec.get(field):
            yield from _bad(f"cannot be given together with {field}", at)


def _config(config: dict[str, Any]) -> Flaws:
    at: Path = ("spec", "dnsConfig")
    servers = config.get("nameservers", ())
    if len(servers) > NAMESERVERS_MAX:
        yield from _bad(f"has {len(servers)} name servers, more than {NAMESERVERS_MAX}", (*at, "nameservers"))
    for index, server in enumerate(servers):
        yield from _bad(_address(server), (*at, "nameservers", index))
    searches = [s for s in config.get("searches", ()) if isinstance(s, str)]
    if len(searches) > SEARCHES_MAX:
        yield from _bad(f"has {len(searches)} domains, more than {SEARCHES_MAX}", (*at, "searches"))
    if (size := len(" ".join(searches))) > SEARCH_CHARACTERS_MAX:
        yield from _bad(f"has {size} characters in all, more than {SEARCH_CHARACTERS_MAX}", (*at, "searches"))
    for index, domain in enumerate(config.get("searches", ())):
        yield from _bad(_domain(domain), (*at, "searches", index))
    for index, option in enumerate(config.get("options", ())):
        if isinstance(option, dict):
            place = (*at, "options", index)
            if "name" in option:
                yield from _bad(_word(option["name"]), (*place, "name"))
            if option.get("value"):
                yield from _bad(_word(option["value"]), (*place, "value"))


def _aliases(spec: dict[str, Any]) -> Flaws:
    for index, alias in enumerate(spec.get("hostAliases", ())):
        if not isinstance(alias, dict):
            continue
        at: Path = ("spec", "hostAliases", index)
        if "ip" in alias:
            yield from _bad(_address(alias["ip"]), (*at, "ip"))
        for number, name in enumerate(alias.get("hostnames", ())):
            if isinstance(name, str):
                yield from _bad(names.dns_subdomain(name), (*at, "hostnames", number))


def _bad(text: str, path: Path) -> Flaws:
    if text:
        yield Flaw(text, Reason.INVALID_VALUE, path)


def _address(text: Any) -> str:
    if isinstance(text, str):
        try:
            ipaddress.ip_address(text)
        except ValueError:
            return f"{text!r} is not an IP address"
    return ""


def _domain(text: Any) -> str:
    """A trailing point is fine, and so is "." alone and an underscore in a label (RelaxedDNSSearchValidation)."""
    if not isinstance(text, str) or text == ".":
        return ""
    return names.dns_subdomain(text.removesuffix(".").replace("_", "x"))


def _word(text: Any) -> str:
    """What becomes a word of resolv.conf must be one."""
    if not isinstance(text, str):
        return ""
    if not text:
        return "must not be empty"
    return "" if text.isprintable() and not any(c.isspace() for c in text) else f"{text!r} must be one word"


def compile_dns(spec: dict[str, Any]) -> Dns:
    """dnsPolicy and dnsConfig of a pod without flaws."""
    config = spec.get("dnsConfig", {})
    policy = DnsPolicy(spec.get("dnsPolicy", DnsPolicy.CLUSTER_FIRST))
    if policy is DnsPolicy.CLUSTER_FIRST_WITH_HOST_NET and not spec.get("hostNetwork"):
        policy = DnsPolicy.CLUSTER_FIRST  # they mean the same then
    return Dns(
        policy=policy,
        nameservers=tuple(config.get("nameservers", ())),
        searches=tuple(config.get("searches", ())),
        options=tuple(_option(o) for o in config.get("options", ())),
    )


def _option(option: dict[str, str]) -> str:
    return f"{option['name']}:{option['value']}" if option.get("value") else option["name"]


def compile_aliases(spec: dict[str, Any]) -> tuple[HostAlias, ...]:
    """hostAliases, in the order in which they are looked at."""
    return tuple(HostAlias(a["ip"], tuple(a.get("hostnames", ()))) for a in spec.get("hostAliases", ()))


def present(spec: PodSpec) -> dict[str, Any]:
    """The fields of a manifest's ``spec`` that say this again."""
    box, dns = spec.sandbox, spec.dns
    config: dict[str, Any] = {}
    if dns.nameservers:
        config["nameservers"] = list(dns.nameservers)
    if dns.searches:
        config["searches"] = list(dns.searches)
    if dns.options:
        config["options"] = [_split(option) for option in dns.options]
    out: dict[str, Any] = {"dnsPolicy": dns.policy.value}
    out |= {"dnsConfig": config} if config else {}
    out |= {"hostnameOverride": box.hostname_override} if box.hostname_override else {}
    out |= {"subdomain": box.subdomain} if box.subdomain else {}
    out |= {"setHostnameAsFQDN": True} if box.fqdn_as_hostname else {}
    if spec.host_aliases:
        out["hostAliases"] = [{"ip": a.ip, "hostnames": list(a.hostnames)} for a in spec.host_aliases]
    return out


def _split(option: str) -> dict[str, str]:
    name, colon, value = option.partition(":")
    return {"name": name, "value": value} if colon else {"name": name}
