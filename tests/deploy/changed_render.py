"""Renders of the chart that a test may change."""

from __future__ import annotations

import copy
from functools import cache

from tools.deploy_check.renders import Manifest, Render, all_renders, title

renders = cache(all_renders)
GATEWAY, REDIS = "Deployment/facet-gateway", "StatefulSet/facet-redis"


def default() -> Render:
    """The default render, free to be changed."""
    (render,) = [found for found in renders() if found.name == "default"]
    return Render(render.name, copy.deepcopy(render.objects), render.values)


def find(render: Render, name: str) -> Manifest:
    return next(item for item in render.objects if title(item) == name)


def pod_of(render: Render, name: str = GATEWAY) -> Manifest:
    spec: Manifest = find(render, name)["spec"]["template"]["spec"]
    return spec
