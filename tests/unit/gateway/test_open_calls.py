"""Counting calls for a shutdown."""

from __future__ import annotations

import asyncio

import pytest

from facet.core.errors import GatewayDrainingError, QueueFullError
from facet.gateway.open_calls import OpenCalls

pytestmark = pytest.mark.unit


async def test_idle_is_told_when_the_last_call_ends() -> None:
    calls = OpenCalls(2)
    await asyncio.wait_for(calls.idle(), 1)
    with calls.enter():
        with pytest.raises(ZeroDivisionError), calls.enter():
            raise ZeroDivisionError
        waiter = asyncio.create_task(calls.idle())
        await asyncio.sleep(0)
        assert not waiter.done()
    await asyncio.wait_for(waiter, 1)


async def test_calls_are_refused_when_closed() -> None:
    calls = OpenCalls(2)
    with calls.enter():
        calls.close()
        with pytest.raises(GatewayDrainingError, match="did not run"), calls.enter():
            pass


async def test_one_call_too_many_is_refused_when_the_bound_is_reached() -> None:
    calls = OpenCalls(1)
    with calls.enter():
        with pytest.raises(QueueFullError) as refusal, calls.enter():
            pass
        assert (refusal.value.retry_after_seconds or 0) > 0
    with calls.enter():
        pass
