"""What work does to the event loop that it runs in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any


async def longest_hold(work: Coroutine[Any, Any, Any]) -> float:
    """Do the work; the most seconds of this thread that passed without anybody else's turn.

    CPU time: a busy machine makes it no longer.
    """
    task = asyncio.create_task(work)
    longest = 0.0
    while not task.done():
        began = time.thread_time()
        await asyncio.sleep(0.001)
        longest = max(longest, time.thread_time() - began)
    await task
    return longest
