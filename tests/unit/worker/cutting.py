"""Runs that are cut after some ids, and what the next attempt makes of them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from facet.api.v1 import event_pb2, generation_pb2
from facet.worker.run import Run, Stop
from tests.unit.worker.scripted import (
    Bench,
    PacedEngine,
    claim,
    envelope,
    events_of,
    request,
    submit,
    text_of,
)


@dataclass(frozen=True)
class Begun:
    run: Run
    task: asyncio.Task[None]


RICH = request(
    "hello",
    generationConfig={"thinking": {"enabled": True, "includeThoughts": True}},
    tools=[{"functionDeclarations": [{"name": "look_up"}]}],
)


def paced(bench: Bench) -> PacedEngine:
    assert isinstance(bench.engine, PacedEngine)
    return bench.engine


async def finished_run(
    bench: Bench, name: str, made: generation_pb2.GenerationRequest
) -> list[event_pb2.Event]:
    await submit(bench.queue, name, envelope(name, made).SerializeToString())
    paced(bench).allow(1_000)
    await asyncio.wait_for(bench.run(await claim(bench.queue, f"n-{name}")).execute(), 10)
    paced(bench).forbid()
    return await events_of(bench.queue, name)


async def resumed_run(
    bench: Bench, name: str, made: generation_pb2.GenerationRequest, cut: int
) -> list[event_pb2.Event]:
    """The log of two runs: the first is handed back after `cut` ids."""
    first = await begun_run(bench, name, made, cut)
    first.run.stop(Stop.HAND_BACK)
    await asyncio.wait_for(first.task, 10)
    await bench.queue.hand_back([first.run.claimed.lease])
    paced(bench).allow(1_000)
    await asyncio.wait_for(bench.run(await claim(bench.queue, f"then-{name}")).execute(), 10)
    paced(bench).forbid()
    return await events_of(bench.queue, name)


async def begun_run(
    bench: Bench, name: str, made: generation_pb2.GenerationRequest, ids: int
) -> Begun:
    """A run whose engine waits after so many ids."""
    await submit(bench.queue, name, envelope(name, made).SerializeToString())
    run = bench.run(await claim(bench.queue, f"first-{name}"))
    task = asyncio.create_task(run.execute())
    paced(bench).allow(ids)
    await asyncio.wait_for(paced(bench).starved.wait(), 10)
    return Begun(run, task)


def content(events: list[event_pb2.Event]) -> tuple[str, str, list[str], int]:
    thoughts = "".join(event.thought_delta.text for event in events)
    calls = [str(e.function_call) for e in events if e.WhichOneof("kind") == "function_call"]
    return text_of(events), thoughts, calls, events[-1].token_end
