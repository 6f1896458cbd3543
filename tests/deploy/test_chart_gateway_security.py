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


@pytest.mark.parametrize("workload", [GATEWAY, "Deployment/facet-worker-nano-cpu"])
def test_the_ca_of_redis_is_mounted_when_one_is_given(render: Renderer, workload: str) -> None:
    chart = render(
        {
            "redis": {
                "auth": {"existingSecret": ""},
                "embedded": {"enabled": False},
                "external": {"existingSecret": "url", "caSecret": "ca", "credentials": "gcp-iam"},
            },
            "networkPolicy": {"redisCidrs": ["10.0.0.3/32"]},
        }
    )
    env = {name.split("_", 2)[2]: value for name, value in chart.env(workload).items()}
    (volume,) = [v for v in chart.pod(workload)["volumes"] if v["name"] == "redis-ca"]
    (mount,) = [m for m in chart.container(workload)["volumeMounts"] if m["name"] == "redis-ca"]

    assert volume["secret"]["secretName"] == "ca"
    assert env["REDIS_CA_FILE"] == f"{mount['mountPath']}/ca.crt"
    assert env["REDIS_CREDENTIALS"] == "gcp-iam"


def test_one_request_is_sent_when_the_test_has_a_key(render: Renderer) -> None:
    chart = render({"test": {"apiKeySecret": "client"}})
    (container,) = chart["Pod/facet-test"]["spec"]["containers"]

    assert container["command"][:4] == ["python", "-m", "facet.client", "generate"]
    assert {"name": "FACET_ADDRESS", "value": "facet-gateway:8470"} in container["env"]
    assert "Pod/facet-test" not in render()


def test_the_test_trusts_the_gateways_ca_when_tls_is_on(render: Renderer) -> None:
    def pod(gateway: dict[str, Any], **test: str) -> tuple[dict[str, Any], dict[str, Any]]:
        chart = render({"test": {"apiKeySecret": "client", **test}, "gateway": {"tls": gateway}})
        spec = chart["Pod/facet-test"]["spec"]
        (container,) = spec["containers"]
        env = {entry["name"]: entry.get("value") for entry in container["env"]}
        paths = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        volumes = {volume["name"]: volume["secret"] for volume in spec["volumes"]}
        return env, {path: volumes[name] for path, name in paths.items()}

    env, secrets = pod(MANAGED)
    assert env["FACET_TLS_CA"] == "/etc/facet/ca/ca.crt"
    assert "FACET_TLS_CERT" not in env
    assert secrets["/etc/facet/ca"]["secretName"] == "facet-gateway-tls"
    assert secrets["/etc/facet/ca"]["items"] == [{"key": "ca.crt", "path": "ca.crt"}]
    both = MANAGED | {"clientCaSecret": "clients"}
    env, secrets = pod(both, caSecret="ours", clientCertificateSecret="pair")
    assert secrets["/etc/facet/ca"]["secretName"] == "ours"
    assert secrets["/etc/facet/client"]["secretName"] == "pair"
    assert (env["FACET_TLS_CERT"], env["FACET_TLS_KEY"]) == (
        "/etc/facet/client/tls.crt",
        "/etc/facet/client/tls.key",
    )
