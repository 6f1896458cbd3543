"""What a request brings, from where its log stands."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from facet.worker.engine.simulated_vocabulary import bytes_to_ids
from facet.worker.output import Output
from tests.unit.worker.scripted import Bench, claim, envelope, request, submit

pytestmark = pytest.mark.unit


async def test_other_streams_go_on_when_a_long_log_is_replayed() -> None:
    bench = Bench()
    made, turns = request(), 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    going_on = asyncio.create_task(others())
    try:
        await submit(bench.queue, "g", envelope("g", made).SerializeToString())
        claimed = await claim(bench.queue, "n")
        logged = replace(claimed, next_offset=9, token_ids=tuple(bytes_to_ids(b"x" * 1000)))
        output = Output(logged, bench.writer.open(claimed.lease, 9))
        prompt = await bench.engine.render(made, (), "")
        turns = 0
        await output.begin(
            prompt,
            [bench.engine.decoder(made, prompt)],
            include_thoughts=False,
            render_seconds=0.0,
            is_restart=False,
        )
        assert turns >= 10
        assert output.unfinished()[0].logged == logged.token_ids
    finally:
        going_on.cancel()
        await bench.close()
