"""The chart as it is rendered with each set of CI values, read as objects."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import yaml

from tools import golden, helm

Manifest = dict[str, Any]
# The release's namespace in every render; tools.helm sets it.
NAMESPACE = "facet"
COMPONENT = "app.kubernetes.io/component"
_POD_TEMPLATES = {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"}


class _Loader(yaml.CSafeLoader):
    """Refuses a key that is given twice, of which the API server would drop one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.YAMLError(f"line {node.start_mark.line + 1}: {key!r} is given twice")
        return super().construct_mapping(node, deep)


def load_objects(text: str) -> list[Manifest]:
    """The documents of a YAML stream, empty ones left out; YAMLError where a key comes twice."""
    return [document for document in yaml.load_all(text, _Loader) if document]


@dataclass(frozen=True)
class Workload:
    """Something that makes pods, and the pods that it makes."""

    kind: str
    name: str
    namespace: str
    labels: Mapping[str, str]
    pod: Manifest

    @property
    def component(self) -> str:
        """Which part of Facet its pods are; empty where no label says so."""
        return self.labels.get(COMPONENT, "")

    @property
    def title(self) -> str:
        """Its name in messages."""
        return f"{self.kind}/{self.name}"

    def containers(self) -> Iterator[Manifest]:
        """All of them, those that run before the others too."""
        for group in ("initContainers", "containers", "ephemeralContainers"):
            yield from self.pod.get(group) or []


@dataclass(frozen=True)
class Render:
    """All objects of one release.

    `name` is that of its CI values, `values` are these over the chart's own.
    """

    name: str
    objects: list[Manifest]
    values: Mapping[str, Any]

    def of_kind(self, *kinds: str) -> list[Manifest]:
        """The objects of these kinds."""
        return [item for item in self.objects if item["kind"] in kinds]

    @cached_property
    def workloads(self) -> list[Workload]:
        """Everything that makes pods."""
        return [found for item in self.objects if (found := workload_of(item))]


def title(item: Manifest) -> str:
    """An object's name in messages."""
    return f"{item['kind']}/{item['metadata']['name']}"


def namespace_of(item: Manifest) -> str:
    """Where the object lies; the release's namespace unless it says otherwise."""
    return str(item["metadata"].get("namespace", NAMESPACE))


def workload_of(item: Manifest) -> Workload | None:
    """The pods that an object makes, if it makes any."""
    kind, spec = item["kind"], item.get("spec") or {}
    if kind == "Pod":
        template = item
    elif kind == "CronJob":
        template = spec["jobTemplate"]["spec"]["template"]
    elif kind in _POD_TEMPLATES:
        template = spec["template"]
    else:
        return None
    labels = (template.get("metadata") or {}).get("labels") or {}
    return Workload(kind, item["metadata"]["name"], namespace_of(item), labels, template["spec"])


def laid_over(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Values over others, mapping by mapping, as helm does it: null takes a key away."""
    result = dict(base)
    for key, value in change.items():
        below = result.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            result[key] = laid_over(below, value)
        elif value is None:
            result.pop(key, None)
        else:
            result[key] = value
    return result


def all_renders() -> list[Render]:
    """The chart with each of its CI values; RuntimeError where helm refuses one."""
    base = yaml.safe_load((helm.CHART / "values.yaml").read_text())
    return [
        Render(
            golden.golden_path(path).stem,
            load_objects(golden.render(path)),
            laid_over(base, yaml.safe_load(path.read_text()) or {}),
        )
        for path in helm.values_files()
    ]
