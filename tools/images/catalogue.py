"""The images, in the order in which they are built."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from tools.checks import ROOT


@dataclass(frozen=True)
class Image:
    """One image: `docker/NAME.Dockerfile`, pushed as `facet-NAME`."""

    name: str

    @property
    def repository(self) -> str:
        """Its name below the registry; the chart uses it too."""
        return f"facet-{self.name}"

    @property
    def dockerfile(self) -> Path:
        """Relative to the repository."""
        return Path("docker") / f"{self.name}.Dockerfile"


GATEWAY = Image("gateway")
AUTOSCALER = Image("autoscaler")
WORKER_CPU = Image("worker-cpu")
WORKER = Image("worker")

# The small ones first: a mistake in the source shows in seconds.
IMAGES = (GATEWAY, AUTOSCALER, WORKER_CPU, WORKER)


def version() -> str:
    """Of the project, as pyproject.toml says it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return str(project["version"])
