"""What a pod is called: its host name, and the names by which other pods find it. Pure.

Kubernetes' scheme: everything lies in ``NAMESPACE.svc.DOMAIN``, and each pod's resolv.conf searches its own namespace
first. So ``web`` is the pod of that name in the asker's namespace, ``web.shop`` the one in the namespace shop, and no
two namespaces can be mixed up. ``HOSTNAME.SUBDOMAIN`` is found the same way, as behind a headless Service: pods that
have it in common are all in the answer.
"""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.model.key import Key
from reconciler.model.spec import SandboxSpec

HOSTNAME_MAX = 63
"""The longest host name that Linux and Kubernetes both take (kubelet: truncatePodHostnameIfNeeded)."""

KERNEL_MAX = 64
"""What sethostname(2) takes; a FQDN is not cut (kubelet: GetNodenameForKernel)."""


def short_name(key: Key, sandbox: SandboxSpec) -> str:
    """The pod's host name, without a domain."""
    return (sandbox.hostname or key.name)[:HOSTNAME_MAX].rstrip("-.")


def domain_of(key: Key, sandbox: SandboxSpec, domain: str) -> str:
    """The domain that the pod's host name lies in, or "" (kubelet: GeneratePodHostNameAndDomain)."""
    return f"{sandbox.subdomain}.{key.namespace}.svc.{domain}" if sandbox.subdomain else ""


def kernel_name(key: Key, sandbox: SandboxSpec, domain: str) -> str:
    """What gethostname(2) says in the pod (kubelet: GeneratePodHostNameAndDomain)."""
    if sandbox.hostname_override:
        return sandbox.hostname_override
    return full_name(key, sandbox, domain) if sandbox.fqdn_as_hostname else short_name(key, sandbox)


def full_name(key: Key, sandbox: SandboxSpec, domain: str) -> str:
    lies_in = domain_of(key, sandbox, domain)
    return f"{short_name(key, sandbox)}.{lies_in}" if lies_in else short_name(key, sandbox)


def told_to_itself(key: Key, sandbox: SandboxSpec, domain: str) -> tuple[str, str]:
    """The name by which the pod finds itself in its /etc/hosts, and the domain that it lies in."""
    if sandbox.hostname_override:
        return sandbox.hostname_override, ""
    return short_name(key, sandbox), domain_of(key, sandbox, domain)


def too_long(key: Key, sandbox: SandboxSpec, domain: str) -> str:
    """Why the kernel would not take the pod's host name, or ""."""
    name = kernel_name(key, sandbox, domain)
    if len(name) <= KERNEL_MAX:
        return ""
    return f"setHostnameAsFQDN: {name} has {len(name)} characters, more than {KERNEL_MAX}"


def searches(namespace: str, domain: str) -> tuple[str, ...]:
    """Where short names are looked up (kubelet: generateSearchesForDNSClusterFirst)."""
    return (f"{namespace}.svc.{domain}", f"svc.{domain}", domain)


def known_as(key: Key, sandbox: SandboxSpec, domain: str, services: Iterable[str] = ()) -> tuple[str, ...]:
    """The names that lead to the pod, those of ``services`` of its namespace among them: with the domain and without
    it, as the server looks up either, by its version; and without ``svc``, for programs that ask without the search
    list what has a point in it (busybox' nslookup)."""
    called = [f"{key.name}.{key.namespace}"]
    if sandbox.subdomain:
        called.append(f"{short_name(key, sandbox)}.{sandbox.subdomain}.{key.namespace}")
    called += [f"{service}.{key.namespace}" for service in services]
    forms = (f".svc.{domain}", ".svc", "")
    return tuple(dict.fromkeys(f"{name}{form}".lower() for name in called for form in forms))
