"""How metrics are declared."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from facet.core.telemetry.metrics import OTHER, BoundedLabel, Catalogue
from tools.metrics_doc import CATALOGUES, render

pytestmark = pytest.mark.unit

DESCRIPTIONS = [each for catalogue in CATALOGUES for each in catalogue.descriptions()]
LABELS = {
    *("model", "class", "reason", "tenant", "adapter", "modality", "direction", "pool", "method"),
    *("limit", "call", "what", "way", "position", "phase", "result"),
}


def test_names_are_ours_once_and_end_in_their_unit() -> None:
    names = [each.name for each in DESCRIPTIONS]

    assert len(set(names)) == len(names) > 30
    for each in DESCRIPTIONS:
        assert each.name.startswith("facet_")
        assert each.name.endswith("_total") == (each.kind == "counter"), each.name
        assert not each.buckets or each.name.endswith("_seconds"), each.name


def test_labels_are_a_closed_set_without_ids_of_requests() -> None:
    assert {label for each in DESCRIPTIONS for label in each.labels} <= LABELS


def test_buckets_ascend_and_reach_from_milliseconds_to_the_longest_bound() -> None:
    for each in DESCRIPTIONS:
        assert list(each.buckets) == sorted(set(each.buckets))
    longest = {each.name: max(each.buckets) for each in DESCRIPTIONS if each.buckets}
    assert longest["facet_gateway_request_seconds"] == 3600
    assert longest["facet_store_call_seconds"] >= 1.8


def test_every_metric_is_documented_with_its_labels() -> None:
    text = render()

    for each in DESCRIPTIONS:
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `{each.name}` ")]
        assert all(f"`{label}`" in row for label in each.labels)


def test_values_are_other_when_more_come_than_a_label_takes() -> None:
    label = BoundedLabel(2)

    assert [label.of(value) for value in ("a", "b", "c", "a", "d")] == ["a", "b", OTHER, "a", OTHER]


def test_a_catalogue_shows_what_was_counted() -> None:
    catalogue = Catalogue("Some", "Of a test.")
    catalogue.counter("facet_some_things_total", "Things.", ("kind",)).labels("round").inc(2)
    catalogue.gauge("facet_some_levels", "Levels.").set(3)
    registry = CollectorRegistry()
    registry.register(catalogue)

    assert registry.get_sample_value("facet_some_things_total", {"kind": "round"}) == 2
    assert registry.get_sample_value("facet_some_levels") == 3
