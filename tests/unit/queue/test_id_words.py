"""Ids of several candidates in one record."""

from __future__ import annotations

import struct

import pytest

from facet.queue.codec import write_arguments
from facet.queue.id_words import LoggedIds, count_ids, end_word, id_words, logged_ids
from facet.queue.values import Append, Lease

pytestmark = pytest.mark.unit

LARGEST = (1 << 24) - 257


def test_words_are_the_ids_when_there_is_one_candidate() -> None:
    ids = (0, 1, 262_143, LARGEST)
    assert id_words(0, ids) == ids
    write = Append(Lease("g", 1, "n"), 0, 1, id_words(0, ids), b"")
    assert write_arguments(write)[5:7] == (4, struct.pack("<4I", *ids))


def test_each_candidate_has_its_ids_in_order_when_words_alternate() -> None:
    words = [
        *id_words(0, [5, 6]),
        *id_words(7, [LARGEST]),
        *id_words(2, [5]),
        *id_words(0, [0]),
        end_word(2, 3),
        *id_words(7, [8, 9]),
        end_word(4, 1),
    ]
    assert all(word < 1 << 32 for word in words)
    expected = [LoggedIds() for _ in range(8)]
    expected[0] = LoggedIds([5, 6, 0])
    expected[2] = LoggedIds([5], finish_reason=3)
    expected[4] = LoggedIds([], finish_reason=1)
    expected[7] = LoggedIds([LARGEST, 8, 9])
    assert logged_ids(words, 8) == expected


def test_ends_are_not_counted_when_ids_are() -> None:
    words = (*id_words(1, [1, 2]), end_word(1, 1), end_word(0, 6))
    assert count_ids(words) == 2
    write = Append(Lease("g", 1, "n"), 0, 1, words, b"")
    assert write_arguments(write)[5] == 2
    assert len(bytes(write_arguments(write)[6])) == 16  # type: ignore[arg-type]


def test_words_are_refused_when_they_are_of_a_candidate_that_is_not_there() -> None:
    with pytest.raises(IndexError):
        logged_ids(id_words(2, [1]), 2)
