"""The chart and the services agree on the names and values of settings."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from facet.core.settings import ServiceSettings
from facet.gateway.api_keys import KeyFileAuthenticator
from facet.gateway.authenticator import Principal
from facet.gateway.queues import queue_limits
from facet.gateway.settings import GatewaySettings
from facet.gateway.tenants import Tenants
from facet.queue.limits import QueueLimits
from facet.worker.settings import WorkerSettings
from tests.deploy.conftest import Render, Renderer

pytestmark = pytest.mark.integration

SERVICES: list[tuple[str, str, type[ServiceSettings]]] = [
    ("Deployment/facet-gateway", "FACET_GATEWAY_", GatewaySettings),
    ("Deployment/facet-worker-nano-cpu", "FACET_WORKER_", WorkerSettings),
]

# Rendered already; a service that does not have one of them as a field ignores it.
COMING_FIELDS: set[str] = set()


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
    assert names == {"grpc": 8470, "health": 8474, "metrics": 9464, "admin": 9000}
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


def test_sizes_are_the_settings_of_the_gateway(
    render: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {
        "maxMessageBytes": 1 << 26,
        "maxMetadataBytes": 1 << 12,
        "maxInlineBytes": 1 << 25,
        "maxInflightInlineBytes": 1 << 40,
        "maxOpenCalls": 17,
        "usageRetentionSeconds": 400 * 86_400,
    }
    for name, value in rendered(render({"gateway": values}), "Deployment/facet-gateway").items():
        monkeypatch.setenv(name, value)

    settings = GatewaySettings().model_dump()

    for key, size in values.items():
        assert settings[re.sub("([A-Z])", r"_\1", key).lower()] == size


def test_defaults_of_the_chart_are_those_of_the_services(
    render: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    chart = render()
    differing = {}
    for workload, prefix, model in SERVICES:
        with monkeypatch.context() as environment:
            plain = model().model_dump()
            for name, value in rendered(chart, workload).items():
                environment.setenv(name, value)
            effective = model().model_dump()
        differing[prefix] = {name for name in plain if effective[name] != plain[name]}

    store = {"redis_url", "redis_credentials", "redis_password_file"}
    deployed = {*store, "release", "health_listen", "metrics_listen", "log_level_file"}
    assert differing["FACET_GATEWAY_"] <= deployed | {"listen", "api_keys_file"}
    assert differing["FACET_WORKER_"] <= deployed | {"name", "model", "pool", "cpu_threads"}


def test_terms_of_tenants_are_those_that_the_gateway_reads(
    render: Renderer, tmp_path: Path
) -> None:
    terms = {
        "defaults": {"requests_per_minute": 60, "retention_seconds": 0},
        "tenants": {"acme": {"tokens_per_minute": 1 << 50, "requests_per_minute": None}},
    }
    chart = render({"auth": {"tenants": terms}})
    path = tmp_path / "tenants.json"
    path.write_text(chart["ConfigMap/facet-tenants"]["data"]["tenants.json"])

    tenants = Tenants(path)

    assert tenants.terms("acme").tokens_per_minute == 1 << 50
    assert tenants.terms("other").requests_per_minute == 60
    assert tenants.terms("other").retention_seconds == 0


@pytest.mark.parametrize(
    ("auth", "source"),
    [({"tenants": {"defaults": {}}}, "facet-tenants"), ({"existingTenantsConfigMap": "t"}, "t")],
)
def test_the_tenants_file_is_mounted_when_there_is_one(
    render: Renderer, auth: dict[str, Any], source: str
) -> None:
    gateway = "Deployment/facet-gateway"
    chart = render({"auth": auth})
    (volume,) = [v for v in chart.pod(gateway)["volumes"] if v["name"] == "tenants"]
    (mount,) = [m for m in chart.container(gateway)["volumeMounts"] if m["name"] == "tenants"]

    assert volume["configMap"]["name"] == source
    # A subPath would never see a change.
    assert "subPath" not in mount
    assert chart.env(gateway)["FACET_GATEWAY_TENANTS_FILE"] == f"{mount['mountPath']}/tenants.json"
    assert "FACET_GATEWAY_TENANTS_FILE" not in render().env(gateway)


def test_the_plan_is_overruled_only_where_values_say_so(
    render: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = "Deployment/facet-worker-nano-cpu"
    plan = {"contextTokens": 2048, "maxSequences": 3, "maxBatchedTokens": 4096}
    assert not [name for name in render().env(worker) if name.endswith(("_TOKENS", "_SEQUENCES"))]
    chart = render({"worker": {**plan, "speculativeTokens": 0}})
    for name, value in rendered(chart, worker).items():
        monkeypatch.setenv(name, value)

    settings = WorkerSettings()

    assert (settings.context_tokens, settings.max_sequences) == (2048, 3)
    assert (settings.max_batched_tokens, settings.speculative_tokens) == (4096, 0)
