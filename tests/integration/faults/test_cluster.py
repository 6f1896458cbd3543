"""Redis Cluster with three masters: the queue moves, then its node dies."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from redis.crc import key_slot

from facet.queue.keys import Keys
from tests.chaos.load import Kind
from tests.integration.faults.conftest import OpenHouse
from tests.integration.faults.crowd import assert_held, assert_right, under_way, with_image
from tests.integration.faults.house import House
from tests.support.media_samples import PNG
from tests.support.redis_cluster import RedisCluster

pytestmark = pytest.mark.integration

SLOT = key_slot(Keys("default", "nano").base.encode())


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    cluster = RedisCluster(tmp_path / "cluster")
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


async def describe_image(house: House) -> str:
    """The answer to a medium, which lies in another slot than the queue."""
    answer = await house.crowd.stub.GenerateContent(with_image(PNG), timeout=60)
    return "".join(part.text for part in answer.candidates[0].content.parts)


async def test_streams_pause_when_their_slot_moves_and_when_its_node_dies(
    open_house: OpenHouse, cluster: RedisCluster
) -> None:
    async with open_house(cluster.url) as house:
        source = cluster.owner_of(SLOT)
        target = cluster.other_than(source)
        moving = house.crowd.ask(6)
        await under_way(moving)
        await asyncio.to_thread(cluster.move_slot, SLOT, source, target)
        seen = await describe_image(house)
        answers = house.crowd.ask(1, Kind.UNARY, tokens=10)
        await house.crowd.all_ended()
        assert_held(moving)
        assert_right(answers)

        replica = await asyncio.to_thread(cluster.add_replica, target)
        running = house.crowd.ask(6)
        await under_way(running)
        await asyncio.to_thread(target.server.kill)
        code, reason = await house.crowd.refusal()
        assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
        replica.cluster("FAILOVER", "TAKEOVER")
        survivors = [node for node in cluster.nodes if node is not target]
        await asyncio.to_thread(cluster.wait_until_served, *survivors)
        after = house.crowd.ask(2, tokens=10)
        await house.crowd.all_ended()
        assert_held(running)
        assert_right(after)
        assert seen
        assert await describe_image(house) == seen
