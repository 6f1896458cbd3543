"""Whether queries name metrics that are declared, in the ways that fit their kinds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from facet.autoscaler.signals import Phase
from facet.core.errors import Reason
from facet.core.telemetry.metrics import Description
from tools.deploy_check.promql import Matcher, Use, uses
from tools.metrics_doc import CATALOGUES

# Given to every series by whoever scrapes a pod.
TARGET_LABELS = frozenset({"namespace", "pod", "container", "node", "component"})
_CLASSES = {"interactive", "standard", "batch"}
_OTHER_ENDS = {"OK", "CANCELLED", "REFUSED", "LEASE_LOST", "HANDED_BACK", "ENGINE_DIED"}
_REASONS = {name.removeprefix("ERROR_REASON_") for name, _ in Reason.items()} | _OTHER_ENDS
_CLOSED = {
    "class": _CLASSES,
    "reason": _REASONS,
    "direction": {"input", "output"},
}
# Of one metric only.
_CLOSED_OF = {
    ("facet_store_swept_requests_total", "what"): {
        "expired",
        "reaped",
        "abandoned",
        "dead_lettered",
    },
    ("facet_autoscaler_pods", "phase"): {phase.value for phase in Phase},
}
_OF_COUNTERS = {"rate", "increase"}
_OF_GAUGES = {"deriv"}
# What asks whether there is a series, not for its value.
_OF_PRESENCE = {"count", "absent"}


@dataclass(frozen=True)
class Known:
    """A name that queries may use. `kind`: counter (also counts and sums), bucket or gauge."""

    kind: str
    labels: frozenset[str]
    bounds: tuple[float, ...] = ()


def declared() -> dict[str, Known]:
    """The series of all catalogues by name."""
    return {
        name: known
        for catalogue in CATALOGUES
        for each in catalogue.descriptions()
        for name, known in _series(each)
    }


def recorded(names: Iterable[str]) -> dict[str, Known]:
    """Series of recording rules, whose labels are the first part of the name: `a_b:what:how`."""
    return {name: Known("gauge", frozenset(name.split(":")[0].split("_"))) for name in names}


def _series(metric: Description) -> Iterator[tuple[str, Known]]:
    labels = frozenset(metric.labels) | TARGET_LABELS
    if metric.kind != "histogram":
        yield metric.name, Known(metric.kind, labels)
        return
    yield f"{metric.name}_bucket", Known("bucket", labels | {"le"}, metric.buckets)
    for part in ("_count", "_sum"):
        yield metric.name + part, Known("counter", labels)


def query_problems(query: str, known: Mapping[str, Known]) -> list[str]:
    """What is wrong with the metrics of a query, also where it names none."""
    try:
        found = uses(query)
    except ValueError as error:
        return [str(error)]
    if not found:
        return ["names no metric"]
    return [f"{use.metric}: {problem}" for use in found for problem in _use_problems(use, known)]


def kept_labels(query: str, known: Mapping[str, Known]) -> set[str]:
    """Labels that the answer may have: by what is grouped, else those of the metrics."""
    return {
        label
        for use in uses(query)
        if use.function != "absent"
        for label in (use.groupings[0] if use.groupings else known[use.metric].labels)
    }


def _use_problems(use: Use, known: Mapping[str, Known]) -> Iterator[str]:
    metric = known.get(use.metric)
    if metric is None:
        yield "is declared nowhere"
        return
    allowed = _OF_GAUGES if metric.kind == "gauge" else _OF_COUNTERS
    if use.has_range and use.function not in allowed:
        yield f"is a {metric.kind}, over which {use.function or 'nothing'} cannot go"
    if not use.has_range and metric.kind != "gauge" and use.function not in _OF_PRESENCE:
        yield f"is a {metric.kind}, of which only rate and increase tell something"
    for labels in use.groupings:
        for label in sorted(set(labels) - metric.labels):
            yield f"has no label {label} to group by"
    if metric.kind == "bucket":
        yield from _bucket_problems(use)
    for matcher in use.matchers:
        if matcher.label not in metric.labels:
            yield f"has no label {matcher.label} to select by"
        elif not matcher.value.startswith("$"):
            yield from _value_problems(use.metric, matcher, metric)


def _bucket_problems(use: Use) -> Iterator[str]:
    if any(matcher.label == "le" for matcher in use.matchers):
        return
    if not any(call.name == "histogram_quantile" for call in use.calls):
        yield "is neither narrowed by le nor made a quantile"
    if any("le" not in labels for labels in use.groupings):
        yield "loses le before the quantile"


def _value_problems(name: str, matcher: Matcher, metric: Known) -> Iterator[str]:
    known = _CLOSED.get(matcher.label) or _CLOSED_OF.get((name, matcher.label))
    for value in matcher.value.split("|"):
        if matcher.label == "le" and float(value) not in metric.bounds:
            yield f"has no bucket {value}"
        if known and value not in known:
            yield f"{matcher.label} is never {value}"
