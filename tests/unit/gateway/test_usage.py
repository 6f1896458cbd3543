"""How long usage records are kept, and how many."""

from __future__ import annotations

import asyncio

import pytest
import structlog.testing

from facet.core.errors import StoreUnavailableError
from facet.gateway import usage as usage_module
from facet.gateway.usage import UsageTrimmer
from facet.queue.memory_queue import MemoryQueue
from facet.queue.views import UsageTrim
from tests.support.conditions import until
from tests.support.queue_contract.world import TENANT, submission

pytestmark = pytest.mark.unit

HOUR_SECONDS = 3_600


class Trimmed(MemoryQueue):
    """Is away at first; tells how often it was asked."""

    def __init__(self) -> None:
        super().__init__(clock_ms=lambda: self.now_ms)
        self.now_ms = 10**9
        self.asked = 0

    async def trim_usage(self, life_ms: int, most: int) -> UsageTrim:
        self.asked += 1
        if self.asked == 1:
            raise StoreUnavailableError("away")
        return await super().trim_usage(life_ms, most)

    async def end(self, *names: str) -> None:
        for name in names:
            await self.submit(submission(name))
            await self.cancel(name, TENANT)

    async def kept(self) -> list[str]:
        page = await self.usage(since_ms=0, until_ms=1 << 45, page="", limit=100)
        return [each.generation_id for each in page.records]


async def test_old_and_too_many_records_go_when_the_store_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(usage_module, "TRIM_SECONDS", 0.01)
    queue = Trimmed()
    await queue.end("g-0-0", "g-0-1")
    queue.now_ms += 2 * HOUR_SECONDS * 1_000
    await queue.end("g-0-2", "g-0-3", "g-0-4")
    trimmer = UsageTrimmer(queue, life_seconds=HOUR_SECONDS, most=2)
    with structlog.testing.capture_logs() as logs:
        task = asyncio.create_task(trimmer.run())

        async def is_trimmed() -> bool:
            return await queue.kept() == ["g-0-3", "g-0-4"] and queue.asked > 4

        await until(is_trimmed, seconds=5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    told = [(entry["event"], entry["log_level"]) for entry in logs]
    assert told == [
        ("usage.not_trimmed", "warning"),
        ("usage.trimmed", "info"),
        ("usage.cut", "warning"),
    ]
    assert [entry.get("count") for entry in logs] == [None, 2, 1]
