"""Who writes the number of workers, and what it may do for that."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
import yaml

from facet.autoscaler.external_scaler import POOL as POOL_KEY
from facet.autoscaler.kubernetes_api import KubernetesApi
from facet.autoscaler.kubernetes_lease import LeaseElection
from facet.autoscaler.pools_file import ScaledPool, read_pools
from facet.autoscaler.settings import AutoscalerSettings
from facet.profiles.catalogue import FP8, NANO_CPU, PROFILES
from tests.deploy.conftest import Render, Renderer
from tests.support.kubernetes_api import kubernetes_server
from tests.support.kubernetes_cluster import NAMESPACE, pod

pytestmark = pytest.mark.integration

AUTOSCALER = "Deployment/facet-autoscaler"
POOL = {"name": "one", "profile": "nano-cpu", "min": 0, "max": 4, "pricePerHour": 0.5}


def scaled(render: Renderer, mode: str, **values: Any) -> Render:
    return render({"autoscaler": {"mode": mode, **values}, "pools": [POOL]})


def may(chart: Render) -> dict[str, set[str]]:
    """Verbs by resource that the autoscaler's role grants."""
    granted: dict[str, set[str]] = {}
    for rule in chart["Role/facet-autoscaler"]["rules"]:
        for resource in rule["resources"]:
            granted.setdefault(resource, set()).update(rule["verbs"])
    return granted


async def calls_of(mode: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> set[Right]:
    """What the autoscaler's calls need, each made once over HTTP."""
    with kubernetes_server() as server:
        server.put_deployment("facet-worker-one", 1)
        server.put_pod(pod("a"))
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(path)))
        api = KubernetesApi.connect(NAMESPACE)
        listed = await api.list_pods("")
        server.watch_seconds = 0.0
        await asyncio.to_thread(list, api.watch_pods("", listed.version))
        await api.set_deletion_cost("a", 100)
        if mode == "standalone":
            lease = LeaseElection(api, "facet-autoscaler", "me")
            await lease.step()
            await lease.step()
            await lease.resign()
            scale = await api.read_scale("facet-worker-one")
            await api.write_scale("facet-worker-one", scale, 2)
        api.close()
        return {right_of(method, path) for method, path in server.requests}


Right = tuple[str, str, str]
"""Resource, name ("" for all of them) and verb."""

VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "GET": "get"}


def right_of(method: str, path: str) -> Right:
    """What a role must grant for a request."""
    url = urlparse(path)
    resource, *rest = url.path.split("/namespaces/")[1].split("/")[1:]
    name, sub = (*rest, "", "")[:2]
    verb = VERBS[method]
    if method == "GET" and not name:
        verb = "watch" if "watch=true" in url.query else "list"
    return (f"{resource}/{sub}" if sub else resource), name, verb


@pytest.mark.parametrize("mode", ["keda", "standalone"])
async def test_the_role_grants_just_what_is_called(
    render: Renderer, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = scaled(render, mode)["Role/facet-autoscaler"]["rules"]
    granted = {
        (resource, name, verb)
        for rule in rules
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
        for verb in rule["verbs"]
    }
    needed = await calls_of(mode, tmp_path / "config", monkeypatch)

    # A rule for all pods grants the one that is named.
    assert {(r, "" if r == "pods" else name, verb) for r, name, verb in needed} == granted


@pytest.mark.parametrize("mode", ["keda", "standalone"])
def test_replicas_are_left_to_the_scaler(render: Renderer, mode: str) -> None:
    chart = scaled(render, mode)

    assert "replicas" not in chart["Deployment/facet-worker-one"]["spec"]
    assert not [name for name in chart.manifests if name.startswith("HorizontalPod")]
    assert ("ScaledObject/facet-worker-one" in chart) is (mode == "keda")


def test_nothing_of_the_autoscaler_is_rendered_when_nothing_scales(render: Renderer) -> None:
    assert not [name for name in render().manifests if "autoscaler" in name]


def test_only_deletion_costs_are_written_when_keda_scales(render: Renderer) -> None:
    assert may(scaled(render, "keda")) == {"pods": {"list", "watch", "patch"}}


def test_only_the_pools_are_scaled_when_standalone(render: Renderer) -> None:
    chart = scaled(render, "standalone")

    assert may(chart).keys() == {"pods", "deployments/scale", "leases"}
    named = {
        resource: rule["resourceNames"]
        for rule in chart["Role/facet-autoscaler"]["rules"]
        if "resourceNames" in rule
        for resource in rule["resources"]
    }
    assert named == {
        "deployments/scale": ["facet-worker-one"],
        "leases": ["facet-autoscaler"],
    }
    assert chart[AUTOSCALER]["spec"]["replicas"] == 2
    assert chart.env(AUTOSCALER)["FACET_AUTOSCALER_LEASE"] == "facet-autoscaler"


def test_the_decision_is_not_smoothed_again_when_keda_scales(render: Renderer) -> None:
    spec = scaled(render, "keda")["ScaledObject/facet-worker-one"]["spec"]
    behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]

    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (0, 4)
    assert behavior["scaleUp"]["stabilizationWindowSeconds"] == 0
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] == 0
    (trigger,) = spec["triggers"]
    assert trigger["type"] == "external-push"
    assert trigger["metadata"] == {
        "scalerAddress": "facet-autoscaler.facet.svc:8472",
        POOL_KEY: "one",
    }


