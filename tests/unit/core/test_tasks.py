"""Background loops."""

from __future__ import annotations

import asyncio

import pytest
import structlog

from facet.core import tasks
from facet.core.tasks import cancel_all, keep_running

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("fault", [KeyError("a fault"), None], ids=["it fails", "it returns"])
async def test_a_loop_is_started_again_when_it_ends(
    fault: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "RESTART_SECONDS", 0.0)
    starts = 0
    again = asyncio.Event()

    async def loop() -> None:
        nonlocal starts
        starts += 1
        if starts == 2:
            again.set()
            await asyncio.sleep(60)
        if fault is not None:
            raise fault

    with structlog.testing.capture_logs() as logs:
        task = asyncio.create_task(keep_running("a loop", loop))
        await asyncio.wait_for(again.wait(), 5)
        await cancel_all([task])

    assert task.cancelled()
    assert [line["loop"] for line in logs] == (["a loop"] if fault is not None else [])
