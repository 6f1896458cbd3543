"""Between the port's values and the texts that the scripts take."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facet.queue.codec import needs_of, needs_text, weight_text
from facet.queue.values import Needs

pytestmark = pytest.mark.unit

NEEDS = st.builds(
    Needs,
    envelope_version=st.integers(1, 99),
    context_tokens=st.integers(0, 1 << 20),
    media=st.sampled_from(["", "a", "ai", "aiv", "v"]),
    adapter=st.sampled_from(["", "legal", "org/legal-2.1"]),
)


@given(needs=NEEDS)
def test_needs_are_the_same_when_read_from_their_text(needs: Needs) -> None:
    assert needs_of(needs_text(needs)) == needs


@pytest.mark.parametrize(("weight", "text"), [(1.0, "1"), (2.5, "2.5"), (0.001, "0.001")])
def test_weight_is_short_when_written(weight: float, text: str) -> None:
    assert weight_text(weight) == text
