"""TLS and credentials between the parts: what `tls.mode` and Redis' values render."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlparse

import pytest
import yaml

from tests.deploy.conftest import Render, Renderer, merged

pytestmark = pytest.mark.integration

GATEWAY, WORKER, REDIS = (
    "Deployment/facet-gateway",
    "Deployment/facet-worker-nano-cpu",
    "StatefulSet/facet-redis",
)
GIVEN: dict[str, Any] = {
    "tls": {"mode": "secrets"},
    "gateway": {"tls": {"existingSecret": "pair"}},
    "redis": {"embedded": {"tls": {"existingSecret": "redis-pair"}}},
}
MANAGED: dict[str, Any] = {"tls": {"mode": "certManager", "issuerRef": {"name": "internal"}}}
POOLS = [{"name": "one", "profile": "nano-cpu", "min": 0, "max": 1}]
KEDA: dict[str, Any] = {"autoscaler": {"mode": "keda"}, "pools": POOLS}
ALONE: dict[str, Any] = {"autoscaler": {"mode": "standalone"}, "pools": POOLS}
COLLECTED: dict[str, Any] = {"otel": {"collector": {"enabled": True}}}
OTLP_GIVEN: dict[str, Any] = {
    "autoscaler": {"tls": {"existingSecret": "scaler-pair"}},
    "otel": {"collector": {"tls": {"existingSecret": "collector-pair"}}},
}
EXTERNAL: dict[str, Any] = {
    "redis": {"auth": {"existingSecret": ""}, "embedded": {"enabled": False}},
    "networkPolicy": {"redisCidrs": ["10.0.0.3/32"]},
}


def external(**values: str) -> dict[str, Any]:
    """Values of a Redis of one's own."""
    redis = {**EXTERNAL["redis"], "external": {"existingSecret": "url", **values}}
    return {**EXTERNAL, "redis": redis}


def redis_files(chart: Render, workload: str) -> dict[str, str]:
    """Secret of each file that the settings of Redis name, by field."""
    (volume,) = [v for v in chart.pod(workload)["volumes"] if v["name"] == "redis"]
    (mount,) = [m for m in chart.container(workload)["volumeMounts"] if m["name"] == "redis"]
    secrets = {
        f"{mount['mountPath']}/{item['path']}": f"{source['secret']['name']}/{item['key']}"
        for source in volume["projected"]["sources"]
        for item in source["secret"]["items"]
    }
    named = {
        name.split("_REDIS_")[1]: value
        for name, value in chart.env(workload).items()
        if "_REDIS_" in name and name.endswith("_FILE")
    }
    assert sorted(named.values()) == sorted(secrets)
    return {field: secrets[path] for field, path in named.items()}


def otlp_ca(chart: Render, workload: str, file: str) -> str:
    """Secret and key of a CA file of spans."""
    (volume,) = [v for v in chart.pod(workload)["volumes"] if v["name"] == "otlp"]
    (mount,) = [m for m in chart.container(workload)["volumeMounts"] if m["name"] == "otlp"]
    (found,) = [
        f"{source['secret']['name']}/{item['key']}"
        for source in volume["projected"]["sources"]
        for item in source["secret"]["items"]
        if f"{mount['mountPath']}/{item['path']}" == file
    ]
    return found


def tls_secret(chart: Render, workload: str, certificate: str, key: str) -> str:
    """Secret of the pair that a listener reads from these files."""
    (volume,) = [v for v in chart.pod(workload)["volumes"] if v["name"] == "tls"]
    (mount,) = [m for m in chart.container(workload)["volumeMounts"] if m["name"] == "tls"]
    items = volume["secret"]["items"]
    files = {f"{mount['mountPath']}/{item['path']}": item["key"] for item in items}
    assert (files[certificate], files[key]) == ("tls.crt", "tls.key")
    return str(volume["secret"]["secretName"])


@pytest.mark.parametrize("scaled", [KEDA, ALONE], ids=["keda", "standalone"])
@pytest.mark.parametrize("values", [GIVEN, MANAGED], ids=["secrets", "certManager"])
def test_timings_are_sent_over_tls_when_it_is_on(
    render: Renderer, values: dict[str, Any], scaled: dict[str, Any]
) -> None:
    given = OTLP_GIVEN if values is GIVEN else {}
    chart = render(merged(merged(values, scaled), {"autoscaler": given.get("autoscaler", {})}))
    worker, env = "Deployment/facet-worker-one", chart.env("Deployment/facet-autoscaler")
    endpoint = urlparse(chart.env(worker)["FACET_WORKER_TIMING_ENDPOINT"])
    secret = tls_secret(
        chart,
        "Deployment/facet-autoscaler",
        env["FACET_AUTOSCALER_TLS_CERTIFICATE_FILE"],
        env["FACET_AUTOSCALER_TLS_KEY_FILE"],
    )

    assert endpoint.scheme == "https"
    assert secret == ("scaler-pair" if given else "facet-autoscaler-tls")
    file = chart.env(worker)["FACET_WORKER_TIMING_CA_FILE"]
    assert otlp_ca(chart, worker, file) == f"{secret}/ca.crt"
    if not given:
        certificate = chart["Certificate/facet-autoscaler"]["spec"]
        assert certificate["secretName"] == secret
        assert endpoint.hostname in certificate["dnsNames"]


