"""The chart and the services agree on the names and values of settings."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from facet.core.settings import ServiceSettings
from facet.gateway.api_keys import KeyFileAuthenticator
from facet.gateway.app import queue_limits
from facet.gateway.authenticator import Principal
from facet.gateway.settings import GatewaySettings
from facet.queue.limits import QueueLimits
from facet.worker.settings import WorkerSettings
from tests.deploy.conftest import Render, Renderer

pytestmark = pytest.mark.integration

SERVICES: list[tuple[str, str, type[ServiceSettings]]] = [
    ("Deployment/facet-gateway", "FACET_GATEWAY_", GatewaySettings),
    ("Deployment/facet-worker-nano-cpu", "FACET_WORKER_", WorkerSettings),
]

# Rendered already; a service that does not have one of them as a field ignores it.
COMING_FIELDS = {
    "profile",
    "pool",
    "weights",
    "drafter_weights",
    "weights_cache",
    "offline",
    "health_listen",
}


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
        field = name.removeprefix(prefix).lower()
        assert field in model.model_fields or field in COMING_FIELDS, name


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


def test_operators_are_served_on_a_port_of_their_own_when_enabled(render: Renderer) -> None:
    off, on = render(), render({"gateway": {"admin": {"enabled": True, "port": 9000}}})
    gateway = "Deployment/facet-gateway"

    assert "FACET_GATEWAY_ADMIN_LISTEN" not in off.env(gateway)
    assert "Service/facet-gateway-admin" not in off
    assert on.env(gateway)["FACET_GATEWAY_ADMIN_LISTEN"] == "0.0.0.0:9000"
    admin = on["Service/facet-gateway-admin"]["spec"]
    assert (admin["type"], [port["port"] for port in admin["ports"]]) == ("ClusterIP", [9000])
    names = {port["name"]: port["containerPort"] for port in on.container(gateway)["ports"]}
    assert names == {"grpc": 8470, "health": 8474, "admin": 9000}
    for public in ("Service/facet-gateway", "Service/facet-gateway-headless"):
        assert [port["targetPort"] for port in on[public]["spec"]["ports"]] == ["grpc"]


def test_only_named_peers_reach_the_operators_port(render: Renderer) -> None:
    def opened(values: dict[str, Any]) -> dict[int, Any]:
        policy = render(values)["NetworkPolicy/facet-gateway"]
        return {rule["ports"][0]["port"]: rule.get("from") for rule in policy["spec"]["ingress"]}

    peers = [{"podSelector": {"matchLabels": {"role": "operator"}}}]
    enabled = {"gateway": {"admin": {"enabled": True}}}
    assert opened(enabled) == {8470: None}
    assert opened({**enabled, "networkPolicy": {"adminFrom": peers}}) == {
        8470: None,
        8471: peers,
    }
    assert opened({"networkPolicy": {"adminFrom": peers}}) == {8470: None}


def test_bounds_on_what_waits_are_the_settings_of_the_gateway(
    render: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"gateway": {"maxWaiting": {"tokens": 1 << 50}, "tenantMaxWaiting": {"bytes": 7}}}
    for name, value in rendered(render(values), "Deployment/facet-gateway").items():
        monkeypatch.setenv(name, value)

    limits = queue_limits(GatewaySettings())

    assert limits == replace(QueueLimits(), max_waiting_tokens=1 << 50, tenant_max_waiting_bytes=7)


def test_replicas_and_media_are_the_settings_of_the_gateway(
    render: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"gateway": {"submitReplicas": 2, "maxMediaBytes": 1 << 33}}
    for name, value in rendered(render(values), "Deployment/facet-gateway").items():
        monkeypatch.setenv(name, value)

    settings = GatewaySettings()

    assert (settings.submit_replicas, settings.max_media_bytes) == (2, 1 << 33)


async def test_keys_are_those_that_the_gateway_reads(render: Renderer, tmp_path: Path) -> None:
    def digest(key: str) -> str:
        return hashlib.sha256(key.encode()).hexdigest()

    keys = [
        {"tenant": "acme", "sha256": digest("one"), "weight": 2.5},
        {"tenant": "ops", "sha256": digest("two"), "admin": True},
    ]
    chart = render({"auth": {"existingSecret": "", "keys": keys}})
    path = tmp_path / "keys"
    path.write_text(chart["Secret/facet-api-keys"]["stringData"]["api-keys"])

    authenticator = KeyFileAuthenticator.from_file(path)
    one, two = [
        await authenticator.authenticate((("authorization", f"Bearer {key}"),))
        for key in ("one", "two")
    ]
    assert one == Principal("acme", 2.5, is_admin=False)
    assert two == Principal("ops", 1.0, is_admin=True)
