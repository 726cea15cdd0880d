"""A Kubernetes-style YAML reconciler for one machine."""

__version__ = "0.1.0"
