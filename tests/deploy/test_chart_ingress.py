"""The Ingress, by its two classes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.deploy.conftest import Renderer, merged

pytestmark = pytest.mark.integration

GATEWAY = "Deployment/facet-gateway"
TLS: dict[str, Any] = {"tls": {"mode": "certManager", "issuerRef": {"name": "internal"}}}
MANAGED = {"networking.gke.io/managed-certificates": "facet"}
GCE: dict[str, Any] = {
    **TLS,
    "ingress": {"class": "gce", "host": "facet.example.com", "annotations": MANAGED},
}
NGINX: dict[str, Any] = {
    "ingress": {"class": "nginx", "host": "facet.example.com", "tlsSecret": "public"}
}


def test_nothing_is_rendered_when_no_class_is_given(render: Renderer) -> None:
    chart = render()

    assert not [name for name in chart.manifests if name.startswith(("Ingress/", "BackendConfig/"))]
    assert "annotations" not in chart["Service/facet-gateway"]["metadata"]
    assert "FACET_GATEWAY_HTTP_HEALTH_LISTEN" not in chart.env(GATEWAY)


@pytest.mark.parametrize("values", [GCE, NGINX])
def test_the_host_leads_to_the_port_for_clients(render: Renderer, values: dict[str, Any]) -> None:
    chart = render(values)
    (rule,) = chart["Ingress/facet-gateway"]["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    backend = path["backend"]["service"]
    service = chart[f"Service/{backend['name']}"]

    assert rule["host"] == "facet.example.com"
    assert backend["port"]["name"] in {port["name"] for port in service["spec"]["ports"]}


def test_google_speaks_http2_and_asks_for_health_on_a_plain_port(render: Renderer) -> None:
    chart = render({**GCE, "gateway": {"drainSeconds": 45}})
    ingress, service = chart["Ingress/facet-gateway"], chart["Service/facet-gateway"]
    annotations = service["metadata"]["annotations"]
    backend = json.loads(annotations["cloud.google.com/backend-config"])["default"]
    config = chart[f"BackendConfig/{backend}"]["spec"]
    ports = {port["name"]: port["containerPort"] for port in chart.container(GATEWAY)["ports"]}
    listen = chart.env(GATEWAY)["FACET_GATEWAY_HTTP_HEALTH_LISTEN"]

    assert json.loads(annotations["cloud.google.com/app-protocols"]) == {"grpc": "HTTP2"}
    assert json.loads(annotations["cloud.google.com/neg"]) == {"ingress": True}
    assert config["timeoutSec"] == 3600
    assert config["connectionDraining"] == {"drainingTimeoutSec": 45}
    assert config["healthCheck"]["type"] == "HTTP"
    assert config["healthCheck"]["port"] == ports["http-health"]
    assert listen == f"0.0.0.0:{ports['http-health']}"
    assert "ingressClassName" not in ingress["spec"]
    assert ingress["metadata"]["annotations"]["kubernetes.io/ingress.class"] == "gce"
    assert MANAGED.items() <= ingress["metadata"]["annotations"].items()


def test_googles_ranges_reach_the_gateway_when_callers_are_limited(render: Renderer) -> None:
    peers = [{"podSelector": {"matchLabels": {"a": "b"}}}]
    chart = render({**GCE, "networkPolicy": {"gatewayFrom": peers}})
    _, balancers = chart["NetworkPolicy/facet-gateway"]["spec"]["ingress"]

    assert [port["port"] for port in balancers["ports"]] == [8470, 8476]
    assert [peer["ipBlock"]["cidr"] for peer in balancers["from"]] == [
        "35.191.0.0/16",
        "130.211.0.0/22",
    ]


@pytest.mark.parametrize(("tls", "protocol"), [({}, "GRPC"), (TLS, "GRPCS")])
def test_nginx_speaks_grpc_as_the_gateway_does(
    render: Renderer, tls: dict[str, Any], protocol: str
) -> None:
    ingress = {**NGINX["ingress"], "timeoutSeconds": 900}
    chart = render({**tls, "ingress": ingress})
    manifest = chart["Ingress/facet-gateway"]
    prefix = "nginx.ingress.kubernetes.io"

    assert manifest["spec"]["ingressClassName"] == "nginx"
    assert manifest["spec"]["tls"] == [{"hosts": ["facet.example.com"], "secretName": "public"}]
    annotations = manifest["metadata"]["annotations"]
    assert annotations[f"{prefix}/backend-protocol"] == protocol
    assert annotations[f"{prefix}/proxy-read-timeout"] == "900"
    assert annotations[f"{prefix}/proxy-send-timeout"] == "900"
    rules = chart["NetworkPolicy/facet-gateway"]["spec"]["ingress"]
    assert {"namespaceSelector"} == rules[1]["from"][0].keys()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (merged(GCE, {"ingress": {"host": ""}}), "set ingress.host"),
        (merged(NGINX, {"ingress": {"tlsSecret": ""}}), "set ingress.tlsSecret"),
        (merged(GCE, {"ingress": {"annotations": {}}}) | {"ingress": {"class": "gce", "host": "a"}},
         "set ingress.tlsSecret"),
        (merged(GCE, {"tls": {"mode": "none"}}), "set tls.mode"),
        (merged(GCE, {"gateway": {"tls": {"clientCaSecret": "ca"}}}), "show pods no certificate"),
        (merged(GCE, {"ingress": {"timeoutSeconds": 60}}), "would end streams"),
        (merged(GCE, {"gateway": {"port": 8476}}), "another number"),
        ({"ingress": {"host": "a"}}, "set ingress.class"),
        ({"ingress": {"class": "traefik"}}, "class"),
    ],
)  # fmt: skip
def test_the_reason_is_told_when_values_contradict(
    render: Renderer, values: dict[str, Any], said: str
) -> None:
    assert said in render(values).refusal
