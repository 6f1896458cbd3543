"""A copy of a store's files, restored to a new store, serves: `docs/operating.md`, Backup."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from redis.asyncio import Redis

from facet.api.v1 import inference_service_pb2 as pb
from facet.queue.values import State
from tests.integration.gateway.conftest import Bench, BenchMaker
from tests.integration.gateway.requests import generation, info_of
from tests.support.conditions import until
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration

TENANT = "anonymous"


class Stores:
    """A server, and one that is started with a copy of its files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.first = RedisServer(folder / "first", append_only=True)
        self.second: RedisServer | None = None

    async def restore(self, kind: str) -> RedisServer:
        """Back the first up while it runs, end it, and start the second."""
        first, second = self._folder / "first", self._folder / "second"
        second.mkdir()
        if kind == "rdb":
            redis: Any = Redis.from_url(self.first.url, protocol=2)
            await redis.bgsave()

            async def is_saved() -> bool:
                return not (await redis.info("persistence"))["rdb_bgsave_in_progress"]

            await until(is_saved)
            await redis.aclose()
            await asyncio.to_thread(shutil.copy, first / "dump.rdb", second)
        else:
            await asyncio.to_thread(
                shutil.copytree, first / "appendonlydir", second / "appendonlydir"
            )
        await asyncio.to_thread(self.first.kill)
        self.second = RedisServer(second, append_only=kind == "aof")
        await asyncio.to_thread(self.second.start)
        return self.second


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[Stores]:
    stores = Stores(tmp_path)
    await asyncio.to_thread(stores.first.start)
    yield stores
    for server in (stores.first, stores.second):
        if server is not None:
            await asyncio.to_thread(server.stop)


async def submitted(bench: Bench, text: str) -> str:
    request = pb.SubmitGenerationRequest(request=generation(text, request_id=text))
    return str((await bench.inference.SubmitGeneration(request)).generation.generation_id)


@pytest.mark.parametrize("kind", ["rdb", "aof"])
async def test_generations_go_on_when_a_copy_is_restored(
    stores: Stores, tmp_path: Path, kind: str
) -> None:
    limits = tmp_path / "tenants.json"
    limits.write_text(json.dumps({"defaults": {"max_concurrent": 2}}), encoding="utf-8")
    async with AsyncExitStack() as stack:
        before = BenchMaker(stack, stores.first.url)
        bench = await before.start(tenants_file=limits)
        ended = await submitted(bench, "ended")
        job = await bench.worker.claim()
        await job.say("whole")
        await job.finish()
        running = await submitted(bench, "running")
        job = await bench.worker.claim()
        await job.say("half ")
        waiting = await submitted(bench, "waiting")
        restored = await stores.restore(kind)
        after = BenchMaker(stack, restored.url)
        after.release = before.release
        bench = await after.start(tenants_file=limits)
        assert await text_of(bench, ended) == "whole"
        assert await submitted(bench, "waiting") == waiting
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await submitted(bench, "one more")
        assert info_of(refusal.value).metadata["bound"] == "max_concurrent"
        status = await bench.queue.status(running, TENANT)
        assert (status.state, status.next_offset) == (State.LEASED, 1)
        for _ in range(2):
            # The lease of the worker that is gone lapses.
            job = await bench.worker.claim()
            await job.say("rest")
            await job.finish()
        assert await text_of(bench, running) == "half rest"
        assert await text_of(bench, waiting) == "rest"
        usage = await bench.queue.usage(since_ms=0, until_ms=1 << 45, page="", limit=10)
        names = [record.generation_id for record in usage.records]
        assert sorted(names) == sorted([ended, running, waiting])


async def text_of(bench: Bench, name: str) -> str:
    get = pb.GetGenerationRequest(generation_id=name)
    response = (await bench.inference.GetGeneration(get)).generation.response
    return "".join(part.text for part in response.candidates[0].content.parts)
