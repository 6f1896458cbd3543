"""Signed tokens, the scaler and the test of the gateway."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.conftest import Renderer

pytestmark = pytest.mark.integration

GATEWAY = "Deployment/facet-gateway"


def test_replicas_are_left_to_the_scaler_when_there_is_one(render: Renderer) -> None:
    chart = render({"gateway": {"autoscaling": {"enabled": True, "min": 3, "max": 5}}})

    assert "replicas" not in chart[GATEWAY]["spec"]
    assert chart["HorizontalPodAutoscaler/facet-gateway"]["spec"]["minReplicas"] == 3
    assert render()[GATEWAY]["spec"]["replicas"] == 2


@pytest.mark.parametrize(
    ("gateway", "said"),
    [
        ({"oidc": {"issuer": "https://a"}}, "needs oidc.audience"),
        ({"autoscaling": {"min": 5, "max": 2}}, "autoscaling.min is above"),
    ],
)
def test_the_reason_is_told_when_values_contradict(
    render: Renderer, gateway: dict[str, Any], said: str
) -> None:
    assert said in render({"gateway": gateway}).refusal


def test_one_request_is_sent_when_the_test_has_a_key(render: Renderer) -> None:
    chart = render({"test": {"apiKeySecret": "client"}})
    (container,) = chart["Pod/facet-test"]["spec"]["containers"]

    assert container["command"][:4] == ["python", "-m", "facet.client", "generate"]
    assert {"name": "FACET_ADDRESS", "value": "facet-gateway:8470"} in container["env"]
    assert "Pod/facet-test" not in render()
