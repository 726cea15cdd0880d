"""Podman's options of the commands on pods, of ps and of kube, beside ours: the rest of ``podman.TABLES``."""

from __future__ import annotations

from reconciler.flags.verdicts import Table, different, left_out, same, table

_LATEST = same("latest")
_FORMAT = different(format="json, and templates of field paths, json, table, range, if, join, upper and lower")
_NO_CLUSTERS_LOGIN = left_out(
    "authfile cert-dir creds tls-verify", "images are fetched with the Secrets of the manifest, or by registries.conf"
)

TABLES: dict[str, Table] = {
    "ps": table(
        same("all filter last latest no-trunc noheading ns pod quiet sort"),
        _FORMAT,
        left_out("external", "containers of other programs are theirs to list"),
        left_out("size", "how much a layer holds is not counted"),
        left_out("sync", "what is shown is always looked up"),
        left_out("watch", "watch(1) does it"),
    ),
    "top": table(_LATEST),
    "stats": table(same("all interval no-reset no-stream no-trunc"), _LATEST, _FORMAT),
    "port": table(same("all"), _LATEST),
    "pod ps": table(
        same("ctr-ids ctr-names ctr-status filter latest no-trunc noheading ns quiet sort"),
        _FORMAT,
    ),
    "pod start": table(same("all pod-id-file"), _LATEST),
    "pod stop": table(
        same("all ignore pod-id-file time"),
        _LATEST,
    ),
    "pod restart": table(same("all"), _LATEST),
    "pod kill": table(same("all signal"), _LATEST),
    "pod pause": table(same("all"), _LATEST),
    "pod unpause": table(same("all"), _LATEST),
    "pod rm": table(same("all force ignore pod-id-file time"), _LATEST),
    "pod prune": table(same("force")),
    "pod inspect": table(same("format"), _LATEST),
    "pod exists": table(),
    "pod logs": table(
        same("color container follow names since tail timestamps until"),
        _LATEST,
    ),
    "pod top": table(_LATEST),
    "pod stats": table(
        same("all no-reset no-stream"),
        _LATEST,
        _FORMAT,
    ),
    "kube play": table(
        same("annotation configmap down force no-hosts quiet start wait"),
        different(
            ip="of a file with one pod",
            mac_address="of a file with one pod",
            network="one network, for pods that name none",
            publish="with its host port, of a file with one pod",
            publish_all="not of pods on the machine's network",
            replace="takes over a pod of that name that run or pod create made; a pod that was played is never made "
            "anew as a whole: what the file says otherwise is changed",
            userns="host or auto",
        ),
        _NO_CLUSTERS_LOGIN,
        left_out("build context-dir", "images are built by buildah or podman, and found here"),
        left_out("log-driver log-opt", "logs are kept and rotated as config.toml says"),
        left_out("no-hostname", "files of /etc are the pod's; --no-hosts leaves the image's hosts"),
        left_out("seccomp-profile-root", "seccompProfile Localhost names files below config.toml's directory"),
    ),
    "kube down": table(same("force")),
    "kube generate": table(
        same("filename"),
        left_out("no-trunc", "annotations are never cut"),
        left_out("podman-only", "what a manifest has no words for is told in comments"),
        left_out("replicas type", "a Pod it is always: Deployments are not supported yet"),
        different(
            service="a nodePort is only said where hostPort is one that clusters give out: the cluster chooses others; "
            "of a pod without ports the Service is headless",
        ),
    ),
}
