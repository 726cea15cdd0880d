"""Kubernetes' side: manifests with their positions to ``model.PodSpec``, and status back to Kubernetes' shape.

``load`` reads, ``pod_list`` and ``pod_manifest`` write. YAML and jsonschema are imported by the functions that
need them, so importing this package costs little.
"""

from reconciler.kube.load import Loaded, LoadedObject, LoadedPod, load
from reconciler.kube.present import pod_list, pod_manifest
from reconciler.kube.problem import Problem, Reason

__all__ = ["Loaded", "LoadedObject", "LoadedPod", "Problem", "Reason", "load", "pod_list", "pod_manifest"]