@pytest.mark.parametrize("values", [GIVEN, MANAGED], ids=["secrets", "certManager"])
def test_the_collector_takes_tls_when_it_is_on(render: Renderer, values: dict[str, Any]) -> None:
    given = OTLP_GIVEN if values is GIVEN else {}
    chart = render(merged(merged(merged(values, ALONE), COLLECTED), given))
    config = yaml.safe_load(chart["ConfigMap/facet-collector"]["data"]["config.yaml"])
    tls = config["receivers"]["otlp"]["protocols"]["grpc"]["tls"]
    secret = tls_secret(chart, "Deployment/facet-collector", tls["cert_file"], tls["key_file"])

    assert secret == ("collector-pair" if given else "facet-collector-tls")
    for name in ("gateway", "worker-one", "autoscaler"):
        workload = f"Deployment/facet-{name}"
        prefix = f"FACET_{name.partition('-')[0].upper()}_TRACE"
        endpoint = urlparse(chart.env(workload)[f"{prefix}_ENDPOINT"])
        assert endpoint.scheme == "https"
        file = chart.env(workload)[f"{prefix}_CA_FILE"]
        assert otlp_ca(chart, workload, file) == f"{secret}/ca.crt"
        if not given:
            certificate = chart["Certificate/facet-collector"]["spec"]
            assert certificate["secretName"] == secret
            assert endpoint.hostname in certificate["dnsNames"]


def test_no_ca_is_read_when_spans_go_elsewhere(render: Renderer) -> None:
    peer = {"ipBlock": {"cidr": "10.0.0.9/32"}}
    chart = render({**MANAGED, "otel": {"endpoint": "https://c.example.com:4317", "to": [peer]}})
    for workload in (GATEWAY, WORKER):
        assert not [name for name in chart.env(workload) if name.endswith("_TRACE_CA_FILE")]
        assert not [v for v in chart.pod(workload)["volumes"] if v["name"] == "otlp"]


def test_probes_speak_to_the_plain_port_when_tls_is_on(render: Renderer) -> None:
    chart = render(GIVEN)
    ports = {port["name"]: port["containerPort"] for port in chart.container(GATEWAY)["ports"]}

    assert chart.container(GATEWAY)["readinessProbe"]["grpc"]["port"] == ports["health"]
    assert chart.env(GATEWAY)["FACET_GATEWAY_HEALTH_LISTEN"] == f"0.0.0.0:{ports['health']}"
    assert chart.env(GATEWAY)["FACET_GATEWAY_TLS_CERTIFICATE_FILE"] == "/etc/facet/tls/tls.crt"
    (volume,) = [v for v in chart.pod(GATEWAY)["volumes"] if v["name"] == "tls"]
    assert volume["secret"]["secretName"] == "pair"
    assert "appProtocol" not in chart["Service/facet-gateway"]["spec"]["ports"][0]
    assert "Certificate/facet-gateway" not in chart


def test_volumes_name_the_keys_that_a_given_secret_must_have(render: Renderer) -> None:
    tested = {"test": {"apiKeySecret": "key"}}
    shown = {"gateway": {"tls": {"existingSecret": "pair", "clientCaSecret": "clients"}}}
    pods = [
        render(merged(GIVEN, tested))["Pod/facet-test"]["spec"],
        render(merged(GIVEN, shown)).pod(GATEWAY),
        render(GIVEN).pod(REDIS),
    ]

    wanted = {
        (volume["secret"]["secretName"], item["key"], item["path"])
        for pod in pods
        for volume in pod["volumes"]
        if volume["name"] in {"tls", "client-ca"}
        for item in volume["secret"]["items"]
    }

    assert wanted == {
        (secret, key, key)
        for secret, keys in (
            ("pair", ("tls.crt", "tls.key", "ca.crt")),
            ("clients", ("ca.crt",)),
            ("redis-pair", ("tls.crt", "tls.key", "ca.crt")),
        )
        for key in keys
    }


def test_certificates_name_the_services_when_cert_manager_makes_them(render: Renderer) -> None:
    chart = render({**MANAGED, "gateway": {"tls": {"dnsNames": ["facet.example.com"]}}})
    for name, workload, names in (
        ("facet-gateway", GATEWAY, {"facet-gateway-headless.facet.svc", "facet.example.com"}),
        ("facet-redis", REDIS, {"facet-redis"}),
    ):
        spec = chart[f"Certificate/{name}"]["spec"]
        (volume,) = [v for v in chart.pod(workload)["volumes"] if v["name"] == "tls"]
        assert spec["secretName"] == volume["secret"]["secretName"]
        assert names <= set(spec["dnsNames"])
        assert spec["issuerRef"]["name"] == "internal"
        assert spec["issuerRef"]["kind"] == "Issuer"


def test_no_certificate_is_made_for_a_redis_of_ones_own(render: Renderer) -> None:
    chart = render({**external(), **MANAGED})

    assert "Certificate/facet-gateway" in chart
    assert "Certificate/facet-redis" not in chart


