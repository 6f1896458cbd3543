"""One reader's buffer: merging, bounds, places in the log."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from facet.core.errors import GatewayDrainingError, LogRegressedError
from facet.gateway.subscription import Subscription
from tests.unit.gateway.events import entry, offsets

pytestmark = pytest.mark.unit


def _subscription(from_offset: int = 0, buffer_bytes: int = 1000) -> Subscription:
    return Subscription(
        "g", from_offset=from_offset, buffer_bytes=buffer_bytes, on_room=lambda: None
    )


async def test_entries_come_as_one_message_when_the_taker_was_behind() -> None:
    subscription = _subscription()
    subscription.push([entry(0, "a", "b"), entry(2, "c")])
    subscription.push([entry(3, "d", is_terminal=True, failure=b"f")])
    batch = await subscription.next(0)
    assert batch is not None
    assert offsets(batch.response) == [0, 1, 2, 3, 4]
    assert (batch.is_terminal, batch.failure) == (True, b"f")
    assert not subscription.wants_more


async def test_entries_come_singly_when_the_taker_keeps_up() -> None:
    subscription = _subscription()
    for offset in range(3):
        subscription.push([entry(offset, "x")])
        batch = await subscription.next(0)
        assert batch is not None
        assert batch.response == entry(offset, "x").response
        assert subscription.next_offset == offset + 1


async def test_nothing_comes_when_nothing_arrives_in_time() -> None:
    subscription = _subscription()
    assert await subscription.next(0.01) is None
    subscription.push([entry(0, "x")])
    assert await subscription.next(0) is not None
    assert await subscription.next(0.01) is None


async def test_log_is_not_read_on_when_the_buffer_is_full() -> None:
    pokes: list[None] = []
    subscription = Subscription(
        "g", from_offset=0, buffer_bytes=100, on_room=lambda: pokes.append(None)
    )
    subscription.push([entry(0, "x" * 50)])
    wanted = [subscription.wants_more]
    subscription.push([entry(1, "x" * 50)])
    wanted.append(subscription.wants_more)
    assert wanted == [True, False]
    await subscription.next(0)
    assert (subscription.wants_more, len(pokes)) == (True, 1)
    subscription.push([entry(2, "x")])
    await subscription.next(0)
    assert len(pokes) == 1


@pytest.mark.parametrize(
    ("from_offset", "expected"), [(0, [0, 1, 2, 3]), (1, [1, 2, 3]), (2, [2, 3]), (3, [3])]
)
async def test_events_begin_at_the_offset_when_attached(
    from_offset: int, expected: list[int]
) -> None:
    subscription = _subscription(from_offset)
    subscription.push([entry(0, "a", "b"), entry(2, "c", is_terminal=True)])
    batch = await subscription.next(0)
    assert batch is not None
    assert offsets(batch.response) == expected
    assert subscription.next_offset == 4


async def test_nothing_behind_a_gap_is_taken_when_entries_are_missing() -> None:
    subscription = _subscription()
    subscription.push([entry(0, "a"), entry(2, "c")])
    batch = await subscription.next(0)
    assert batch is not None
    assert offsets(batch.response) == [0]
    assert subscription.wanted_offset == 1


async def test_what_came_ahead_follows_when_the_gap_is_filled() -> None:
    subscription = _subscription()
    subscription.push([entry(2, "c"), entry(3, "d")])
    assert await subscription.next(0) is None
    subscription.push([entry(0, "a", "b"), entry(2, "c")])
    batch = await subscription.next(0)
    assert batch is not None
    assert offsets(batch.response) == [0, 1, 2, 3]


@pytest.mark.parametrize("forget", [Subscription.close_gap, Subscription.recheck])
async def test_what_came_ahead_is_forgotten_when_it_may_be_void(
    forget: Callable[[Subscription], None],
) -> None:
    subscription = _subscription()
    subscription.push([entry(1, "b")])
    forget(subscription)
    subscription.push([entry(0, "a")])
    batch = await subscription.next(0)
    assert batch is not None
    assert offsets(batch.response) == [0]


async def test_little_is_held_when_much_comes_ahead() -> None:
    subscription = _subscription(buffer_bytes=1000)
    for offset in range(1, 101):
        subscription.push([entry(offset, "x" * 90)])
    subscription.push([entry(0, "a")])
    batch = await subscription.next(0)
    assert batch is not None
    assert len(batch.response) < 1100


async def test_nothing_is_repeated_when_entries_come_again() -> None:
    subscription = _subscription()
    subscription.push([entry(0, "a", "b")])
    subscription.push([entry(0, "a", "b"), entry(1, "b", "c")])
    batch = await subscription.next(0)
    assert batch is not None
    assert offsets(batch.response) == [0, 1, 2]


async def test_stream_goes_on_when_a_rewritten_log_holds_the_same_events() -> None:
    subscription = _subscription()
    subscription.push([entry(0, "a", "b"), entry(2, "c")])
    await subscription.next(0)
    subscription.recheck()
    assert subscription.wanted_offset == 0
    # Cut into other entries than before.
    subscription.push([entry(0, "a"), entry(1, "b", "c", "d")])
    batch = await subscription.next(0)
    assert batch is not None
    assert offsets(batch.response) == [3]


async def test_stream_is_aborted_when_a_rewritten_log_holds_other_events() -> None:
    subscription = _subscription()
    subscription.push([entry(0, "a", "b"), entry(2, "c")])
    await subscription.next(0)
    subscription.recheck()
    subscription.push([entry(0, "a"), entry(1, "B", "c", "d")])
    with pytest.raises(LogRegressedError) as caught:
        await subscription.next(0)
    assert caught.value.metadata == {"generation_id": "g", "next_offset": "3"}
    assert not subscription.wants_more


async def test_stream_is_held_when_the_log_is_shorter_than_what_was_delivered() -> None:
    subscription = _subscription()
    subscription.push([entry(0, "a", "b"), entry(2, "c")])
    await subscription.next(0)
    subscription.recheck()
    subscription.push([entry(0, "a", "b")])
    assert await subscription.next(0) is None
    assert subscription.wants_more
    subscription.push([entry(2, "c")])
    assert await subscription.next(0) is None


async def test_the_log_is_compared_from_what_is_kept_when_a_stream_is_long() -> None:
    subscription = _subscription(buffer_bytes=10**9)
    for offset in range(4000):
        subscription.push([entry(offset, "x" * 40)])
    subscription.recheck()
    first = subscription.wanted_offset
    assert 3000 < first < 4000
    subscription.push([entry(first, "other")])
    await subscription.next(0)
    with pytest.raises(LogRegressedError):
        await subscription.next(0)


async def test_next_place_is_told_when_draining() -> None:
    subscription = _subscription()
    subscription.push([entry(0, "a", "b")])
    await subscription.next(0)
    subscription.push([entry(2, "undelivered")])
    subscription.drain()
    with pytest.raises(GatewayDrainingError) as caught:
        await subscription.next(0)
    assert caught.value.metadata == {"generation_id": "g", "next_offset": "2"}