def pools_of(chart: Render, folder: Path) -> tuple[ScaledPool, ...]:
    """The rendered file, as the autoscaler reads it."""
    file = folder / "pools.json"
    file.write_text(chart["ConfigMap/facet-autoscaler-pools"]["data"]["pools.json"])
    return read_pools(file)


def test_the_pools_file_says_what_each_pool_is(render: Renderer, tmp_path: Path) -> None:
    (pool,) = pools_of(scaled(render, "standalone"), tmp_path)

    assert pool == ScaledPool(
        name="one",
        profile="nano-cpu",
        deployment="facet-worker-one",
        min=0,
        max=4,
        spot=False,
        price_per_hour=0.5,
        gpus=0,
        **asdict(NANO_CPU.estimates),
    )


def test_the_pools_file_tells_the_estimates_of_each_profile(
    render: Renderer, tmp_path: Path
) -> None:
    names = [name for name, profile in PROFILES.items() if profile.model == FP8.model]
    pools = [{"name": name, "profile": name, "min": 0, "max": 1} for name in names]
    model = {"model": FP8.model, "autoscaler": {"mode": "keda"}, "pools": pools}
    read = {pool.profile: pool for pool in pools_of(render(model), tmp_path)}

    assert read.keys() == set(names)
    for name, pool in read.items():
        profile = PROFILES[name]
        told = {key: getattr(pool, key) for key in asdict(profile.estimates)}
        assert told == asdict(profile.estimates)
        assert pool.gpus == profile.resources.gpus


@pytest.mark.parametrize(
    ("values", "name", "told"),
    [
        ({"expectedStartSeconds": 75}, "startup_seconds", 75),
        ({"maxSequences": 3}, "max_sequences", 3),
        # The plan gives no more for that.
        ({"maxSequences": 500}, "max_sequences", FP8.estimates.max_sequences),
        ({"resources": {"limits": {"nvidia.com/gpu": 2}}}, "gpus", 2),
    ],
)
def test_a_pools_own_values_win_in_the_pools_file(
    render: Renderer, tmp_path: Path, values: dict[str, Any], name: str, told: int
) -> None:
    pool = {"name": "l4", "profile": "fp8", "min": 0, "max": 1}
    model = {"model": FP8.model, "autoscaler": {"mode": "keda"}}
    (given,) = pools_of(render({**model, "pools": [{**pool, **values}]}), tmp_path)
    (common,) = pools_of(render({**model, "pools": [pool], "worker": values}), tmp_path)

    assert getattr(given, name) == told
    assert common == given


