"""What the chart refuses to render, and in which words."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.conftest import Renderer

pytestmark = pytest.mark.integration

PASSWORD = {"redis": {"auth": {"existingSecret": "", "password": "long-enough"}}}
KEY = {"tenant": "acme", "sha256": "0" * 64}
EXTERNAL = {
    "redis": {
        "auth": {"existingSecret": ""},
        "embedded": {"enabled": False},
        "external": {"existingSecret": "redis-url"},
    },
}


def test_chart_renders_when_the_required_values_are_given(render: Renderer) -> None:
    assert render().refusal == ""


def test_chart_refuses_when_no_value_is_given(render: Renderer) -> None:
    assert "needs API keys" in render(required=False).refusal


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"auth": {"existingSecret": ""}}, "set auth.existingSecret or auth.keys"),
        ({"auth": {"keys": [KEY]}}, "not both"),
        ({"redis": {"auth": {"existingSecret": ""}}}, "needs a password"),
        ({"redis": {"auth": {"password": "long-enough"}}}, "not both"),
        ({"redis": {"external": {"existingSecret": "x"}}}, "embedded.enabled must be false"),
        ({"redis": {"embedded": {"enabled": False}, "auth": {"existingSecret": ""}}},
         "set redis.external.existingSecret"),
        ({"redis": {"embedded": {"enabled": False}, "external": {"existingSecret": "x"}}},
         "redis.auth belongs to the embedded Redis"),
        (EXTERNAL, "networkPolicy.redisCidrs"),
        ({"redis": {"external": {"ports": [{"port": 13047, "endPort": 11000}]}}},
         "external.ports ends at 11000, below its port 13047"),
        ({"gateway": {"defaultDeadlineSeconds": 10, "maxDeadlineSeconds": 5}},
         "longer than maxDeadlineSeconds"),
        ({"gateway": {"admin": {"enabled": True, "port": 8470}}}, "admin.port"),
        ({"gateway": {"port": 8474}}, "give gateway.port another number"),
        ({"gateway": {"port": 9464}}, "give gateway.port another number"),
        ({"gateway": {"admin": {"port": 9464}}}, "give gateway.admin.port another number"),
        ({"worker": {"healthPort": 9464}}, "give its healthPort another number"),
        ({"gateway": {"admin": {"port": 8474}}}, "give gateway.admin.port another number"),
        ({"gateway": {"admin": {"enabled": True}}, "auth": {"existingSecret": "", "keys": [KEY]}},
         "needs an operator's key"),
        ({"auth": {"tenants": {"defaults": {}}, "existingTenantsConfigMap": "t"}}, "not both"),
        ({"gateway": {"autoscaling": {"enabled": True}, "resources": {"requests": {"cpu": None}}}},
         "set gateway.resources.requests.cpu"),
    ],
)  # fmt: skip
def test_the_reason_is_told_when_values_contradict_each_other(
    render: Renderer, values: dict[str, Any], said: str
) -> None:
    assert said in render(values).refusal


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"gatway": {}}, "gatway"),
        ({"gateway": {"replica": 1}}, "replica"),
        ({"gateway": {"replicas": 0}}, "replicas"),
        ({"gateway": {"port": 80}}, "port"),
        ({"gateway": {"image": {"tag": "latest"}}}, "tag"),
        ({"gateway": {"image": {"digest": "sha256:short"}}}, "digest"),
        ({"gateway": {"drainSeconds": 600}}, "drainSeconds"),
        ({"gateway": {"admin": {"enabled": True, "port": 80}}}, "port"),
        ({"gateway": {"maxWaiting": {"requests": 0}}}, "requests"),
        ({"gateway": {"tenantMaxWaiting": {"gigabytes": 1}}}, "gigabytes"),
        ({"auth": {"keys": [KEY | {"weight": 0}]}}, "weight"),
        ({"gateway": {"queueShards": 0}}, "queueShards"),
        ({"gateway": {"queueShards": 65}}, "queueShards"),
        ({"gateway": {"submitReplicas": -1}}, "submitReplicas"),
        ({"gateway": {"maxMediaBytes": 0}}, "maxMediaBytes"),
        ({"gateway": {"extraEnv": [{"value": "nameless"}]}}, "name"),
        ({"worker": {"engine": "other"}}, "engine"),
        ({"worker": {"drainSeconds": 600}}, "drainSeconds"),
        ({"pools": [{"name": "a", "profile": "nano-cpu", "drainSeconds": 541}]}, "drainSeconds"),
        ({"auth": {"tenants": {"defaults": {"requests": 1}}}}, "requests"),
        ({"auth": {"tenants": {"tenants": {"a:b": {}}}}}, "a:b"),
        ({"worker": {"maxBatchedTokens": 1}}, "maxBatchedTokens"),
        ({"gateway": {"maxMessageBytes": 1}}, "maxMessageBytes"),
        ({"gateway": {"image": {"registry": "https://registry.example.com"}}}, "registry"),
        ({"priorityClasses": {"make": True}}, "make"),
        ({"worker": {"sharedMemory": "much"}}, "sharedMemory"),
        ({"redis": {"auth": {"existingSecret": "", "password": "with/slash"}}}, "password"),
        ({"redis": {"auth": {"existingSecret": "", "password": "short"}}}, "password"),
        ({"auth": {"keys": [{"tenant": "a", "sha256": "plain"}]}}, "sha256"),
        ({"auth": {"keys": [{"tenant": "a:b", "sha256": "0" * 64}]}}, "tenant"),
        ({"logLevel": "chatty"}, "logLevel"),
        ({"model": ""}, "model"),
        ({"networkPolicy": {"redisCidrs": ["everywhere"]}}, "redisCidrs"),
        ({"networkPolicy": {"weightsTo": [{}]}}, "weightsTo"),
        ({"redis": {"external": {"port": 6380}}}, "port"),
        ({"redis": {"external": {"ports": [{"endPort": 6380}]}}}, "port"),
        ({"redis": {"external": {"ports": [{"port": 65536}]}}}, "port"),
        ({"serviceAccounts": {"redis": {}}}, "redis"),
    ],
)  # fmt: skip
def test_the_schema_refuses_when_a_value_is_unknown_or_out_of_range(
    render: Renderer, values: dict[str, Any], said: str
) -> None:
    refusal = render(values).refusal

    assert "schema" in refusal
    assert said in refusal


@pytest.mark.parametrize(
    "values",
    [
        {"global": {"anything": {"goes": 1}}},
        {"nameOverride": "other"},
        {"fullnameOverride": "other"},
        {"labels": {"a": "b"}, "annotations": {"a": "b"}},
        PASSWORD,
        {
            "gateway": {"admin": {"enabled": True}},
            "auth": {"existingSecret": "", "keys": [KEY, KEY | {"admin": True}]},
        },
        {**EXTERNAL, "networkPolicy": {"enabled": False}},
    ],
)
def test_chart_renders_when_common_values_are_set(render: Renderer, values: dict[str, Any]) -> None:
    assert render(values).refusal == ""
