"""Where the environment of a container comes from, as long as that is not known yet: objects that manifests define
beside the pod, and facts of the pod's life."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.model.cost import Cost, costs


@dataclass(frozen=True, slots=True)
class Reference:
    """A ConfigMap or Secret of the pod's namespace. ``key`` "" means all of it; ``optional``: where it is not there,
    nothing comes of it."""

    kind: str = costs(Cost.CONTAINER)
    name: str = costs(Cost.CONTAINER)
    key: str = costs(Cost.CONTAINER, "")
    optional: bool = costs(Cost.CONTAINER, False)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class FileKey:
    """What a file at ``path`` in an emptyDir says for ``key`` when the container is made (``model/envfile.py``);
    ``optional``: where file or key are not there, nothing comes of it."""

    volume: str = costs(Cost.CONTAINER)
    path: str = costs(Cost.CONTAINER)
    key: str = costs(Cost.CONTAINER)
    optional: bool = costs(Cost.CONTAINER, False)

    def __str__(self) -> str:
        return f"file {self.path} of volume {self.volume}[{self.key}]"


@dataclass(frozen=True, slots=True)
class EnvEntry:
    """One step of a container's environment: the variable ``name``, or with a ``source`` of no key all of its values,
    ``name`` before each key. The value is ``value``, in which ``$(VAR)`` means what was set before; that of ``source``;
    what ``file`` says; or that of ``field``: ``metadata.uid``, ``spec.nodeName``, ``status.hostIP``,
    ``status.podIPs``…, or the machine's ``node.cpu`` (thousandths) and ``node.memory`` (bytes) in units of ``divisor``,
    as ``container`` ("": this one) has no limit."""

    name: str = costs(Cost.CONTAINER, "")
    value: str = costs(Cost.CONTAINER, "")
    source: Reference | None = costs(Cost.CONTAINER, None)
    field: str = costs(Cost.CONTAINER, "")
    divisor: int = costs(Cost.CONTAINER, 1)
    container: str = costs(Cost.CONTAINER, "")
    file: FileKey | None = costs(Cost.CONTAINER, None)

    @property
    def is_known(self) -> bool:
        """Whether its value is in the manifest."""
        return not (self.source or self.field or self.file)

    @property
    def is_all(self) -> bool:
        """Whether it sets a variable for each value of an object (envFrom)."""
        return self.source is not None and not self.source.key

    @property
    def told(self) -> tuple[str, str]:
        """The variable, and where its value comes from, for a reader."""
        if self.source is None:
            return self.name, str(self.file) if self.file else self.field or self.value
        if self.is_all:
            return f"{self.name}* of {self.source}", "all"
        return self.name, f"{self.source}[{self.source.key}]"

    def __str__(self) -> str:
        return "=".join(self.told)
