"""Objects as YAML text that reads back as the same, by our reader and by Kubernetes'."""

from __future__ import annotations

from typing import Any

from reconciler.kube.scalars import resolve

_BREAKS = frozenset("\x85\u2028\u2029")
"""What YAML takes for the end of a line, and folds, where it is not escaped."""


def to_yaml(value: Any) -> str:
    """One document. Keys stay in their order; a string that would be read as something else is quoted (PyYAML alone
    leaves ``y`` and ``1e3`` bare)."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Made here, since PyYAML costs 20 ms to import."""

    def text(dumper: Any, value: str) -> Any:
        bare = isinstance(resolve(value), str) and not _BREAKS.intersection(value)
        style = None if bare else '"'
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    written: str = yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False)
    return written
