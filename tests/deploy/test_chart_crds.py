"""What is rendered for operators, against their own schemas where those are at hand."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.conftest import Renderer
from tools.deploy_check.schemas import CRDS, crd_validators

pytestmark = pytest.mark.integration

SCALED: dict[str, Any] = {
    "autoscaler": {"mode": "keda"},
    "pools": [
        {"name": name, "profile": "nano-cpu", "min": low, "max": 3}
        for name, low in (("one", 0), ("two", 1))
    ],
}


def test_scaled_objects_are_those_that_keda_knows(render: Renderer) -> None:
    validators = crd_validators(CRDS)
    if not validators:
        pytest.skip(f"{CRDS} is not there")
    chart = render(SCALED)
    validator = validators["keda.sh/v1alpha1", "ScaledObject"]

    for name in ("facet-worker-one", "facet-worker-two"):
        manifest = chart[f"ScaledObject/{name}"]
        assert list(validator.iter_errors(manifest)) == []
        wrong = {**manifest, "spec": {**manifest["spec"], "minReplica": 1}}
        assert list(validator.iter_errors(wrong))


def test_the_authentication_is_one_that_keda_knows_when_it_asks_over_tls(render: Renderer) -> None:
    validators = crd_validators(CRDS)
    if not validators:
        pytest.skip(f"{CRDS} is not there")
    tls = {"mode": "certManager", "issuerRef": {"name": "internal"}}
    chart = render({**SCALED, "tls": tls})

    for kind, name in (
        ("ScaledObject", "facet-worker-one"),
        ("TriggerAuthentication", "facet-autoscaler"),
    ):
        validator = validators["keda.sh/v1alpha1", kind]
        assert list(validator.iter_errors(chart[f"{kind}/{name}"])) == []
