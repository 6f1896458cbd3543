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


class Foreign(Collector):
    """The metrics of another library, which keeps them in a registry of its own."""

    def __init__(self, origin: CollectorRegistry, prefix: str, *, renames: bool) -> None:
        """`prefix` is what their names begin with.

        With `renames` they get `_` for the colons that Prometheus keeps for its rules, and lose a
        `_total` that is not a counter's.
        """
        self._origin = origin
        self._prefix = prefix
        self._renames = renames

    def describe(self) -> list[Metric]:
        """Nothing: what they are is known when they are collected."""
        return []

    def collect(self) -> Iterator[Metric]:
        """See `Collector.collect`."""
        for family in self._origin.collect():
            if not family.name.startswith(self._prefix):
                continue
            yield _renamed(family) if self._renames else family


def _renamed(family: Metric) -> Metric:
    name = family.name.replace(":", "_")
    if family.type != "counter":
        # Only counters may be called that; vLLM has a histogram that is.
        name = name.removesuffix("_total")
    renamed = Metric(name, family.documentation, family.type)
    renamed.samples = [
        sample._replace(name=name + sample.name.removeprefix(family.name))
        for sample in family.samples
    ]
    return renamed