def test_only_keda_and_workers_reach_the_autoscaler(render: Renderer) -> None:
    policy = scaled(render, "keda", kedaNamespace="scalers")["NetworkPolicy/facet-autoscaler"]
    by_port = {rule["ports"][0]["port"]: rule["from"] for rule in policy["spec"]["ingress"]}

    assert by_port.keys() == {8472, 4317}
    assert "scalers" in yaml.safe_dump(by_port[8472])
    (workers,) = by_port[4317]
    assert workers["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "worker"
    alone = scaled(render, "standalone")["NetworkPolicy/facet-autoscaler"]
    assert [rule["ports"][0]["port"] for rule in alone["spec"]["ingress"]] == [4317]


@pytest.mark.parametrize("mode", ["keda", "standalone"])
def test_workers_tell_their_timings_when_there_is_an_autoscaler(
    render: Renderer, mode: str
) -> None:
    chart = scaled(render, mode)
    name = "FACET_WORKER_TIMING_ENDPOINT"

    assert chart.env("Deployment/facet-worker-one")[name] == "http://facet-autoscaler:4317"
    assert name not in render().env("Deployment/facet-worker-nano-cpu")
    ports = chart["Service/facet-autoscaler"]["spec"]["ports"]
    assert {"name": "otlp", "port": 4317, "targetPort": "otlp"} in ports


def test_the_policy_gets_what_it_is_to_hold(render: Renderer) -> None:
    chart = scaled(render, "keda", policy={"headRoom": 0.25, "maxCostPerHour": 12})
    env = chart.env(AUTOSCALER)
    values = {
        name.removeprefix("FACET_AUTOSCALER_").lower(): value
        for name, value in env.items()
        if name.startswith("FACET_AUTOSCALER_") and isinstance(value, str)
    }
    settings = AutoscalerSettings.model_validate(
        {name: values[name] for name in values.keys() & AutoscalerSettings.model_fields}
        | {"redis_url": "redis://elsewhere:6379/0", "redis_credentials": "url"}
    )

    assert (settings.head_room, settings.max_cost_per_hour) == (0.25, 12)
    fields = AutoscalerSettings.model_fields
    for name in ("decision_seconds", "interactive_ttft_seconds", "attainment", "idle_seconds"):
        assert getattr(settings, name) == fields[name].default


def test_redis_lets_the_autoscaler_in_when_there_is_one(render: Renderer) -> None:
    for mode, is_there in (("standalone", True), ("hpa", False)):
        pool = {**POOL, "min": 1}
        chart = render({"autoscaler": {"mode": mode}, "pools": [pool]})
        peers = yaml.safe_dump(chart["NetworkPolicy/facet-redis"]["spec"]["ingress"])
        assert ("autoscaler" in peers) is is_there


@pytest.mark.parametrize(
    ("tls", "secret"),
    [
        ({"mode": "certManager", "issuerRef": {"name": "internal"}}, "facet-autoscaler-tls"),
        ({"mode": "secrets"}, "scaler-pair"),
    ],
)
def test_keda_asks_over_tls_when_it_is_on(
    render: Renderer, tls: dict[str, Any], secret: str
) -> None:
    is_given = tls["mode"] == "secrets"
    given = {"tls": {"existingSecret": "scaler-pair"}} if is_given else {}
    others = {
        "gateway": {"tls": {"existingSecret": "pair"}},
        "redis": {"embedded": {"tls": {"existingSecret": "redis-pair"}}},
    }
    keda = {"tls": tls, "autoscaler": {"mode": "keda", **given}, "pools": [POOL]}
    chart = render({**keda, **others} if is_given else keda)

    env = chart.env(AUTOSCALER)
    (mount,) = [m for m in chart.container(AUTOSCALER)["volumeMounts"] if m["name"] == "tls"]
    (volume,) = [v for v in chart.pod(AUTOSCALER)["volumes"] if v["name"] == "tls"]
    assert volume["secret"]["secretName"] == secret
    paths = {f"{mount['mountPath']}/{item['path']}" for item in volume["secret"]["items"]}
    assert paths == {
        env["FACET_AUTOSCALER_TLS_CERTIFICATE_FILE"],
        env["FACET_AUTOSCALER_TLS_KEY_FILE"],
    }

    (trigger,) = chart["ScaledObject/facet-worker-one"]["spec"]["triggers"]
    assert trigger["metadata"]["enableTLS"] == "true"
    reference = f"TriggerAuthentication/{trigger['authenticationRef']['name']}"
    assert chart[reference]["spec"]["secretTargetRef"] == [
        {"parameter": "caCert", "name": secret, "key": "ca.crt"}
    ]
    assert ("Certificate/facet-autoscaler" in chart) is not is_given
    if not is_given:
        certificate = chart["Certificate/facet-autoscaler"]["spec"]
        # The name that KEDA connects to is the one that it looks for in the certificate.
        assert trigger["metadata"]["scalerAddress"].rpartition(":")[0] in certificate["dnsNames"]
        assert certificate["secretName"] == secret


@pytest.mark.parametrize("mode", ["standalone", "keda"])
def test_the_autoscaler_has_no_certificate_when_tls_is_off(render: Renderer, mode: str) -> None:
    chart = scaled(render, mode)

    assert not [name for name in chart.env(AUTOSCALER) if "_TLS_" in name]
    assert not [name for name in chart.manifests if name.startswith("TriggerAuthentication")]


def test_only_keda_is_told_how_to_check_the_certificate(render: Renderer) -> None:
    tls = {"mode": "certManager", "issuerRef": {"name": "internal"}}
    chart = render({"tls": tls, "autoscaler": {"mode": "standalone"}, "pools": [POOL]})

    assert "Certificate/facet-autoscaler" in chart
    assert not [name for name in chart.manifests if name.startswith("TriggerAuthentication")]


def test_every_variable_is_a_field_of_the_settings(render: Renderer) -> None:
    tls = {"mode": "certManager", "issuerRef": {"name": "internal"}}
    chart = render({"tls": tls, "autoscaler": {"mode": "keda"}, "pools": [POOL]})
    names = [name for name in chart.env(AUTOSCALER) if name.startswith("FACET_")]

    assert len(names) >= 9
    for name in names:
        assert name.removeprefix("FACET_AUTOSCALER_").lower() in AutoscalerSettings.model_fields
