"""Ending tasks."""

from __future__ import annotations

import asyncio

import pytest

from facet.worker.cancellation import cancel_until_done

pytestmark = pytest.mark.unit


async def test_a_task_ends_when_it_swallowed_the_first_cancel() -> None:
    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.Event().wait()

    async def failing() -> None:
        raise ZeroDivisionError

    tasks = [asyncio.create_task(stubborn()), asyncio.create_task(failing())]
    await asyncio.sleep(0)
    await asyncio.wait_for(cancel_until_done(tasks), 5)
    assert all(task.done() for task in tasks)
    await cancel_until_done([])
