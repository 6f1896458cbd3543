"""Bytes that a gateway takes in at once."""

from __future__ import annotations

import pytest

from facet.core.errors import QueueFullError
from facet.gateway.inline_budget import InlineBudget

pytestmark = pytest.mark.unit


def test_request_is_refused_when_others_hold_the_budget() -> None:
    budget = InlineBudget(10)
    with budget.hold(6):
        with budget.hold(4):
            pass
        with pytest.raises(QueueFullError) as refusal, budget.hold(5):
            pass
        assert (refusal.value.retry_after_seconds or 0) > 0
        with budget.hold(0):
            pass


def test_request_is_let_in_when_it_is_alone() -> None:
    budget = InlineBudget(10)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), budget.hold(11):
            raise ZeroDivisionError


def test_text_is_let_in_when_media_hold_the_budget() -> None:
    budget = InlineBudget(10)
    with budget.hold(11), budget.hold(0):
        pass
