"""What `/metrics` of a process shows."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector


def registry_of(*collectors: Collector) -> CollectorRegistry:
    """A registry of these collectors, and of what the process itself takes."""
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


class Renamed(Collector):
    """The metrics of another library, without the colons that Prometheus keeps for its rules."""

    def __init__(self, origin: CollectorRegistry, prefix: str) -> None:
        """`prefix` is what their names begin with, `vllm:`."""
        self._origin = origin
        self._prefix = prefix

    def describe(self) -> list[Metric]:
        """Nothing: what they are is known when they are collected."""
        return []

    def collect(self) -> Iterator[Metric]:
        """See `Collector.collect`."""
        for family in self._origin.collect():
            if not family.name.startswith(self._prefix):
                continue
            renamed = Metric(_plain(family.name), family.documentation, family.type)
            renamed.samples = [
                sample._replace(name=_plain(sample.name)) for sample in family.samples
            ]
            yield renamed


def _plain(name: str) -> str:
    return name.replace(":", "_")
