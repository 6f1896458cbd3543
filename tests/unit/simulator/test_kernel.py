"""Events run in the order of their times."""

import pytest

from facet.simulator.kernel import Kernel

pytestmark = pytest.mark.unit


def test_events_run_in_order_of_time_and_of_giving_when_times_are_equal() -> None:
    kernel, ran = Kernel(), list[str]()
    kernel.at(2.0, lambda: ran.append("late"))
    kernel.at(1.0, lambda: ran.append("first"))
    kernel.at(1.0, lambda: ran.append("second"))

    kernel.run(lambda: False)

    assert ran == ["first", "second", "late"]
    assert kernel.now == 2.0


def test_an_event_runs_at_once_when_its_time_has_passed() -> None:
    kernel, at = Kernel(), list[float]()
    kernel.at(5.0, lambda: kernel.at(1.0, lambda: at.append(kernel.now)))

    kernel.run(lambda: False)

    assert at == [5.0]


def test_what_is_due_later_stays_when_the_end_comes_before() -> None:
    kernel, ran = Kernel(), list[int]()
    for number in range(5):
        kernel.at(float(number), lambda number=number: ran.append(number))  # type: ignore[misc]

    kernel.run(lambda: len(ran) == 2)
    assert ran == [0, 1]

    kernel.run(lambda: False, until=3.0)
    assert ran == [0, 1, 2, 3]
