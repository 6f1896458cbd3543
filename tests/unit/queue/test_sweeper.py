"""The task that keeps a queue swept."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from facet.core.errors import StoreUnavailableError
from facet.queue.sweeper import Sweeper
from facet.queue.views import Depth, LeasedWork, SweepResult

pytestmark = pytest.mark.unit

QUIET = SweepResult(0, 0, 0, 0, has_more=False)
BACKLOG = SweepResult(100, 0, 0, 0, has_more=True)


class ScriptedQueue:
    """Answers sweeps from a list, then says that all was asked for."""

    def __init__(self, answers: Sequence[SweepResult | StoreUnavailableError]) -> None:
        self._answers = list(answers)
        self.asked_at: list[float] = []
        self.is_done = asyncio.Event()

    async def sweep(self) -> SweepResult:
        self.asked_at.append(asyncio.get_running_loop().time())
        answer = self._answers.pop(0) if self._answers else QUIET
        if not self._answers:
            self.is_done.set()
        if isinstance(answer, StoreUnavailableError):
            raise answer
        return answer

    async def reports(self) -> list[bytes]:
        return []

    async def depth(self) -> Depth:
        raise NotImplementedError

    async def leased_work(self) -> LeasedWork:
        raise NotImplementedError

    async def wait_for_arrival(self, cursor: str, timeout_ms: int) -> str:
        raise NotImplementedError

    async def takes_telling(self, who: str, life_ms: int) -> bool:
        raise NotImplementedError

    async def depths(self) -> dict[int, Depth]:
        raise NotImplementedError

    async def origins(self, generation_ids: Sequence[str]) -> dict[str, str]:
        raise NotImplementedError

    async def is_empty(self) -> bool:
        raise NotImplementedError

    async def ping(self) -> None:
        return None


async def run_until_done(queue: ScriptedQueue) -> None:
    running = asyncio.create_task(Sweeper(queue).run())
    try:
        async with asyncio.timeout(5):
            await queue.is_done.wait()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_next_sweep_comes_at_once_when_there_is_more() -> None:
    queue = ScriptedQueue([BACKLOG] * 50 + [QUIET])
    await run_until_done(queue)
    assert queue.asked_at[-1] - queue.asked_at[0] < 0.4


async def test_next_sweep_comes_later_when_there_is_no_more() -> None:
    queue = ScriptedQueue([QUIET, QUIET])
    await run_until_done(queue)
    assert 0.4 < queue.asked_at[1] - queue.asked_at[0] < 2


async def test_sweeping_goes_on_when_the_store_was_away() -> None:
    queue = ScriptedQueue([StoreUnavailableError("away"), StoreUnavailableError("away"), QUIET])
    await run_until_done(queue)
    assert len(queue.asked_at) == 3
