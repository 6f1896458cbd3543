"""What is kept of a delivered log: contents, offsets, size."""

from __future__ import annotations

import pytest

from facet.gateway.kept import KEPT_BYTES, Kept
from tests.unit.gateway.events import entry

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("characters", [1, 60, 1000, KEPT_BYTES // 2])
def test_the_latest_events_are_kept_when_there_are_many(characters: int) -> None:
    kept, written = Kept(7), {}
    for offset in range(7, 1000):
        response = entry(offset, f"{offset % 10}" * characters).response
        kept.add(response)
        written[offset] = response
    frames = kept.frames()
    assert frames == {offset: written[offset] for offset in range(kept.first_offset, 1000)}
    size = sum(map(len, frames.values()))
    assert size <= KEPT_BYTES
    assert size > KEPT_BYTES // 2 - len(written[999]) or len(frames) == 1


def test_one_event_stays_when_it_is_larger_than_all_that_is_kept() -> None:
    kept = Kept(0)
    kept.add(entry(0, "a").response)
    large = entry(1, "x" * 2 * KEPT_BYTES).response
    kept.add(large)
    assert kept.frames() == {1: large}


def test_all_is_kept_when_an_entry_brings_several_events() -> None:
    kept = Kept(3)
    kept.add(entry(3, "a", "b").response)
    kept.add(entry(5, "c").response)
    assert list(kept.frames()) == [3, 4, 5]
