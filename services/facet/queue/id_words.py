"""How the output ids of a request's candidates stand in its record: a 32-bit word each.

The upper 8 bits are the candidate's index, the lower 24 the id, so the words of a request with one
candidate are its ids. Words of different candidates stand in any order, those of one in the order
of its ids. The highest 256 ids are marks: the candidate has ended, for the reason whose number
(`facet.v1.FinishReason`) is added to the first of them. With one candidate there is no mark, for
its end is the end of the log.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

MAX_CANDIDATES = 8

_ID_BITS = 24
_ID_MASK = (1 << _ID_BITS) - 1
_FIRST_MARK = _ID_MASK - 0xFF


@dataclass
class LoggedIds:
    """What the record holds of one candidate; `finish_reason` is 0 unless its end is logged."""

    ids: list[int] = field(default_factory=list)
    finish_reason: int = 0


def id_words(candidate: int, ids: Iterable[int]) -> tuple[int, ...]:
    """The words of ids of one candidate, in order. Ids are below 2**24 - 256."""
    return tuple(candidate << _ID_BITS | token_id for token_id in ids)


def end_word(candidate: int, finish_reason: int) -> int:
    """The word that says that a candidate has ended."""
    return candidate << _ID_BITS | (_FIRST_MARK + finish_reason)


def count_ids(words: Iterable[int]) -> int:
    """How many of the words are ids."""
    return sum(word & _ID_MASK < _FIRST_MARK for word in words)


def logged_ids(words: Iterable[int], candidates: int) -> list[LoggedIds]:
    """What each of so many candidates has logged. Errors: IndexError for a word of another one."""
    found = [LoggedIds() for _ in range(candidates)]
    for word in words:
        logged, value = found[word >> _ID_BITS], word & _ID_MASK
        if value < _FIRST_MARK:
            logged.ids.append(value)
        else:
            logged.finish_reason = value - _FIRST_MARK
    return found
