"""A store that comes back without its data."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import grpc
import pytest

from facet.api.v1.inference_service_pb2 import GetGenerationRequest
from tests.chaos.load import Kind
from tests.integration.faults.conftest import OpenHouse
from tests.integration.faults.crowd import assert_right, under_way
from tests.integration.gateway.requests import failure_of
from tests.support.lateness import measured_lateness
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration

LOSS_IS_TOLD_WITHIN_SECONDS = 10.0


async def test_every_reader_hears_of_the_loss_when_the_store_comes_back_empty(
    open_house: OpenHouse, tmp_path: Path
) -> None:
    server = RedisServer(tmp_path / "forgetful")
    server.start()
    try:
        async with open_house(server.url) as house:
            lost = [*house.crowd.ask(6), *house.crowd.ask(2, Kind.UNARY)]
            await house.holds(8)
            await under_way(lost[:6])
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.restart)
            async with measured_lateness() as lateness:
                began = time.monotonic()
                await house.crowd.all_ended()
                took_seconds = time.monotonic() - began
            assert [outcome.main.end for outcome in lost] == ["LOG_LOST"] * len(lost)
            assert took_seconds < LOSS_IS_TOLD_WITHIN_SECONDS + lateness.seconds

            known = GetGenerationRequest(generation_id=lost[0].main.generation_id)
            code, info = await failure_of(house.crowd.stub.GetGeneration(known))
            assert (code, info.reason) == (grpc.StatusCode.NOT_FOUND, "GENERATION_NOT_FOUND")
            # The workers have let go of what they held, and everything is served anew.
            again = house.crowd.ask(9, tokens=10)
            await house.crowd.all_ended()
            assert_right(again)
    finally:
        server.stop()
