"""Waits between restarts."""

import pytest

from facet.node.backoff import BackOff, BackOffPolicy

pytestmark = pytest.mark.unit

POLICY = BackOffPolicy(first_seconds=1.0, factor=2.0, longest_seconds=10.0, stable_seconds=60.0)


def test_the_wait_doubles_up_to_the_longest_when_deaths_follow_each_other() -> None:
    back_off = BackOff(POLICY)

    waits = [back_off.next_delay_seconds(lived_seconds=1.0) for _ in range(6)]

    assert waits == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_the_wait_starts_over_when_the_process_was_stable() -> None:
    back_off = BackOff(POLICY)
    for _ in range(4):
        back_off.next_delay_seconds(lived_seconds=1.0)

    assert back_off.next_delay_seconds(lived_seconds=60.0) == 1.0
    assert back_off.next_delay_seconds(lived_seconds=59.0) == 2.0


def test_the_wait_stays_finite_when_a_process_never_lives() -> None:
    back_off = BackOff(POLICY)

    assert max(back_off.next_delay_seconds(lived_seconds=0.0) for _ in range(2000)) == 10.0
