"""A store whose memory runs out: admission is shed, accepted work ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2
from redis import Redis
from redis.exceptions import OutOfMemoryError

from tests.chaos.load import Kind
from tests.integration.faults.conftest import OpenHouse
from tests.integration.faults.crowd import assert_held, assert_right, under_way, with_image
from tests.integration.faults.house import House
from tests.integration.gateway.requests import details_of, failure_of, info_of, unary
from tests.support.conditions import until
from tests.support.media_samples import PNG, png
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration

BLOB = b"\x00" * 20_000
SHED_SHARE = 0.76
NOTICED_SECONDS = 30.0


class Memory:
    """The memory of a server, which a test fills."""

    def __init__(self, server: RedisServer) -> None:
        self._redis: Redis = Redis(port=server.port, protocol=2, driver_info=None)

    def fill(self, share: float) -> None:
        """Use this share of what the server may have."""
        while self._used_share() < share:
            self._redis.append("filler", BLOB)

    def exhaust(self) -> None:
        """Use all of it."""
        with suppress(OutOfMemoryError):
            while True:
                self._redis.append("filler", BLOB)

    def free(self) -> None:
        """Give back what `fill` and `exhaust` took."""
        self._redis.delete("filler")

    def refusals(self) -> int:
        """Commands and scripts that were refused for want of memory so far."""
        facts = self._redis.info("errorstats").get("errorstat_OOM", {"count": 0})
        return int(facts["count"])

    def close(self) -> None:
        """Close the connection."""
        self._redis.close()

    def _used_share(self) -> float:
        facts = self._redis.info("memory")
        return float(facts["used_memory"] / facts["maxmemory"])


@pytest.fixture
def small_server(tmp_path: Path) -> Iterator[RedisServer]:
    options = ("--maxmemory", "24mb", "--maxmemory-policy", "noeviction")
    server = RedisServer(tmp_path / "small", options=options)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def memory(small_server: RedisServer) -> Iterator[Memory]:
    memory = Memory(small_server)
    yield memory
    memory.close()


async def test_new_work_is_shed_and_accepted_work_ends_when_memory_runs_out(
    open_house: OpenHouse, small_server: RedisServer, memory: Memory
) -> None:
    async with open_house(small_server.url) as house:
        # More than the workers hold: what waits is claimed while memory is short.
        accepted = house.crowd.ask(10)
        await under_way(accepted)
        memory.fill(SHED_SHARE)
        refusal = await first_refusal(house)
        assert refusal.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert info_of(refusal).reason == "STORE_FULL"
        assert any(each.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for each in details_of(refusal))
        await house.crowd.all_ended()
        assert_held(accepted)

        memory.free()
        # The gateway may still shed for a moment: clients try again.
        answers = house.crowd.ask(1, Kind.UNARY, tokens=10)
        await house.crowd.all_ended()
        assert_right(answers)
        running = house.crowd.ask(4)
        await under_way(running)
        memory.exhaust()
        refused = memory.refusals()
        await until(lambda: has_grown(memory, refused + 5), seconds=NOTICED_SECONDS)
        memory.free()
        await house.crowd.all_ended()
        assert_held(running)


async def test_media_are_refused_and_text_is_served_when_media_take_all_that_they_may(
    open_house: OpenHouse, small_server: RedisServer
) -> None:
    async with open_house(small_server.url, workers=1, max_media_bytes=len(PNG)) as house:
        first = await house.crowd.stub.GenerateContent(with_image(PNG), timeout=30)
        assert first.candidates[0].content.parts
        code, info = await failure_of(
            house.crowd.stub.GenerateContent(with_image(png(3, 5)), timeout=30)
        )
        assert (code, info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "STORE_FULL")
        others = house.crowd.ask(2, tokens=10)
        # The same bytes are there already.
        again = await house.crowd.stub.GenerateContent(with_image(PNG), timeout=30)
        assert again.candidates[0].content == first.candidates[0].content
        await house.crowd.all_ended()
        assert_right(others)


async def first_refusal(house: House) -> grpc.aio.AioRpcError:
    """How a new call is refused, once the gateway has looked at the memory again."""
    refusals: list[grpc.aio.AioRpcError] = []

    async def is_refused() -> bool:
        message = unary()
        message.request.generation_config.max_output_tokens = 1
        try:
            await house.crowd.stub.GenerateContent(message, timeout=10)
        except grpc.aio.AioRpcError as error:
            refusals.append(error)
        return bool(refusals)

    await until(is_refused, seconds=NOTICED_SECONDS)
    return refusals[0]


async def has_grown(memory: Memory, wanted: int) -> bool:
    return memory.refusals() >= wanted
