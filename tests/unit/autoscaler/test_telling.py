"""Metrics of decisions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from facet.api.v1.admin_service_pb2 import ExplainAutoscalerResponse
from facet.autoscaler.telling import tell_explanation
from facet.core.telemetry.autoscaler_metrics import GPU_SECONDS

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def _nothing_told() -> Iterator[None]:
    GPU_SECONDS.clear()
    yield
    GPU_SECONDS.clear()


def told() -> dict[tuple[str, str], float]:
    (family,) = GPU_SECONDS.collect()
    return {(s.labels["model"], s.labels["tenant"]): s.value for s in family.samples}


def test_gpu_seconds_are_told_by_model_and_tenant() -> None:
    tell_explanation(ExplainAutoscalerResponse(gpu_seconds={"": 5.0, "acme": 70.0}), "gemma")

    assert told() == {("gemma", ""): 5.0, ("gemma", "acme"): 70.0}


def test_tenants_are_told_no_more_when_the_state_begins_anew() -> None:
    tell_explanation(ExplainAutoscalerResponse(gpu_seconds={"": 5.0, "acme": 70.0}), "gemma")
    tell_explanation(ExplainAutoscalerResponse(gpu_seconds={"": 1.0, "other": 2.0}), "gemma")

    assert told() == {("gemma", ""): 1.0, ("gemma", "other"): 2.0}
