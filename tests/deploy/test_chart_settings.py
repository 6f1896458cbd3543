"""The chart and the services agree on the names and values of settings."""

from __future__ import annotations

import pytest

from facet.core.settings import ServiceSettings
from facet.gateway.settings import GatewaySettings
from facet.worker.settings import WorkerSettings
from tests.deploy.conftest import Render, Renderer

pytestmark = pytest.mark.integration

SERVICES: list[tuple[str, str, type[ServiceSettings]]] = [
    ("Deployment/facet-gateway", "FACET_GATEWAY_", GatewaySettings),
    ("Deployment/facet-worker", "FACET_WORKER_", WorkerSettings),
]


def rendered(chart: Render, workload: str) -> dict[str, str]:
    """The settings as a pod sees them, with plausible values for what the cluster fills in."""
    filled = {
        "secretKeyRef": "redis://elsewhere:6379/0",
        "fieldRef": "pod-1",
        "resourceFieldRef": "2",
    }
    return {
        name: value if isinstance(value, str) else filled[next(iter(value))]
        for name, value in chart.env(workload).items()
        if name.startswith("FACET_")
    }


@pytest.mark.parametrize(("workload", "prefix", "model"), SERVICES)
def test_every_variable_is_a_field_of_the_settings(
    render: Renderer, workload: str, prefix: str, model: type[ServiceSettings]
) -> None:
    names = rendered(render(), workload)

    assert len(names) >= 7
    for name in names:
        assert name.startswith(prefix), name
        assert name.removeprefix(prefix).lower() in model.model_fields, name


@pytest.mark.parametrize(("workload", "prefix", "model"), SERVICES)
def test_every_value_is_accepted_by_the_settings(
    render: Renderer,
    monkeypatch: pytest.MonkeyPatch,
    workload: str,
    prefix: str,
    model: type[ServiceSettings],
) -> None:
    variables = rendered(render({"model": "nano", "logLevel": "WARNING"}), workload)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    effective = model().effective()

    assert effective["log_level"] == "WARNING"
    assert effective["release"] == "facet"
    assert effective["drain_seconds"] == float(variables[f"{prefix}DRAIN_SECONDS"])
