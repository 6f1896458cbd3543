"""Telemetry: where services are told to send it, and the collector of the chart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from facet.autoscaler.settings import AutoscalerSettings
from facet.core.telemetry.settings import TelemetrySettings
from facet.gateway.settings import GatewaySettings
from facet.worker.settings import WorkerSettings
from tests.deploy.conftest import Renderer

pytestmark = pytest.mark.integration

COLLECTOR = "Deployment/facet-collector"
SERVICES = [f"Deployment/facet-{name}" for name in ("gateway", "worker-one", "autoscaler")]
SCALED: dict[str, Any] = {
    "autoscaler": {"mode": "standalone"},
    "pools": [{"name": "one", "profile": "nano-cpu", "min": 1, "max": 2}],
}
OWN: dict[str, Any] = {"otel": {"collector": {"enabled": True}}}
SETTINGS: dict[str, type[TelemetrySettings]] = {
    "gateway": GatewaySettings,
    "worker-one": WorkerSettings,
    "autoscaler": AutoscalerSettings,
}


def variable(service: str, field: str = "TRACE_ENDPOINT") -> str:
    name = service.removeprefix("Deployment/facet-").partition("-")[0]
    return f"FACET_{name.upper()}_{field}"


@pytest.mark.parametrize("service", SERVICES)
def test_nothing_is_sent_when_nothing_is_said(render: Renderer, service: str) -> None:
    chart = render(SCALED)

    assert variable(service) not in chart.env(service)
    assert COLLECTOR not in chart


@pytest.mark.parametrize("service", SERVICES)
def test_services_send_to_the_collector_when_there_is_one(render: Renderer, service: str) -> None:
    chart = render({**SCALED, **OWN})
    (port,) = chart["Service/facet-collector"]["spec"]["ports"]

    assert chart.env(service)[variable(service)] == f"http://facet-collector:{port['port']}"
    callers = {
        rule["from"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
        for rule in chart["NetworkPolicy/facet-collector"]["spec"]["ingress"]
    }
    assert callers == {"gateway", "worker", "autoscaler"}


@pytest.mark.parametrize("name", SETTINGS)
def test_telemetry_of_a_service_is_what_the_values_say(
    render: Renderer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = {"ipBlock": {"cidr": "10.0.0.9/32"}}
    otel = {"endpoint": "https://c.example.com:4317", "to": [peer], "sampleRatio": 0.25}
    chart = render({**SCALED, "otel": {**otel, "content": True}})
    workload = f"Deployment/facet-{name}"
    telemetry = {key: value for key, value in chart.env(workload).items() if "_TRACE_" in key}
    telemetry |= {key: value for key, value in chart.env(workload).items() if "_LEVEL_F" in key}
    for key, value in chart.env(workload).items():
        if key in telemetry or key.endswith("_POOLS_FILE"):
            monkeypatch.setenv(key, value)

    settings = SETTINGS[name]()

    assert len(telemetry) == 4
    assert settings.trace_endpoint == otel["endpoint"]
    assert (settings.trace_sample_ratio, settings.trace_content) == (0.25, True)
    (mount,) = [m for m in chart.container(workload)["volumeMounts"] if m["name"] == "log-level"]
    assert settings.log_level_file == Path(mount["mountPath"]) / "level"
    (volume,) = [v for v in chart.pod(workload)["volumes"] if v["name"] == "log-level"]
    assert volume["configMap"] == {"name": "facet-log-level", "optional": True}


def test_the_collector_takes_what_it_is_sent(render: Renderer) -> None:
    exporters = {"debug": {}, "otlp/back": {"endpoint": "back.example.com:4317"}}
    peer = {"ipBlock": {"cidr": "10.0.0.9/32"}}
    to = [{"peer": peer, "port": 4317}]
    chart = render({"otel": {"collector": {"enabled": True, "exporters": exporters, "to": to}}})
    config = yaml.safe_load(chart["ConfigMap/facet-collector"]["data"]["config.yaml"])
    container = chart.container(COLLECTOR)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    _, egress = chart["NetworkPolicy/facet-collector"]["spec"]["egress"]

    assert config["exporters"] == exporters
    endpoint = config["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"]
    assert endpoint == f"0.0.0.0:{ports['otlp']}"
    assert config["extensions"]["health_check"]["endpoint"] == f"0.0.0.0:{ports['health']}"
    for pipeline in config["service"]["pipelines"].values():
        assert pipeline["exporters"] == sorted(exporters)
        assert set(pipeline["processors"]) == config["processors"].keys()
    assert egress == {"ports": [{"protocol": "TCP", "port": 4317}], "to": [peer]}
    (mount,) = container["volumeMounts"]
    assert container["args"] == [f"--config={mount['mountPath']}/config.yaml"]


def test_the_collector_is_restricted(render: Renderer) -> None:
    chart = render(OWN)
    pod, container = chart.pod(COLLECTOR), chart.container(COLLECTOR)

    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["resources"]["limits"]["memory"]
    assert container["image"].rsplit(":", 1)[-1][0].isdigit()


def test_an_endpoint_of_ones_own_is_reached_on_its_port(render: Renderer) -> None:
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "telemetry"}}}
    otel = {"endpoint": "http://collector.telemetry:4319", "to": [peer]}
    chart = render({"otel": otel})

    assert chart.env("Deployment/facet-gateway")["FACET_GATEWAY_TRACE_ENDPOINT"] == otel["endpoint"]
    for component in ("gateway", "worker"):
        rule = chart[f"NetworkPolicy/facet-{component}"]["spec"]["egress"][-1]
        assert rule == {"ports": [{"protocol": "TCP", "port": 4319}], "to": [peer]}
    assert COLLECTOR not in chart


@pytest.mark.parametrize(
    ("otel", "said"),
    [
        ({"endpoint": "http://c:4317", "collector": {"enabled": True}}, "not both"),
        ({"endpoint": "http://c:4317"}, "name it in otel.to"),
        ({"collector": {"enabled": True, "exporters": {"debug": None}}}, "somewhere to send"),
        ({"endpoint": "collector:4317"}, "endpoint"),
        ({"collector": {"to": [{"port": 1}]}}, "peer"),
    ],
)
def test_the_reason_is_told_when_values_contradict(
    render: Renderer, otel: dict[str, Any], said: str
) -> None:
    assert said in render({"otel": otel}).refusal
