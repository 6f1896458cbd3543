"""The policies that come from the table of arrows, toggle by toggle."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.conftest import Manifest, Render, Renderer

pytestmark = pytest.mark.integration

PUBLIC = {
    "cidr": "0.0.0.0/0",
    "except": ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16"],
}
METADATA = ["169.254.169.254/32", "169.254.169.252/32"]
EXTERNAL: dict[str, Any] = {
    "auth": {"existingSecret": ""},
    "embedded": {"enabled": False},
    "external": {"existingSecret": "url"},
}


def rules(chart: Render, name: str, side: str, port: int) -> list[Manifest]:
    """The rules of a policy that open a port."""
    found: list[Manifest] = chart[f"NetworkPolicy/facet-{name}"]["spec"][side]
    return [rule for rule in found if port in {entry["port"] for entry in rule["ports"]}]


def blocks(entries: list[Manifest]) -> list[str]:
    """The address ranges that rules name."""
    return [peer["ipBlock"]["cidr"] for rule in entries for peer in rule["to"] if "ipBlock" in peer]


@pytest.mark.parametrize("component", ["gateway", "worker", "autoscaler"])
def test_annotations_of_workload_identity_reach_the_accounts_that_pods_run_as(
    render: Renderer, component: str
) -> None:
    given = {"iam.gke.io/gcp-service-account": "facet@example.iam.gserviceaccount.com"}
    pools = [{"name": "one", "profile": "nano-cpu", "min": 1, "max": 2}]
    chart = render(
        {
            "autoscaler": {"mode": "standalone"},
            "pools": pools,
            "serviceAccounts": {component: {"annotations": given}},
        }
    )
    workload = "worker-one" if component == "worker" else component
    account = chart.pod(f"Deployment/facet-{workload}")["serviceAccountName"]

    annotated = {
        name: manifest["metadata"].get("annotations")
        for name, manifest in chart.manifests.items()
        if manifest["kind"] == "ServiceAccount"
    }
    assert len(annotated) == 3
    assert annotated.pop(f"ServiceAccount/{account}") == given
    assert set(annotated.values()) == {None}


@pytest.mark.parametrize("component", ["gateway", "worker", "autoscaler", "test"])
def test_only_name_servers_are_asked_for_names(render: Renderer, component: str) -> None:
    pools = [{"name": "one", "profile": "nano-cpu", "min": 1, "max": 2}]
    chart = render(
        {"autoscaler": {"mode": "keda"}, "pools": pools, "test": {"apiKeySecret": "key"}}
    )

    (rule,) = rules(chart, component, "egress", 53)
    assert [entry["protocol"] for entry in rule["ports"]] == ["UDP", "TCP"]
    assert blocks([rule]) == ["169.254.20.10/32", "169.254.169.254/32"]
    pods = [peer for peer in rule["to"] if "ipBlock" not in peer]
    names = [peer["podSelector"]["matchLabels"]["k8s-app"] for peer in pods]
    assert names == ["kube-dns", "node-local-dns"]
    assert all(peer["namespaceSelector"]["matchLabels"] for peer in pods)


def test_name_servers_are_those_that_are_given(render: Renderer) -> None:
    given = [{"ipBlock": {"cidr": "10.0.0.10/32"}}]
    (rule,) = rules(render({"networkPolicy": {"dns": given}}), "gateway", "egress", 53)

    assert rule["to"] == given


@pytest.mark.parametrize(("dns", "said"), [([], "dns"), ([{"other": {}}], "means everybody")])
def test_name_servers_are_refused_when_they_mean_everybody(
    render: Renderer, dns: list[Any], said: str
) -> None:
    assert said in render({"networkPolicy": {"dns": dns}}).refusal


def test_every_component_has_a_policy_for_both_directions(render: Renderer) -> None:
    chart = render({"test": {"apiKeySecret": "key"}})
    policies = [chart.manifests[name] for name in chart.manifests if "NetworkPolicy/" in name]
    selected = {
        policy["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
        for policy in policies
    }

    assert selected == {"gateway", "worker", "redis", "test"}
    for policy in policies:
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
        assert {"ingress", "egress"} <= policy["spec"].keys()


def test_the_test_pod_reaches_the_gateway_when_callers_are_limited(render: Renderer) -> None:
    peers = [{"podSelector": {"matchLabels": {"a": "b"}}}]
    chart = render({"networkPolicy": {"gatewayFrom": peers}, "test": {"apiKeySecret": "key"}})
    first, second = rules(chart, "gateway", "ingress", 8470)

    assert first["from"] == peers
    (caller,) = second["from"]
    assert caller["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "test"
    assert rules(chart, "test", "egress", 8470)


@pytest.mark.parametrize(
    ("jwks", "port"),
    [("https://issuer.example.com/keys", 443), ("https://issuer.example.com:8443/keys", 8443)],
)
def test_the_keys_of_tokens_are_fetched_on_the_port_of_their_url(
    render: Renderer, jwks: str, port: int
) -> None:
    oidc = {"issuer": "https://issuer.example.com", "audience": "facet", "jwks": jwks}
    chart = render({"gateway": {"oidc": oidc}})

    (rule,) = rules(chart, "gateway", "egress", port)
    assert rule["to"] == [{"ipBlock": PUBLIC}]
    assert not rules(chart, "worker", "egress", port)
    assert not rules(render(), "gateway", "egress", port)


@pytest.mark.parametrize(("credentials", "expected"), [("url", []), ("gcp-iam", METADATA)])
def test_the_metadata_server_is_reached_when_it_gives_the_password(
    render: Renderer, credentials: str, expected: list[str]
) -> None:
    redis = {**EXTERNAL, "external": {"existingSecret": "url", "credentials": credentials}}
    chart = render({"redis": redis, "networkPolicy": {"redisCidrs": ["10.0.0.3/32"]}})

    for component in ("gateway", "worker"):
        found = [*rules(chart, component, "egress", 80), *rules(chart, component, "egress", 988)]
        assert blocks(found) == expected


DRAFTER = {"drafterPath": "drafter"}


@pytest.mark.parametrize(
    ("weights", "is_fetching", "is_reading"),
    [
        ({}, True, False),
        ({"source": "org/name"}, True, False),
        ({"source": "gs://bucket/w4a16"}, True, True),
        ({"drafterSource": "gs://bucket/drafter"}, True, True),
        ({"volume": {"persistentVolumeClaim": {"claimName": "w"}}, **DRAFTER}, False, False),
        ({"volume": {"csi": {"driver": "gcsfuse.csi.storage.gke.io"}}, **DRAFTER}, True, True),
    ],
)
def test_pools_reach_only_where_their_weights_are(
    render: Renderer, weights: dict[str, Any], is_fetching: bool, is_reading: bool
) -> None:
    pools = [
        {"name": "one", "profile": "w4a16", "weights": weights},
        {"name": "two", "profile": "w4a16", "weights": {"volume": {"emptyDir": {}}, **DRAFTER}},
    ]
    chart = render({"model": "gemma-4-12b", "pools": pools})

    assert ("NetworkPolicy/facet-worker-one" in chart) is is_fetching
    assert "NetworkPolicy/facet-worker-two" not in chart
    if is_fetching:
        policy = chart["NetworkPolicy/facet-worker-one"]["spec"]
        assert policy["podSelector"]["matchLabels"]["facet/pool"] == "one"
        (web,) = rules(chart, "worker-one", "egress", 443)
        assert web["to"] == [{"ipBlock": PUBLIC}]
        assert bool(rules(chart, "worker-one", "egress", 80)) is is_reading
        assert bool(rules(chart, "worker-one", "egress", 988)) is is_reading
