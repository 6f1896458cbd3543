"""What the chart renders, toggle by toggle."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.conftest import Renderer
from tools import golden, helm

pytestmark = pytest.mark.integration

GATEWAY, WORKER, REDIS = (
    "Deployment/facet-gateway",
    "Deployment/facet-worker-nano-cpu",
    "StatefulSet/facet-redis",
)
WORKLOADS = [GATEWAY, WORKER, REDIS]
EXTERNAL: dict[str, Any] = {
    "redis": {
        "auth": {"existingSecret": ""},
        "embedded": {"enabled": False},
        "external": {
            "existingSecret": "redis-url",
            "ports": [{"port": 6380}, {"port": 11000, "endPort": 13047}],
        },
    },
    "networkPolicy": {"redisCidrs": ["10.0.0.3/32"]},
}
PLACEMENT: dict[str, Any] = {
    "nodeSelector": {"pool": "one"},
    "tolerations": [{"key": "k", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
}


def test_lint_finds_nothing_when_helm_is_strict() -> None:
    assert helm.lint() == ""


def test_renders_equal_the_committed_ones() -> None:
    assert golden.differences() == ""


@pytest.mark.parametrize("values", helm.values_files(), ids=lambda path: path.stem)
def test_renders_are_valid_manifests_when_checked_strictly(values: Path, tmp_path: Path) -> None:
    rendered = tmp_path / "rendered.yaml"
    rendered.write_text(golden.render(values))
    validator = Path(sys.executable).parent / "kubernetes-validate"

    done = subprocess.run(
        [str(validator), "--strict", "-k", "1.35", str(rendered)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("passed") + done.stderr.count("passed") >= 8


@pytest.mark.parametrize("workload", WORKLOADS)
def test_pods_are_restricted(render: Renderer, workload: str) -> None:
    chart = render()
    pod, container = chart.pod(workload), chart.container(workload)

    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"]
    assert {"readinessProbe", "livenessProbe"} <= container.keys()


@pytest.mark.parametrize("workload", WORKLOADS)
def test_no_service_variable_is_taken_for_a_setting(render: Renderer, workload: str) -> None:
    assert render().pod(workload)["enableServiceLinks"] is False


@pytest.mark.parametrize("workload", WORKLOADS)
def test_images_are_pinned(render: Renderer, workload: str) -> None:
    tag = render().container(workload)["image"].rsplit(":", 1)[-1]

    assert tag[0].isdigit()


def test_the_digest_wins_when_tag_and_digest_are_given(render: Renderer) -> None:
    image = {"repository": "mine", "tag": "1", "digest": "sha256:" + "a" * 64}

    assert render({"worker": {"image": {"cpu": image}}}).container(WORKER)["image"] == (
        "mine@sha256:" + "a" * 64
    )


@pytest.mark.parametrize("drain", [0, 30, 540])
def test_the_grace_period_is_longer_than_the_drain(render: Renderer, drain: int) -> None:
    chart = render({"gateway": {"drainSeconds": drain}, "worker": {"drainSeconds": drain}})
    pause = chart.container(GATEWAY)["lifecycle"]["preStop"]["sleep"]["seconds"]

    assert chart.pod(GATEWAY)["terminationGracePeriodSeconds"] > drain + pause
    assert chart.pod(WORKER)["terminationGracePeriodSeconds"] > drain
    assert chart.env(GATEWAY)["FACET_GATEWAY_DRAIN_SECONDS"] == str(drain)
    assert chart.env(WORKER)["FACET_WORKER_DRAIN_SECONDS"] == str(drain)


def test_gateways_place_over_as_many_shards_as_they_are_told(render: Renderer) -> None:
    chart = render({"gateway": {"queueShards": 5}})

    assert chart.env(GATEWAY)["FACET_GATEWAY_QUEUE_SHARDS"] == "5"
    assert render().env(GATEWAY)["FACET_GATEWAY_QUEUE_SHARDS"] == "1"


def test_a_worker_may_start_as_long_as_it_is_told(render: Renderer) -> None:
    chart = render({"worker": {"startSeconds": 125}})
    startup = chart.container(WORKER)["startupProbe"]

    assert 125 <= startup["periodSeconds"] * startup["failureThreshold"] <= 135
    assert chart[WORKER]["spec"]["progressDeadlineSeconds"] > 125


def test_a_worker_has_shared_memory_and_writable_caches(render: Renderer) -> None:
    chart = render({"worker": {"sharedMemory": "2Gi"}})
    mounts = {m["mountPath"]: m["name"] for m in chart.container(WORKER)["volumeMounts"]}
    volumes = {volume["name"]: volume.get("emptyDir") for volume in chart.pod(WORKER)["volumes"]}

    assert volumes[mounts["/dev/shm"]] == {"medium": "Memory", "sizeLimit": "2Gi"}
    assert {"/tmp", "/var/cache/facet", "/var/lib/facet"} <= mounts.keys()


@pytest.mark.parametrize(("replicas", "rendered"), [(3, 3), (0, 0), (None, None)])
def test_the_number_of_workers_is_left_out_when_it_is_null(
    render: Renderer, replicas: int | None, rendered: int | None
) -> None:
    assert render({"worker": {"replicas": replicas}})[WORKER]["spec"].get("replicas") == rendered


def test_keys_are_mounted_from_the_existing_secret_when_one_is_named(render: Renderer) -> None:
    chart = render({"auth": {"existingSecret": "mine", "secretKey": "lines"}})
    (volume,) = [v for v in chart.pod(GATEWAY)["volumes"] if v["name"] == "api-keys"]

    assert volume["secret"]["secretName"] == "mine"
    assert chart.env(GATEWAY)["FACET_GATEWAY_API_KEYS_FILE"].endswith("/lines")
    assert not [name for name in chart.manifests if name.startswith("Secret/")]


def test_a_secret_is_made_when_keys_are_given(render: Renderer) -> None:
    key = {"tenant": "acme", "sha256": "ab" * 32}
    chart = render({"auth": {"existingSecret": "", "keys": [key]}})

    assert chart["Secret/facet-api-keys"]["stringData"] == {"api-keys": f"acme:{'ab' * 32}\n"}


def checksum(render: Renderer, workload: str, values: dict[str, Any]) -> str:
    annotations = render(values)[workload]["spec"]["template"]["metadata"]["annotations"]
    return str(annotations["checksum/secrets"])


def test_only_redis_restarts_when_its_password_changes(render: Renderer) -> None:
    first = {"redis": {"auth": {"existingSecret": "", "password": "password-1"}}}
    second = {"redis": {"auth": {"existingSecret": "", "password": "password-2"}}}

    assert checksum(render, REDIS, first) != checksum(render, REDIS, second)
    for workload in (GATEWAY, WORKER):
        assert checksum(render, workload, first) == checksum(render, workload, second)


def test_only_the_gateway_restarts_when_a_key_is_added(render: Renderer) -> None:
    before: dict[str, Any] = {}
    after = {"auth": {"existingSecret": "", "keys": [{"tenant": "a", "sha256": "0" * 64}]}}

    assert checksum(render, GATEWAY, before) != checksum(render, GATEWAY, after)
    for workload in (WORKER, REDIS):
        assert checksum(render, workload, before) == checksum(render, workload, after)


def test_the_password_is_a_reference_when_redis_is_embedded(render: Renderer) -> None:
    chart = render()
    source = {"secretKeyRef": {"name": "redis-password", "key": "password"}}

    assert chart.env(REDIS)["REDIS_PASSWORD"] == source
    assert chart.container(REDIS)["args"][-2:] == ["--requirepass", "$(REDIS_PASSWORD)"]
    for workload in (GATEWAY, WORKER):
        assert "REDIS_PASSWORD" not in chart.env(workload)


def test_redis_keeps_what_it_acknowledged_and_evicts_nothing(render: Renderer) -> None:
    args = render().container(REDIS)["args"]
    options = dict(zip(args[::2], args[1::2], strict=True))

    assert options["--appendonly"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"
    assert options["--dir"] == "/data"


def test_the_volume_takes_size_and_class_when_given(render: Renderer) -> None:
    storage = {"size": "1Gi", "className": "fast"}
    (claim,) = render({"redis": {"embedded": {"storage": storage}}})[REDIS]["spec"][
        "volumeClaimTemplates"
    ]

    assert claim["spec"]["storageClassName"] == "fast"
    assert claim["spec"]["resources"]["requests"]["storage"] == "1Gi"


def test_nothing_of_redis_is_rendered_when_it_is_external(render: Renderer) -> None:
    chart = render(EXTERNAL)

    assert not [name for name in chart.manifests if "redis" in name]
    assert chart.env(WORKER)["FACET_WORKER_REDIS_URL"] == {
        "secretKeyRef": {"name": "redis-url", "key": "url"}
    }
    assert "REDIS_PASSWORD" not in chart.env(GATEWAY)


def test_pods_reach_only_redis_and_name_servers_when_policies_are_on(render: Renderer) -> None:
    chart = render()
    components = {
        peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
        for rule in chart["NetworkPolicy/facet-redis"]["spec"]["ingress"]
        for peer in rule["from"]
    }

    assert components == {"gateway", "worker"}
    for component in ("gateway", "worker"):
        spec = chart[f"NetworkPolicy/facet-{component}"]["spec"]
        assert spec["policyTypes"] == ["Ingress", "Egress"]
        assert {p["port"] for rule in spec["egress"] for p in rule["ports"]} == {53, 6379}
    assert chart["NetworkPolicy/facet-worker"]["spec"]["ingress"] == []


def test_policies_name_the_external_redis_when_there_is_one(render: Renderer) -> None:
    (_, redis) = render(EXTERNAL)["NetworkPolicy/facet-worker"]["spec"]["egress"]

    assert redis["to"] == [{"ipBlock": {"cidr": "10.0.0.3/32"}}]
    assert redis["ports"] == [
        {"protocol": "TCP", "port": 6380},
        {"protocol": "TCP", "port": 11000, "endPort": 13047},
    ]


def test_callers_are_limited_when_peers_are_given(render: Renderer) -> None:
    peers = [{"namespaceSelector": {"matchLabels": {"a": "b"}}}]
    (rule,) = render({"networkPolicy": {"gatewayFrom": peers}})["NetworkPolicy/facet-gateway"][
        "spec"
    ]["ingress"]

    assert rule["from"] == peers


def test_no_policy_is_rendered_when_they_are_off(render: Renderer) -> None:
    chart = render({"networkPolicy": {"enabled": False}})

    assert not [name for name in chart.manifests if name.startswith("NetworkPolicy/")]


@pytest.mark.parametrize("enabled", [True, False])
def test_the_disruption_budget_follows_its_toggle(render: Renderer, enabled: bool) -> None:
    chart = render({"gateway": {"podDisruptionBudget": {"enabled": enabled}}})

    assert ("PodDisruptionBudget/facet-gateway" in chart) is enabled


def test_services_find_the_gateway_pods(render: Renderer) -> None:
    chart = render({"gateway": {"port": 9000, "service": {"type": "LoadBalancer"}}})
    labels = chart[GATEWAY]["spec"]["template"]["metadata"]["labels"]

    for name in ("facet-gateway", "facet-gateway-headless"):
        spec = chart[f"Service/{name}"]["spec"]
        assert spec["selector"].items() <= labels.items()
        assert spec["ports"][0]["port"] == 9000
    assert chart["Service/facet-gateway"]["spec"]["type"] == "LoadBalancer"
    assert chart["Service/facet-gateway-headless"]["spec"]["clusterIP"] == "None"
    assert chart.env(GATEWAY)["FACET_GATEWAY_LISTEN"] == "0.0.0.0:9000"


def test_given_labels_are_on_every_object_and_pod(render: Renderer) -> None:
    chart = render({"labels": {"team": "x"}, "annotations": {"note": "why"}})

    for manifest in chart.manifests.values():
        assert manifest["metadata"]["labels"]["team"] == "x"
        assert manifest["metadata"]["annotations"]["note"] == "why"
    for workload in WORKLOADS:
        metadata = chart[workload]["spec"]["template"]["metadata"]
        assert metadata["labels"]["team"] == "x"
        assert metadata["annotations"]["note"] == "why"


def test_given_labels_never_replace_those_of_selectors(render: Renderer) -> None:
    spec = render({"labels": {"app.kubernetes.io/component": "x"}})[GATEWAY]["spec"]

    assert spec["template"]["metadata"]["labels"]["app.kubernetes.io/component"] == "gateway"


@pytest.mark.parametrize(
    ("component", "workload"),
    [({"gateway": PLACEMENT}, GATEWAY), ({"worker": PLACEMENT}, WORKER),
     ({"redis": {"embedded": PLACEMENT}}, REDIS)],
)  # fmt: skip
def test_pods_are_placed_where_told(
    render: Renderer, component: dict[str, Any], workload: str
) -> None:
    pod = render(component).pod(workload)

    assert {key: pod[key] for key in PLACEMENT} == PLACEMENT


@pytest.mark.parametrize(
    ("component", "workload"),
    [("gateway", GATEWAY), ("worker", WORKER)],
)
def test_extra_environment_is_added_when_given(
    render: Renderer, component: str, workload: str
) -> None:
    chart = render({component: {"extraEnv": [{"name": "EXTRA", "value": "1"}]}})

    assert chart.env(workload)["EXTRA"] == "1"


@pytest.mark.parametrize(
    ("values", "prefix"),
    [({"nameOverride": "other"}, "facet-other"), ({"fullnameOverride": "gemma"}, "gemma")],
)
def test_names_follow_the_overrides(render: Renderer, values: dict[str, Any], prefix: str) -> None:
    assert f"Deployment/{prefix}-gateway" in render(values)
