"""Renders the chart for the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools import helm

Manifest = dict[str, Any]
# The least that the chart asks for.
REQUIRED: Mapping[str, Any] = {
    "global": {"localImages": True},
    "auth": {"existingSecret": "keys"},
    "redis": {"auth": {"existingSecret": "redis-password"}},
}


class Render:
    """Outcome of `helm template`: manifests by `Kind/name`, or the reason of its refusal."""

    def __init__(self, output: str, refusal: str) -> None:
        self.refusal = refusal
        documents = [document for document in yaml.safe_load_all(output) if document]
        self.manifests: dict[str, Manifest] = {
            f"{document['kind']}/{document['metadata']['name']}": document for document in documents
        }

    def __getitem__(self, name: str) -> Manifest:
        assert not self.refusal, self.refusal
        return self.manifests[name]

    def __contains__(self, name: str) -> bool:
        assert not self.refusal, self.refusal
        return name in self.manifests

    def pod(self, name: str) -> Manifest:
        """The pod spec of a workload."""
        spec: Manifest = self[name]["spec"]["template"]["spec"]
        return spec

    def container(self, name: str) -> Manifest:
        """The only container of a workload."""
        (container,) = self.pod(name)["containers"]
        return dict(container)

    def env(self, name: str) -> dict[str, Any]:
        """Environment of a workload's container: the value, or where it is taken from."""
        return {
            entry["name"]: entry.get("value", entry.get("valueFrom"))
            for entry in self.container(name)["env"]
        }


Renderer = Callable[..., Render]


def merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `change` laid over it, mapping by mapping."""
    result = dict(base)
    for key, value in change.items():
        below = result.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        result[key] = merged(below, value) if both else value  # type: ignore[arg-type]
    return result


@pytest.fixture
def render(tmp_path: Path) -> Renderer:
    """Render the chart with the required values and those given."""

    def run(values: Mapping[str, Any] | None = None, *, required: bool = True) -> Render:
        path = tmp_path / "values.yaml"
        path.write_text(yaml.safe_dump(merged(REQUIRED if required else {}, values or {})))
        done = helm.template(path)
        return Render(done.stdout if done.returncode == 0 else "", done.stderr.strip())

    return run