@pytest.mark.parametrize("workload", [GATEWAY, WORKER])
def test_the_password_is_read_from_a_file_when_redis_is_embedded(
    render: Renderer, workload: str
) -> None:
    chart = render()
    env = {name.split("_", 2)[2]: value for name, value in chart.env(workload).items()}

    assert redis_files(chart, workload) == {"PASSWORD_FILE": "redis-password/password"}
    assert env["REDIS_URL"] == "redis://facet-redis:6379/0"
    assert env["REDIS_CREDENTIALS"] == "file"


@pytest.mark.parametrize("workload", [GATEWAY, WORKER])
@pytest.mark.parametrize(
    ("values", "secret"), [(GIVEN, "redis-pair"), (MANAGED, "facet-redis-tls")]
)
def test_clients_trust_the_certificate_of_redis_when_tls_is_on(
    render: Renderer, workload: str, values: dict[str, Any], secret: str
) -> None:
    chart = render(values)
    env = {name.split("_", 2)[2]: value for name, value in chart.env(workload).items()}

    assert env["REDIS_URL"] == "rediss://facet-redis:6379/0"
    assert redis_files(chart, workload) == {
        "PASSWORD_FILE": "redis-password/password",
        "CA_FILE": f"{secret}/ca.crt",
    }


@pytest.mark.parametrize("workload", [GATEWAY, WORKER])
@pytest.mark.parametrize(
    ("values", "credentials", "files"),
    [
        ({}, "url", None),
        ({"caSecret": "ca", "credentials": "gcp-iam"}, "gcp-iam", {"CA_FILE": "ca/ca.crt"}),
        (
            {"credentials": "file", "passwordSecret": "p", "passwordSecretKey": "auth"},
            "file",
            {"PASSWORD_FILE": "p/auth"},
        ),
        (
            {"caSecret": "ca", "certificateSecret": "mine"},
            "url",
            {
                "CA_FILE": "ca/ca.crt",
                "CERTIFICATE_FILE": "mine/tls.crt",
                "KEY_FILE": "mine/tls.key",
            },
        ),
    ],
)
def test_a_redis_of_ones_own_is_reached_as_told(
    render: Renderer,
    workload: str,
    values: dict[str, str],
    credentials: str,
    files: dict[str, str] | None,
) -> None:
    chart = render(external(**values))
    env = {name.split("_", 2)[2]: value for name, value in chart.env(workload).items()}

    assert env["REDIS_CREDENTIALS"] == credentials
    if files is None:
        assert not [v for v in chart.pod(workload)["volumes"] if v["name"] == "redis"]
    else:
        assert redis_files(chart, workload) == files


def test_the_test_trusts_the_gateway_when_tls_is_on(render: Renderer) -> None:
    key = {"test": {"apiKeySecret": "client"}}
    pod = render({**GIVEN, **key})["Pod/facet-test"]["spec"]
    (container,) = pod["containers"]
    (volume,) = pod["volumes"]

    assert {"name": "FACET_TLS_CA", "value": "/etc/facet/tls/ca.crt"} in container["env"]
    assert volume["secret"]["secretName"] == "pair"
    assert [item["key"] for item in volume["secret"]["items"]] == ["ca.crt"]
    assert "volumes" not in render(key)["Pod/facet-test"]["spec"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"tls": {"mode": "secrets"}}, "set gateway.tls.existingSecret"),
        ({**GIVEN, "redis": {}}, "set redis.embedded.tls.existingSecret"),
        ({**GIVEN, **KEDA}, "set autoscaler.tls.existingSecret"),
        ({**GIVEN, **ALONE}, "set autoscaler.tls.existingSecret"),
        ({**GIVEN, **COLLECTED}, "set otel.collector.tls.existingSecret"),
        ({"otel": OTLP_GIVEN["otel"]}, "tls.mode is none"),
        ({"autoscaler": {"tls": {"existingSecret": "pair"}}}, "tls.mode is none"),
        ({**GIVEN, "tls": {"mode": "none"}}, "tls.mode is none"),
        ({**GIVEN, **MANAGED}, "tls.mode is certManager"),
        ({"tls": {"mode": "certManager"}}, "needs an issuer"),
        ({"gateway": {"tls": {"clientCaSecret": "ca"}}}, "clientCaSecret is set"),
        (
            {
                **MANAGED,
                "gateway": {"tls": {"clientCaSecret": "ca"}},
                "test": {"apiKeySecret": "key"},
            },
            "shows no certificate",
        ),
        ({"redis": {"external": {"caSecret": "ca"}}}, "redis of your own"),
        ({"redis": {"external": {"credentials": "gcp-iam"}}}, "redis of your own"),
        (external(credentials="file"), "belong together"),
        (external(passwordSecret="p"), "belong together"),
        ({"tls": {"mode": "some"}}, "mode"),
    ],
)
def test_the_reason_is_told_when_values_contradict(
    render: Renderer, values: dict[str, Any], said: str
) -> None:
    assert said.lower() in render(values).refusal.lower()
