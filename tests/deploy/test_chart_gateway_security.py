"""TLS, signed tokens and the scaler of the gateway."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.conftest import Renderer

pytestmark = pytest.mark.integration

GATEWAY = "Deployment/facet-gateway"
MANAGED = {"enabled": True, "certManager": {"enabled": True, "issuerRef": {"name": "internal"}}}


def test_probes_speak_to_the_plain_port_when_tls_is_on(render: Renderer) -> None:
    chart = render({"gateway": {"tls": {"enabled": True, "existingSecret": "pair"}}})
    ports = {port["name"]: port["containerPort"] for port in chart.container(GATEWAY)["ports"]}

    assert chart.container(GATEWAY)["readinessProbe"]["grpc"]["port"] == ports["health"]
    assert chart.env(GATEWAY)["FACET_GATEWAY_HEALTH_LISTEN"] == f"0.0.0.0:{ports['health']}"
    assert chart.env(GATEWAY)["FACET_GATEWAY_TLS_CERTIFICATE_FILE"] == "/etc/facet/tls/tls.crt"
    (volume,) = [v for v in chart.pod(GATEWAY)["volumes"] if v["name"] == "tls"]
    assert volume["secret"]["secretName"] == "pair"
    assert "appProtocol" not in chart["Service/facet-gateway"]["spec"]["ports"][0]


def test_the_certificate_names_the_services_when_cert_manager_makes_it(render: Renderer) -> None:
    chart = render({"gateway": {"tls": MANAGED}})
    spec = chart["Certificate/facet-gateway"]["spec"]
    (volume,) = [v for v in chart.pod(GATEWAY)["volumes"] if v["name"] == "tls"]

    assert spec["secretName"] == volume["secret"]["secretName"]
    assert "facet-gateway-headless.facet.svc" in spec["dnsNames"]
    assert "Certificate/facet-gateway" not in render()


def test_replicas_are_left_to_the_scaler_when_there_is_one(render: Renderer) -> None:
    chart = render({"gateway": {"autoscaling": {"enabled": True, "min": 3, "max": 5}}})

    assert "replicas" not in chart[GATEWAY]["spec"]
    assert chart["HorizontalPodAutoscaler/facet-gateway"]["spec"]["minReplicas"] == 3
    assert render()[GATEWAY]["spec"]["replicas"] == 2


@pytest.mark.parametrize(
    ("gateway", "said"),
    [
        ({"tls": {"enabled": True}}, "needs a certificate"),
        ({"tls": {"enabled": True, "certManager": {"enabled": True}}}, "needs an issuer"),
        ({"tls": {"existingSecret": "pair"}}, "tls.enabled is false"),
        ({"oidc": {"issuer": "https://a"}}, "needs oidc.audience"),
        ({"autoscaling": {"min": 5, "max": 2}}, "autoscaling.min is above"),
    ],
)
def test_the_reason_is_told_when_values_contradict(
    render: Renderer, gateway: dict[str, Any], said: str
) -> None:
    assert said in render({"gateway": gateway}).refusal
