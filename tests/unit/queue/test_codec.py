"""Between the port's values and the texts that the scripts take."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facet.queue.codec import inbox_entry, log_entry, needs_of, needs_text, weight_text
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


ENTRY = [b"n", b"2", b"e", b"events"]
END = [b"z", b"1", b"x", b"why"]
LATER = [b"y", b"of a later release", b"w", b""]


@pytest.mark.parametrize("later", [[], LATER])
@pytest.mark.parametrize("end", [[], END])
def test_end_is_told_by_its_field_when_a_later_release_adds_others(
    end: list[bytes], later: list[bytes]
) -> None:
    fields = ENTRY + end + later
    logged = log_entry(b"7-0", fields)
    arrived = inbox_entry([b"i", b"g-0-1", b"o", b"6", *fields])

    assert (logged.first_offset, logged.event_count, logged.response) == (6, 2, b"events")
    assert (arrived.generation_id, arrived.first_offset) == ("g-0-1", 6)
    for entry in (logged, arrived):
        assert (entry.is_terminal, entry.failure) == (bool(end), b"why" if end else b"")
