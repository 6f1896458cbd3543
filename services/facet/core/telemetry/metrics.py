"""How metrics are declared: catalogues, from which the documentation is generated too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from facet.core.telemetry.processes import keep_values_in_slot

keep_values_in_slot()
# Another series for every one of ours, of which nothing here makes use.
disable_created_metrics()  # type: ignore[no-untyped-call]

OTHER = "other"
"""What a bounded label is beyond its cap."""

MAX_TENANTS = 100
MAX_ADAPTERS = 20

WAIT_BUCKETS = (0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800)
"""Seconds until something begins: from an idle cluster's milliseconds to a cold start and a full
queue."""

WHOLE_BUCKETS = (0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)
"""Seconds of a whole request, to the longest deadline."""

TOKEN_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1, 5)
"""Seconds between tokens: a large batch on a GPU makes one in 20 ms, a CPU in 200."""

CALL_BUCKETS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2)
"""Seconds of a call to the store, to its bound."""

GaugeMode: TypeAlias = Literal["livesum", "livemax", "livemin", "livemostrecent"]


@dataclass(frozen=True)
class Description:
    """One metric as the documentation shows it; `buckets` are a histogram's upper bounds."""

    name: str
    kind: str
    text: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...] = ()


@dataclass(frozen=True)
class Told:
    """A gauge whose value is read elsewhere while it is collected."""

    name: str
    text: str
    labels: tuple[str, ...]

    def family(self) -> GaugeMetricFamily:
        """An empty family, to be filled and yielded by a collector."""
        return GaugeMetricFamily(self.name, self.text, labels=self.labels)


class Catalogue(Collector):
    """The metrics of one part of the system, in the order in which they are declared.

    Values live in the process; the library keeps them in files instead when several processes of a
    service are told as one, see `facet.core.telemetry.processes`.
    """

    def __init__(self, title: str, text: str) -> None:
        """`text` says in a sentence who tells these."""
        self.title = title
        self.text = text
        self._descriptions: list[Description] = []
        self._metrics: list[Counter | Gauge | Histogram] = []

    def counter(self, name: str, text: str, labels: Sequence[str] = ()) -> Counter:
        """Declare a counter; its name ends in `_total`."""
        counter = Counter(name, text, labels, registry=None)
        self._add(counter, Description(name, "counter", text, tuple(labels)))
        return counter

    def gauge(
        self, name: str, text: str, labels: Sequence[str] = (), *, mode: GaugeMode = "livesum"
    ) -> Gauge:
        """Declare a gauge; `mode` says what several live processes make of it together."""
        gauge = Gauge(name, text, labels, registry=None, multiprocess_mode=mode)
        self._add(gauge, Description(name, "gauge", text, tuple(labels)))
        return gauge

    def histogram(
        self, name: str, text: str, buckets: Sequence[float], labels: Sequence[str] = ()
    ) -> Histogram:
        """Declare a histogram; `buckets` are upper bounds, +Inf comes by itself."""
        histogram = Histogram(name, text, labels, registry=None, buckets=buckets)
        self._add(histogram, Description(name, "histogram", text, tuple(labels), tuple(buckets)))
        return histogram

    def told(self, name: str, text: str, labels: Sequence[str] = ()) -> Told:
        """Declare a gauge that a collector tells."""
        self._descriptions.append(Description(name, "gauge", text, tuple(labels)))
        return Told(name, text, tuple(labels))

    def descriptions(self) -> Sequence[Description]:
        """All that is declared."""
        return tuple(self._descriptions)

    def describe(self) -> Iterator[Metric]:
        """Names for the registry, which refuses two of one name."""
        for metric in self._metrics:
            yield from metric.describe()

    def collect(self) -> Iterator[Metric]:
        """The values; what has labels and was never counted is left out."""
        for metric in self._metrics:
            yield from metric.collect()

    def _add(self, metric: Counter | Gauge | Histogram, description: Description) -> None:
        self._metrics.append(metric)
        self._descriptions.append(description)


class BoundedLabel:
    """Values of one label that others choose: the first `most` keep their names.

    All further ones are `other`, so that nobody makes a process hold series without bound.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()

    def of(self, value: str) -> str:
        """The label of a value."""
        if value in self._known:
            return value
        if len(self._known) >= self._most:
            return OTHER
        self._known.add(value)
        return value
