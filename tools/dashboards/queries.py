"""PromQL of the dashboards, written from the catalogues of metrics.

Every query is narrowed to the namespace, and the model where the metric has one, that the viewer
chose. KeyError for a metric that is not declared, ValueError where its kind does not fit.
"""

from __future__ import annotations

from facet.core.telemetry.metrics import Description
from tools.metrics_doc import CATALOGUES

_DECLARED = {each.name: each for catalogue in CATALOGUES for each in catalogue.descriptions()}


def rate(name: str, *by: str, where: str = "") -> str:
    """What a counter adds a second."""
    return f"sum{_by(by)} (rate({_series(_of_kind(name, 'counter'), '', where)}[$__rate_interval]))"


def increase(name: str, *by: str, where: str = "") -> str:
    """What a counter added in the hour before; extrapolated, so not always a whole number."""
    return f"sum{_by(by)} (increase({_series(_of_kind(name, 'counter'), '', where)}[1h]))"


def total(name: str, *by: str, where: str = "") -> str:
    """The sum of a gauge over those that tell it."""
    return f"sum{_by(by)} ({_series(_of_kind(name, 'gauge'), '', where)})"


def highest(name: str, *by: str, where: str = "") -> str:
    """The highest of a gauge over those that tell it."""
    return f"max{_by(by)} ({_series(_of_kind(name, 'gauge'), '', where)})"


def lowest(name: str, *by: str) -> str:
    """The lowest of a gauge over those that tell it."""
    return f"min{_by(by)} ({_series(_of_kind(name, 'gauge'), '', '')})"


def slope(name: str, *by: str) -> str:
    """How fast a gauge that several tell alike grows a second."""
    series = _series(_of_kind(name, "gauge"), "", "")
    return f"max{_by(by)} (deriv({series}[$__rate_interval]))"


def mean(name: str, *by: str, where: str = "") -> str:
    """The mean of a gauge over those that tell it."""
    return f"avg{_by(by)} ({_series(_of_kind(name, 'gauge'), '', where)})"


def quantile(share: float, name: str, *by: str) -> str:
    """A quantile of a histogram, as exact as its buckets."""
    series = _series(_of_kind(name, "histogram"), "_bucket", "")
    labels = _by((*by, "le"))
    return f"histogram_quantile({share:g}, sum{labels} (rate({series}[$__rate_interval])))"


def observations(name: str, *by: str) -> str:
    """How many a second a histogram counts."""
    series = _series(_of_kind(name, "histogram"), "_count", "")
    return f"sum{_by(by)} (rate({series}[$__rate_interval]))"


def _of_kind(name: str, kind: str) -> Description:
    found = _DECLARED[name]
    if found.kind != kind:
        raise ValueError(f"{name} is a {found.kind}, not a {kind}")
    return found


def _by(labels: tuple[str, ...]) -> str:
    return f" by ({', '.join(labels)})" if labels else ""


def _series(metric: Description, suffix: str, where: str) -> str:
    chosen = ['namespace=~"$namespace"']
    if "model" in metric.labels:
        chosen.append('model=~"$model"')
    if where:
        chosen.append(where)
    return f"{metric.name}{suffix}{{{', '.join(chosen)}}}"
