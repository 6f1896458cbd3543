"""Metrics of other libraries beside ours."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge

from facet.core.telemetry.exposition import Foreign, registry_of

pytestmark = pytest.mark.unit


@pytest.fixture
def origin() -> CollectorRegistry:
    registry = CollectorRegistry()
    Counter("vllm:tokens", "Tokens.", ("engine",), registry=registry).labels("0").inc(5)
    Gauge("other_level", "Level.", registry=registry).set(1)
    return registry


def test_colons_are_gone_and_strangers_left_out_when_metrics_are_renamed(
    origin: CollectorRegistry,
) -> None:
    registry = registry_of(Foreign(origin, "vllm:", renames=True))

    assert registry.get_sample_value("vllm_tokens_total", {"engine": "0"}) == 5
    assert registry.get_sample_value("vllm:tokens_total", {"engine": "0"}) is None
    assert registry.get_sample_value("other_level") is None


def test_names_stay_when_metrics_are_not_renamed(origin: CollectorRegistry) -> None:
    registry = registry_of(Foreign(origin, "vllm:", renames=False))

    assert registry.get_sample_value("vllm:tokens_total", {"engine": "0"}) == 5
    assert registry.get_sample_value("other_level") is None


def test_the_process_tells_of_itself() -> None:
    value = registry_of().get_sample_value("process_resident_memory_bytes")

    assert value is not None
    assert value > 1 << 20
