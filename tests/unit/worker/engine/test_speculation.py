"""Counting drafted and accepted tokens."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from facet.worker.engine.speculation import SpeculationCounter

pytestmark = pytest.mark.unit


@dataclass
class Totals:
    """As vLLM's RequestSpecDecodeMetrics."""

    histogram: list[int]
    num_draft_tokens: int


def test_a_step_brings_one_id_more_than_it_accepted() -> None:
    counter = SpeculationCounter(3)
    assert [counter.count(ids, None) for ids in (1, 1, 3, 4)] == [(0, 0), (3, 0), (3, 2), (3, 3)]


def test_totals_are_exact_when_steps_were_merged_and_the_last_was_cut() -> None:
    counter = SpeculationCounter(3)
    counts = [counter.count(1, None), counter.count(7, None)]
    counts.append(counter.count(1, Totals(histogram=[0, 1, 2, 1], num_draft_tokens=11)))
    assert (sum(c[0] for c in counts), sum(c[1] for c in counts)) == (11, 8)


def test_nothing_is_counted_when_there_is_no_drafter() -> None:
    counter = SpeculationCounter(0)
    assert counter.count(5, None) == (0, 0)
    assert not counter.is_fresh
