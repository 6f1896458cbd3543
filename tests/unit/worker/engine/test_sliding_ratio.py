"""A share over a window, against all that was added."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facet.worker.engine.sliding_ratio import SlidingRatio

pytestmark = pytest.mark.unit

ADDITIONS = st.lists(
    st.integers(1, 12).flatmap(lambda units: st.tuples(st.just(units), st.integers(0, units))),
    min_size=1,
    max_size=80,
)


def test_there_is_no_share_when_nothing_was_added() -> None:
    assert SlidingRatio(10).value is None


@given(ADDITIONS, st.integers(1, 60))
def test_the_share_is_that_of_the_last_additions_which_fill_the_window(
    additions: list[tuple[int, int]], most: int
) -> None:
    window = SlidingRatio(most)
    for units, hits in additions:
        window.add(units, hits)

    kept: list[tuple[int, int]] = []
    for addition in reversed(additions):
        if sum(units for units, _ in kept) >= most:
            break
        kept.append(addition)
    assert window.units == sum(units for units, _ in kept)
    assert window.value == sum(hits for _, hits in kept) / window.units
