"""From specs to OCI config.json: what a container is confined by, as plain values.

Pure, but for two things that say so: ``host.probe`` reads the machine once, and ``bpf`` keeps compiled
seccomp programs in the cache. The defaults are Podman's where Kubernetes leaves them to the runtime.
"""
